"""The Open Inference Protocol, version 2, of KServe and Triton: /v2, except for DeepL's paths.

A model has one input, `text`. The languages of a translation are parameters of the request: `source`, `target`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from service.api.health import check_ready
from service.api.open_inference.tensors import (
    JSON_LENGTH_HEADER,
    InferBody,
    OutputValues,
    infer_response,
    read_infer_body,
    read_texts,
)
from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, ranked_labels, request_scope
from service.api.text_fields import list_schema, text_schema
from service.errors import InvalidRequest, ModelRequired, NotReady, ServiceError, UnknownModel
from service.http.admission import Admission
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.openapi import inline_schema, json_body, response_example
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

PATHS = ("/v2",)
CLASSIFY_OUTPUTS = [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("probability", "FP32", [-1, -1])]
TRANSLATE_OUTPUTS = [("translation", "BYTES", [-1]), ("source", "BYTES", [-1]), ("warnings", "BYTES", [-1])]
TEXT = {"name": "text", "shape": [2], "datatype": "BYTES"}
REQUEST_EXAMPLES = {
    "classify": {"inputs": [TEXT | {"data": ["Bonjour le monde", "Hallo Welt"]}]},
    "translate": {
        "parameters": {"source": "de", "target": "en"},
        "inputs": [TEXT | {"data": ["Guten Morgen.", "Wo ist der Bahnhof?"]}],
        "outputs": [{"name": "translation"}],
    },
}
SERVER_RESPONSE = response_example({"name": "attendant", "version": "0.1.0", "extensions": ["binary_tensor_data"]})
MODEL_RESPONSE = response_example({
    "name": "langid", "platform": "onnxruntime_onnx",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]}, {"name": "score", "datatype": "FP32", "shape": [-1]},
        {"name": "probability", "datatype": "FP32", "shape": [-1, 79]},
    ],
    "parameters": {"labels": ["de", "en"]},
})  # fmt: skip
INFER_EXAMPLE = {
    "model_name": "translate-en-de-fr-es",
    "outputs": [{"name": "translation", "datatype": "BYTES", "shape": [1], "data": ["Good morning."]}],
}
BINARY_CONTENT = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


class InferenceError(BaseModel):
    """An error in the format of the Open Inference Protocol."""

    error: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"error": error_message(error)}


ERROR_FORMAT = ErrorFormat(InferenceError, _error_body, statuses={"invalid_request": 400, "empty_text": 400})


class InferenceServer(BaseModel):
    """The server and the extensions of the protocol that it supports."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """The process answers."""

    live: Literal[True] = True


class ServerReady(BaseModel):
    """The server accepts requests."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model accepts requests."""

    ready: Literal[True] = True
    name: str


