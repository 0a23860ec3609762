"""Text Embeddings Inference's dialect for classifiers: /predict, /invocations, POST /, /info, /ping.

Source: the OpenAPI document and the request types of huggingface/text-embeddings-inference 1.9. `POST /` is where
huggingface_hub's InferenceClient sends its requests; with languages among the parameters it asks for a translation.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, RootModel

from service.api.health import check_ready
from service.api.shared import MODEL_ERRORS, checked_texts, ranked_label_dicts, refuse, request_scope
from service.api.text_fields import list_schema
from service.errors import EmptyText, InvalidRequest, NotReady, ServiceError
from service.http.admission import Admission
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json
from service.http.openapi import Schema, inline_schema, json_body, response_example
from service.models.registry import Registry
from service.models.served_model import ServedModel, Truncation
from service.settings import Settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

# What the original answers where its model is of another kind than a route asks for.
OTHER_KINDS = {
    "/embed": "Model is not an embedding model", "/embed_all": "Model is not an embedding model",
    "/embed_sparse": "Model is not an embedding model with SPLADE pooling",
    "/similarity": "Model is not an embedding model", "/rerank": "Model is not a re-ranker model",
}  # fmt: skip
PATHS = ("/", "/predict", "/invocations", "/info", "/ping", "/tokenize", "/decode", "/vertex", *OTHER_KINDS)
REQUEST_EXAMPLES = {
    "one text": {"inputs": "Bonjour le monde"},
    "a batch": {"inputs": [["Hello there"], ["Hallo Welt"]]},
    "a long text, cut": {"inputs": "Bonjour le monde", "truncate": True},
}
TRANSLATION_EXAMPLE = {"a translation": {"inputs": "Guten Morgen.", "parameters": {"src_lang": "de", "tgt_lang": "en"}}}
PREDICT_RESPONSE = response_example([[{"score": 0.98, "label": "fr"}, {"score": 0.01, "label": "ca"}]])
INFO_RESPONSE = response_example({
    "model_id": "langid", "model_sha": None, "model_dtype": "float32", "served_model_name": "langid",
    "model_type": {"classifier": {"id2label": {"0": "de", "1": "en"}, "label2id": {"de": 0, "en": 1}}},
    "max_concurrent_requests": 2048, "max_input_length": 512, "max_batch_tokens": 4096, "max_batch_requests": None,
    "max_client_batch_size": 256, "auto_truncate": False, "tokenization_workers": 1, "version": "0.1.0",
    "sha": None, "docker_label": None,
})  # fmt: skip
ModelName = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        description="Name of a classifier; an addition to the original, which serves one model.",
    ),
]
ERROR_TYPES = {
    "overloaded": "Overloaded", "rate_limited": "Overloaded", "not_ready": "Unhealthy", "internal": "Backend",
    "deadline_exceeded": "Backend", "empty_text": "Empty", "not_supported": "Backend",
}  # fmt: skip


class TeiError(BaseModel):
    """An error in the format of Text Embeddings Inference."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"error": error_message(error), "error_type": ERROR_TYPES.get(error.code, "Validation")}


ERROR_FORMAT = ErrorFormat(
    TeiError, _error_body, statuses={"overloaded": 429, "internal": 424, "empty_text": 400, "not_supported": 424}
)


