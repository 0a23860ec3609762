"""Text Embeddings Inference's dialect for classifiers: /predict, /info.

Source: the OpenAPI document and the request types of huggingface/text-embeddings-inference 1.8.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from service.api.shared import FAULTS, all_labels, checked_texts, request_scope
from service.api.text_fields import list_schema, text_schema
from service.errors import InvalidRequest, ServiceError
from service.http.error_formats import ErrorFormat, Errors, printable
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings

PATHS = ("/predict", "/info")
EXAMPLES = [{"inputs": "Bonjour le monde"}, {"inputs": [["Hello there"], ["Hallo Welt"]]}]
ModelName = Annotated[
    str | None,
    Field(
        min_length=1, max_length=200, description="Not in the original, which serves one model: a classifier's name."
    ),
]
TYPES = {
    "overloaded": "Overloaded", "rate_limited": "Overloaded", "not_ready": "Unhealthy", "internal": "Backend",
    "deadline_exceeded": "Backend", "empty_text": "Empty",
}  # fmt: skip


class TeiError(BaseModel):
    """An error as Text Embeddings Inference puts it."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


def _error(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    return {"error": printable(fault), "error_type": TYPES.get(fault.code, "Validation")}


ERROR_FORMAT = ErrorFormat(TeiError, _error, statuses={"overloaded": 429, "internal": 424, "empty_text": 400})


class PredictBody(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(strict=True)

    inputs: Any
    truncate: Annotated[
        bool | None, Field(description="Taken, and never needed: a text that is too long is refused, not cut.")
    ] = False
    truncation_direction: Literal["left", "right", "Left", "Right"] = "Right"
    raw_scores: Annotated[
        bool, Field(description="Probabilities are all there is.", json_schema_extra={"const": False})
    ] = False
    model: ModelName = None


class Prediction(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class Predictions(RootModel[list[Prediction] | list[list[Prediction]]]):
    """All labels, the most probable first; for a batch a list of them for each text."""


class Info(BaseModel):
    """What is served, in the words of Text Embeddings Inference."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_sha: str | None = None
    model_dtype: str
    model_type: dict[str, dict[str, dict[str, str | int]]]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int
    auto_truncate: bool = False
    tokenization_workers: int = 1
    version: str
    sha: str | None = None
    docker_label: str | None = None


def tei_router(registry: Registry, settings: Settings) -> APIRouter:
    """The routes over the classifiers."""
    router = APIRouter(tags=["text-embeddings-inference"])
    body_type = _bounded(settings)

    @router.post("/predict", responses=ERROR_FORMAT.responses(*FAULTS), response_model=Predictions)
    async def predict(
        request: Request,
        body: Annotated[body_type, Body(examples=EXAMPLES)],  # type: ignore[valid-type]
    ) -> JSONResponse:
        """Classify one text, or a batch of them."""
        options: PredictBody = body
        if options.raw_scores:
            raise InvalidRequest("raw_scores is true; the models write probabilities only: leave it out")
        texts, batch = texts_of(options.inputs)
        texts = checked_texts(texts, settings)
        model = registry.classifier(options.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope)
        found = [all_labels(model, row) for row in answered.probabilities]
        return JSONResponse(found if batch else found[0])

    @router.get("/info", responses=ERROR_FORMAT.responses(*FAULTS))
    async def info(request: Request, model: Annotated[ModelName, Query()] = None) -> Info:
        """What is served."""
        return _info(registry.classifier(model), settings, request.app.version)

    return router


def _bounded(settings: Settings) -> type[PredictBody]:
    """The body with the settings' limits and the three forms of `inputs` in its schema."""
    text = text_schema(settings)
    alone = {"type": "array", "items": text, "minItems": 1, "maxItems": 1}
    schema = {"anyOf": [text, alone, list_schema(alone, settings)], "examples": ["Bonjour le monde"]}
    description = "One text, a list of one, or a batch as a list of such lists. Pairs of texts are refused."

    field = Annotated[Any, Field(description=description, json_schema_extra=schema)]
    return create_model(PredictBody.__name__, __base__=PredictBody, __doc__=PredictBody.__doc__, inputs=field)


def texts_of(inputs: Any) -> tuple[list[str], bool]:
    """The texts, and whether they are a batch: the original reads a flat list of two as one pair of texts.

    Raises:
        InvalidRequest: anything but a string, a list of one, or a list of such lists.
    """
    match inputs:
        case str():
            return [inputs], False
        case [str()]:
            return inputs, False
        case [str(), str()]:
            raise InvalidRequest(
                "inputs is a flat list of two strings, which is one pair of texts, and the models read single texts; "
                'send a batch as [["first"], ["second"]]'
            )
        case [list(), *_]:
            return [_alone(one, f"inputs.{i}") for i, one in enumerate(inputs)], True
        case _:
            raise InvalidRequest(
                'inputs: give a string, a list of one string, or a batch as [["first"], ["second"], ...]'
            )


def _alone(one: Any, place: str) -> str:
    match one:
        case [str() as text]:
            return text
        case [str(), str()]:
            raise InvalidRequest(f"{place} is a pair of texts, and the models read single texts; send a list of one")
        case _:
            raise InvalidRequest(f"{place}: give a list of one string")


def _info(model: ServedModel, settings: Settings, version: str) -> Info:
    labels = model.manifest.labels
    names: dict[str, str | int] = {str(i): label for i, label in enumerate(labels)}
    return Info(
        model_id=model.name,
        model_dtype={"fp32": "float32"}.get(model.manifest.precision, model.manifest.precision),
        model_type={"classifier": {"id2label": names, "label2id": {label: i for i, label in enumerate(labels)}}},
        max_concurrent_requests=settings.queue_segments,
        max_input_length=model.manifest.limits.source_length,
        max_batch_tokens=settings.encode_tokens,
        max_client_batch_size=settings.max_texts,
        version=version,
    )