class TensorInfo(BaseModel):
    """The name, type and shape of a tensor; -1 is an axis of any size."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class InferenceModel(BaseModel):
    """A model; its parameters list its labels, or its translation directions."""

    name: str
    platform: str = "onnxruntime_onnx"
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    parameters: dict[str, list[str]]


class OutputTensor(TensorInfo):
    """An output of a model, with its data."""

    parameters: dict[str, int] | None = None
    data: list[str] | list[float] | None = None


class InferReply(BaseModel):
    """The JSON part of a response."""

    model_name: str
    id: str | None = None
    outputs: list[OutputTensor]


def inference_router(registry: Registry, translator: Translator, settings: Settings, admission: Admission) -> APIRouter:
    """Return the routes over all models."""
    router = APIRouter(prefix="/v2", tags=["open-inference-protocol"])
    inference = Inference(translator, settings)
    middleware_errors = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS)
    names: dict[str, Any] = {"enum": [model.name for model in registry]}
    model_name = Annotated[str, Path(description="A model name from GET /v1/models.", json_schema_extra=names)]

    @router.get("", responses=middleware_errors | SERVER_RESPONSE)
    async def server(request: Request) -> InferenceServer:
        """Describe the server."""
        return InferenceServer(name="attendant", version=request.app.version, extensions=["binary_tensor_data"])

    @router.get("/health/live", responses=response_example({"live": True}))
    async def live() -> ServerLive:
        """Return 200 while the process answers."""
        return ServerLive()

    @router.get("/health/ready", responses=ERROR_FORMAT.openapi_responses(NotReady) | response_example({"ready": True}))
    async def server_ready() -> ServerReady:
        """Return 200 while the workers of every model are alive and accept requests."""
        check_ready(registry, admission)
        return ServerReady()

    @router.get(
        "/models/{model}",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel) | MODEL_RESPONSE,
    )
    async def metadata(model: model_name) -> InferenceModel:
        """Describe the inputs and outputs of a model."""
        return _model_info(registry.get(model))

    @router.get(
        "/models/{model}/ready",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel, NotReady)
        | response_example({"name": "langid", "ready": True}),
    )
    async def model_ready(model: model_name) -> ModelReady:
        """Return 200 while the workers of a model are alive and accept requests."""
        if not registry.get(model).ready:
            raise NotReady(f"model {model!r} accepts no requests; restart the process")
        return ModelReady(name=model)

    @router.post(
        "/models/{model}/infer",
        responses=_infer_responses(),
        response_model=InferReply,
        openapi_extra=_infer_request(settings),
    )
    async def infer(request: Request, model: model_name) -> Response:
        """Translate or classify a tensor of texts.

        With the binary tensor data extension, the body is a JSON part, whose length is the value of the header
        Inference-Header-Content-Length, followed by binary data.
        """
        return await inference.infer(registry.get(model), request)

    return router


@dataclass(frozen=True)
class Inference:
    """Run inference requests."""

    translator: Translator
    settings: Settings

    async def infer(self, model: ServedModel, request: Request) -> Response:
        """Return the outputs of a model.

        Raises:
            InvalidRequest, RequestValidationError: the body is invalid.
            ServiceError: the model cannot answer.
        """
        body, binary = read_infer_body(await request.body(), request.headers.get(JSON_LENGTH_HEADER))
        tensor = body.inputs[0]
        texts = checked_texts(read_texts(tensor, binary), self.settings)
        run = self._classify if model.manifest.task == "classify" else self._translate
        return infer_response(model.name, body, await run(model, texts, body, request))

    async def _classify(
        self, model: ServedModel, texts: list[str], body: InferBody, request: Request
    ) -> list[OutputValues]:
        with request_scope(request, self.settings) as scope:
            answered = await model.classify(texts, scope)
        shape = body.inputs[0].shape
        rows = answered.probabilities
        best = [ranked_labels(model, row, 1)[0] for row in rows]
        return [
            OutputValues("label", "BYTES", shape, [one.label for one in best]),
            OutputValues("score", "FP32", shape, [one.score for one in best]),
            OutputValues("probability", "FP32", [*shape, len(model.manifest.labels)], [p for row in rows for p in row]),
        ]

    async def _translate(
        self, model: ServedModel, texts: list[str], body: InferBody, request: Request
    ) -> list[OutputValues]:
        translation_request = TranslationRequest(
            texts, target=_target(model, body), source=_language(body, "source"), model=model.name
        )
        with request_scope(request, self.settings) as scope:
            done = await self.translator.translate(translation_request, scope)
        shape = body.inputs[0].shape
        return [
            OutputValues("translation", "BYTES", shape, [result.text for result in done.results]),
            OutputValues("source", "BYTES", shape, [result.source for result in done.results]),
            OutputValues("warnings", "BYTES", shape, ["; ".join(result.warnings) for result in done.results]),
        ]


def _target(model: ServedModel, body: InferBody) -> str:
    """Return the target language of the request, or else the only one of the model."""
    if target := _language(body, "target"):
        return target
    targets = sorted({direction.target for direction in model.manifest.directions})
    if len(targets) > 1:
        raise ModelRequired(f"give the parameter target as one of {', '.join(targets)}")
    return targets[0]


def _language(body: InferBody, name: str) -> str | None:
    language = body.parameters.get(name)
    if language is not None and not (isinstance(language, str) and 0 < len(language) <= 35):
        raise InvalidRequest(f"parameters.{name}: give a language, such as 'de'")
    return language


def _model_info(model: ServedModel) -> InferenceModel:
    manifest = model.manifest
    classify = manifest.task == "classify"
    outputs = [
        TensorInfo(name=name, datatype=datatype, shape=shape)  # type: ignore[arg-type]
        for name, datatype, shape in (CLASSIFY_OUTPUTS if classify else TRANSLATE_OUTPUTS)
    ]
    if classify:
        outputs[-1].shape = [-1, len(manifest.labels)]
    directions = [f"{direction.source}-{direction.target}" for direction in manifest.directions]
    return InferenceModel(
        name=manifest.name,
        inputs=[TensorInfo(name="text", datatype="BYTES", shape=[-1])],
        outputs=outputs,
        parameters={"labels": manifest.labels} if classify else {"directions": directions},
    )


def _infer_responses() -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": INFER_EXAMPLE}} | BINARY_CONTENT
    return ERROR_FORMAT.openapi_responses(*MODEL_ERRORS) | {200: {"content": content}}


def _infer_request(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI description of the body, with the settings' limits, and of the header."""
    schema = inline_schema(InferBody)
    tensor = schema["properties"]["inputs"]["items"]
    tensor["properties"]["data"] = list_schema(text_schema(settings), settings)
    tensor["required"] = [*tensor["required"], "data"]
    description = json_body(schema, REQUEST_EXAMPLES)
    description["requestBody"]["content"] |= BINARY_CONTENT
    length = {"type": "integer", "minimum": 0}
    return description | {
        "parameters": [{"name": JSON_LENGTH_HEADER, "in": "header", "required": False, "schema": length}]
    }