class PredictBody(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(strict=True)

    inputs: Annotated[
        Any,
        Field(
            description="One text, a list of one, or a batch as a list of such lists. A list of two is a pair of "
            "texts, for a model that reads pairs."
        ),
    ]
    truncate: Annotated[
        bool | None, Field(description="Cut off what exceeds the model's limit; otherwise such a text is rejected.")
    ] = False
    truncation_direction: Annotated[
        Literal["left", "right", "Left", "Right"], Field(description="With `truncate`, the side that is cut off.")
    ] = "Right"
    raw_scores: Annotated[
        bool, Field(description="Return logits, of which softmax makes the probabilities, instead of these.")
    ] = False
    model: ModelName = None

    @property
    def truncation(self) -> Truncation:
        """The side on which texts that are too long are cut; None if they are not."""
        if not self.truncate:
            return None
        return "left" if self.truncation_direction in ("left", "Left") else "right"


class InferenceParameters(BaseModel):
    """Parameters of huggingface_hub's InferenceClient. Others, which classify, are ignored as by the original."""

    src_lang: Annotated[str | None, Field(max_length=35)] = None
    tgt_lang: Annotated[str | None, Field(max_length=35)] = None
    generate_parameters: Annotated[
        dict[str, Any] | None, Field(max_length=0, description="Not supported for translations.")
    ] = None


class InferenceBody(PredictBody):
    """Texts to classify, or with `parameters.tgt_lang` to translate."""

    parameters: InferenceParameters = InferenceParameters()


class TeiLabel(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class HubTranslation(BaseModel):
    """A translation, as huggingface_hub's InferenceClient reads it."""

    translation_text: str


class PredictReply(RootModel[list[TeiLabel] | list[list[TeiLabel]]]):
    """All labels, the most probable first; for a batch, such a list per text."""


class InferenceReply(RootModel[list[TeiLabel] | list[list[TeiLabel]] | list[HubTranslation]]):
    """All labels, the most probable first; for a batch, such a list per text. Or translations, one per text."""


class TeiInfo(BaseModel):
    """The served classifier, in the format of Text Embeddings Inference."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_sha: str | None = None
    model_dtype: str
    served_model_name: str
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


def tei_router(registry: Registry, translator: Translator, settings: Settings, admission: Admission) -> APIRouter:
    """Return the routes over the classifiers."""
    router = APIRouter(tags=["text-embeddings-inference"])
    errors = ERROR_FORMAT.openapi_responses(*MODEL_ERRORS)

    async def classified(body: PredictBody, request: Request) -> JSONResponse:
        texts, seconds, batch = texts_of(body.inputs)
        texts = checked_inputs(texts, settings, body.truncation)
        if seconds is not None:
            seconds = checked_inputs(seconds, settings, body.truncation)
        model = registry.classifier(body.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope, seconds, body.truncation)
        results = [ranked_label_dicts(model, row, body.raw_scores) for row in answered.probabilities]
        return JSONResponse(results if batch else results[0])

    async def translated(body: InferenceBody, target: str, request: Request) -> JSONResponse:
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidRequest("inputs: give a string or a list of strings to translate")
        texts = checked_texts(texts, settings, "inputs", allow_blank=True)
        with request_scope(request, settings) as scope:
            source = body.parameters.src_lang
            done = await translator.translate(TranslationRequest(texts, target, source, body.model), scope)
        return JSONResponse([{"translation_text": result.text} for result in done.results])

    @router.post(
        "/predict",
        responses=errors | PREDICT_RESPONSE,
        response_model=PredictReply,
        openapi_extra=json_body(_body_schema(PredictBody, settings, registry.reads_pairs), REQUEST_EXAMPLES),
    )
    async def predict(request: Request) -> JSONResponse:
        """Classify one text, or a batch of texts."""
        return await classified(await read_json(request, PredictBody), request)

    @router.post("/", include_in_schema=False)
    @router.post(
        "/invocations",
        responses=errors | PREDICT_RESPONSE,
        response_model=InferenceReply,
        openapi_extra=json_body(
            _body_schema(InferenceBody, settings, registry.reads_pairs), REQUEST_EXAMPLES | TRANSLATION_EXAMPLE
        ),
    )
    async def infer(request: Request) -> JSONResponse:
        """Classify one text, or a batch of texts; or translate them, if the parameters have a target language.

        `POST /` does the same.
        """
        body = await read_json(request, InferenceBody)
        if target := body.parameters.tgt_lang:
            return await translated(body, target, request)
        return await classified(body, request)

    for path, message in OTHER_KINDS.items():
        router.post(path, include_in_schema=False)(refuse(message))

    @router.get("/info", responses=errors | INFO_RESPONSE)
    async def info(request: Request, model: Annotated[ModelName, Query()] = None) -> TeiInfo:
        """Describe the served classifier."""
        return _info(registry.classifier(model), settings, request.app.version)

    @router.get(
        "/ping", responses=ERROR_FORMAT.openapi_responses(NotReady) | {200: {"content": {}}}, response_class=Response
    )
    async def ping() -> Response:
        """Return 200 without a body while every served model answers, as Amazon SageMaker asks."""
        check_ready(registry, admission)
        return Response()

    return router


def checked_inputs(texts: list[str], settings: Settings, truncate: Truncation = None) -> list[str]:
    """Return the texts of a request; the original refuses empty ones, and reads blank ones.

    Raises:
        EmptyText: a text is empty.
        InvalidRequest, TooLarge: see `checked_texts`.
    """
    if "" in texts:
        raise EmptyText("`inputs` cannot be empty")
    return checked_texts(texts, settings, "inputs", allow_blank=True, truncate=truncate)


def _body_schema(body: type[PredictBody], settings: Settings, pairs: bool) -> Schema:
    """Return the schema of a body, with the forms of `inputs` and the settings' limits."""
    text = input_schema(settings)
    single = {"type": "array", "items": text, "minItems": 1, "maxItems": 2 if pairs else 1}
    schema = inline_schema(body)
    schema["properties"]["inputs"] |= {
        "anyOf": [text, single, list_schema(single, settings)],
        "examples": ["Bonjour le monde"],
    }
    return schema


def input_schema(settings: Settings) -> Schema:
    """Return the JSON schema of a text, which may be blank but not empty."""
    return {"type": "string", "minLength": 1, "maxLength": settings.max_text_characters}


def texts_of(inputs: Any) -> tuple[list[str], list[str] | None, bool]:
    """Return the texts, the second texts if they are pairs, and whether they are a batch.

    As in the original, a flat list of two is one pair of texts.

    Raises:
        InvalidRequest: anything but a string, a list of one or two, or a list of such lists, all of the same length.
    """
    match inputs:
        case str():
            return [inputs], None, False
        case [str()]:
            return inputs, None, False
        case [str() as one, str() as other]:
            return [one], [other], False
        case [list(), *_]:
            items = [_text_or_pair(item, f"inputs.{i}") for i, item in enumerate(inputs)]
            if len({len(item) for item in items}) > 1:
                raise InvalidRequest("inputs has single texts and pairs; send them in two requests")
            return [item[0] for item in items], [item[1] for item in items] if len(items[0]) == 2 else None, True
        case _:
            raise InvalidRequest(
                'inputs: give a string, a list of one string, or a batch as [["first"], ["second"], ...]'
            )


def _text_or_pair(item: Any, place: str) -> list[str]:
    match item:
        case [str()] | [str(), str()]:
            found: list[str] = item
            return found
        case _:
            raise InvalidRequest(f"{place}: give a list of one string, or of two for a pair of texts")


def _info(model: ServedModel, settings: Settings, version: str) -> TeiInfo:
    labels = model.manifest.labels
    id2label: dict[str, str | int] = {str(i): label for i, label in enumerate(labels)}
    return TeiInfo(
        model_id=model.name,
        model_dtype={"fp32": "float32", "fp16": "float16"}.get(model.manifest.precision, model.manifest.precision),
        served_model_name=model.name,
        model_type={"classifier": {"id2label": id2label, "label2id": {label: i for i, label in enumerate(labels)}}},
        max_concurrent_requests=settings.queue_segments,
        max_input_length=model.manifest.limits.source_length,
        max_batch_tokens=settings.encode_tokens,
        max_client_batch_size=settings.max_texts,
        version=version,
    )
