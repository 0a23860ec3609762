"""infinity's dialect for classifiers: /classify, /models.

Source: the OpenAPI document of michaelfeil/infinity 0.0.77; its errors are worded as OpenAI's are.
"""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model

from service.api.shared import FAULTS, all_labels, checked_texts, request_scope
from service.api.text_fields import list_schema, text_schema
from service.errors import InvalidRequest, ServiceError
from service.http.body_limit import REFUSALS
from service.http.error_formats import ErrorFormat, Errors, printable
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings

PATHS = ("/classify", "/models")
UNNAMED = "default/not-specified"  # what the original's clients send when they name no model
EXAMPLES = [{"input": ["Bonjour le monde", "Hallo Welt"]}, {"input": ["Hello there"], "model": UNNAMED}]


class InfinityFault(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: int


class InfinityError(BaseModel):
    """An error as infinity and OpenAI put it."""

    error: InfinityFault


def _error(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    param = errors[0]["field"] if errors else None
    return {"error": {"message": printable(fault), "type": fault.code, "param": param, "code": status}}


ERROR_FORMAT = ErrorFormat(InfinityError, _error, statuses={"unknown_model": 400, "overloaded": 429})


class ClassifyInput(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(strict=True)

    input: Annotated[list[str], FailFast()]
    model: str = UNNAMED
    raw_scores: Annotated[
        bool, Field(description="Probabilities are all there is.", json_schema_extra={"const": False})
    ] = False


class ScoredLabel(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class TokenUsage(BaseModel):
    """Tokens of all texts together."""

    prompt_tokens: int
    total_tokens: int


class ClassifyResult(BaseModel):
    """All labels of each text, the most probable first."""

    object: Literal["classify"] = "classify"
    data: list[list[ScoredLabel]]
    model: str
    usage: TokenUsage
    id: str
    created: int


class Stats(BaseModel):
    """How busy a model is."""

    queue_fraction: float
    queue_absolute: int
    results_pending: int
    batch_size: int


class InfinityModel(BaseModel):
    """A classifier; the original's clients refuse another owner than infinity."""

    id: str
    stats: Stats
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
    """The routes over the classifiers."""
    router = APIRouter(tags=["infinity"])
    started = int(time.time())
    classifiers = [model for model in registry if model.manifest.task == "classify"]
    body_type = _bounded(settings, classifiers)

    @router.post("/classify", responses=ERROR_FORMAT.responses(*FAULTS), response_model=ClassifyResult)
    async def classify(
        request: Request,
        body: Annotated[body_type, Body(examples=EXAMPLES)],  # type: ignore[valid-type]
    ) -> JSONResponse:
        """Classify a list of texts."""
        options: ClassifyInput = body
        if options.raw_scores:
            raise InvalidRequest("raw_scores is true; the models write probabilities only: leave it out")
        texts = checked_texts(options.input, settings)
        model = registry.classifier(None if options.model == UNNAMED else options.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope)
        usage = {"prompt_tokens": answered.source_tokens, "total_tokens": answered.source_tokens}
        return JSONResponse(
            {
                "object": "classify",
                "data": [all_labels(model, row) for row in answered.probabilities],
                "model": model.name,
                "usage": usage,
                "id": f"infinity-{request.scope['request_id']}",
                "created": int(time.time()),
            }
        )

    @router.get("/models", responses=ERROR_FORMAT.responses(*REFUSALS))
    async def models() -> InfinityModels:
        """The classifiers."""
        return InfinityModels(data=[_describe(model, started) for model in classifiers])

    return router


def _bounded(settings: Settings, classifiers: list[ServedModel]) -> type[ClassifyInput]:
    """The body with the settings' limits and the models' names in its schema; the route enforces them in words."""
    texts = list_schema(text_schema(settings), settings)
    names: dict[str, Any] = {"enum": [UNNAMED, *(model.name for model in classifiers)]}
    changed: dict[str, Any] = {
        "input": Annotated[list[str], FailFast(), Field(description="Answered in order.", json_schema_extra=texts)],
        "model": (Annotated[str, Field(description="From GET /models.", json_schema_extra=names)], UNNAMED),
    }
    return create_model(ClassifyInput.__name__, __base__=ClassifyInput, __doc__=ClassifyInput.__doc__, **changed)


def _describe(model: ServedModel, started: int) -> InfinityModel:
    queue = model.worker_pool.queue
    stats = Stats(
        queue_fraction=queue.waiting / queue.limits.queue_segments,
        queue_absolute=queue.waiting,
        results_pending=queue.waiting + model.worker_pool.running,
        batch_size=queue.rows_per_worker,
    )
    return InfinityModel(id=model.name, stats=stats, created=started)
