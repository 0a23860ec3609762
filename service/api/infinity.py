"""infinity's dialect for classifiers: /classify, /models.

Source: the OpenAPI document of michaelfeil/infinity 0.0.77; its errors have the format of OpenAI's.
"""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, FailFast, Field

from service.api.shared import (
    MIDDLEWARE_ERRORS,
    MODEL_ERRORS,
    checked_texts,
    ranked_label_dicts,
    refuse,
    request_scope,
)
from service.api.text_fields import list_schema
from service.errors import ServiceError
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json
from service.http.openapi import Schema, inline_schema, json_body, response_example
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings

PATHS = ("/classify", "/models", "/embeddings")
NO_EMBEDDINGS = "ModelNotDeployedError: the models do not support `embed`; their only capability is `classify`"
UNSPECIFIED_MODEL = "default/not-specified"  # what the original's clients send when they name no model
REQUEST_EXAMPLES = {
    "a list of texts": {"input": ["Bonjour le monde", "Hallo Welt"]},
    "an unspecified model": {"input": ["Hello there"], "model": UNSPECIFIED_MODEL},
}
CLASSIFY_RESPONSE = response_example({
    "object": "classify", "data": [[{"score": 0.98, "label": "fr"}, {"score": 0.01, "label": "ca"}]],
    "model": "langid", "usage": {"prompt_tokens": 5, "total_tokens": 5},
    "id": "infinity-5f0c1e9a7b3d4c52", "created": 1764000000,
})  # fmt: skip
MODELS_RESPONSE = response_example({
    "data": [
        {
            "id": "langid", "object": "model", "owned_by": "infinity", "created": 1764000000,
            "stats": {"queue_fraction": 0.0, "queue_absolute": 0, "results_pending": 0, "batch_size": 128},
            "backend": "onnxruntime", "capabilities": ["classify"],
        }
    ],
    "object": "list",
})  # fmt: skip


class InfinityErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: int


class InfinityError(BaseModel):
    """An error in the format of infinity and OpenAI."""

    error: InfinityErrorDetail


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    param = fields[0]["field"] if fields else None
    return {"error": {"message": error_message(error), "type": error.code, "param": param, "code": status}}


ERROR_FORMAT = ErrorFormat(
    InfinityError, _error_body, statuses={"unknown_model": 400, "overloaded": 429, "not_supported": 400}
)


class InfinityClassifyBody(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(strict=True)

    input: Annotated[list[str], FailFast(), Field(description="Texts; answered in order.")]
    model: Annotated[str, Field(description="A model id from GET /models.")] = UNSPECIFIED_MODEL
    raw_scores: Annotated[
        bool, Field(description="Return logits, of which softmax makes the probabilities, instead of these.")
    ] = False


class InfinityLabel(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class InfinityUsage(BaseModel):
    """Tokens of all texts together."""

    prompt_tokens: int
    total_tokens: int


class InfinityClassifyReply(BaseModel):
    """All labels of each text, the most probable first."""

    object: Literal["classify"] = "classify"
    data: list[list[InfinityLabel]]
    model: str
    usage: InfinityUsage
    id: str
    created: int


class InfinityModelStats(BaseModel):
    """The load of a model."""

    queue_fraction: float
    queue_absolute: int
    results_pending: int
    batch_size: int


class InfinityModel(BaseModel):
    """A classifier. The original's clients accept no other owner than infinity."""

    id: str
    stats: InfinityModelStats
    object: Literal["model"] = "model"
    owned_by: Literal["infinity"] = "infinity"
    created: int
    backend: str = "onnxruntime"
    capabilities: list[Literal["classify"]] = ["classify"]


class InfinityModels(BaseModel):
    """All classifiers."""

    data: list[InfinityModel]
    object: Literal["list"] = "list"


def infinity_router(registry: Registry, settings: Settings) -> APIRouter:
    """Return the routes over the classifiers."""
    router = APIRouter(tags=["infinity"])
    started = int(time.time())

    def classifiers() -> list[ServedModel]:
        return [model for model in registry.newest if model.manifest.task == "classify"]

    @router.post(
        "/classify",
        responses=ERROR_FORMAT.openapi_responses(*MODEL_ERRORS) | CLASSIFY_RESPONSE,
        response_model=InfinityClassifyReply,
        openapi_extra=json_body(_body_schema(settings, classifiers()), REQUEST_EXAMPLES),
    )
    async def classify(request: Request) -> JSONResponse:
        """Classify a list of texts."""
        body = await read_json(request, InfinityClassifyBody)
        texts = checked_texts(body.input, settings, allow_blank=True)
        model = registry.classifier(None if body.model == UNSPECIFIED_MODEL else body.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope)
        usage = {"prompt_tokens": answered.source_tokens, "total_tokens": answered.source_tokens}
        return JSONResponse(
            {
                "object": "classify",
                "data": [ranked_label_dicts(model, row, body.raw_scores) for row in answered.probabilities],
                "model": model.name,
                "usage": usage,
                "id": f"infinity-{request.scope['request_id']}",
                "created": int(time.time()),
            }
        )

    router.post("/embeddings", include_in_schema=False)(refuse(NO_EMBEDDINGS))

    @router.get("/models", responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS) | MODELS_RESPONSE)
    async def models() -> InfinityModels:
        """List the classifiers."""
        return InfinityModels(data=[_model_info(model, started) for model in classifiers()])

    return router


def _body_schema(settings: Settings, classifiers: list[ServedModel]) -> Schema:
    """Return the schema of the body, with the settings' limits and the models' names."""
    schema = inline_schema(InfinityClassifyBody)
    schema["properties"]["input"] |= list_schema(
        {"type": "string", "maxLength": settings.max_text_characters}, settings
    )
    schema["properties"]["model"]["enum"] = [UNSPECIFIED_MODEL, *(model.name for model in classifiers)]
    return schema


def _model_info(model: ServedModel, started: int) -> InfinityModel:
    queue = model.worker_pool.queue
    stats = InfinityModelStats(
        queue_fraction=queue.waiting / queue.limits.queue_segments,
        queue_absolute=queue.waiting,
        results_pending=queue.waiting + model.worker_pool.running,
        batch_size=queue.rows_per_worker,
    )
    return InfinityModel(id=model.name, stats=stats, created=started)
