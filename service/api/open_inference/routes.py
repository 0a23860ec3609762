"""The Open Inference Protocol, version 2, as KServe and Triton speak it: /v2, without DeepL's paths in it.

A model reads one input, `text`. The languages of a translation are parameters of the request: `source`, `target`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from service.api.health import ready
from service.api.open_inference.tensors import JSON_LENGTH, InferBody, Output, read_body, read_texts, write
from service.api.shared import FAULTS, best_labels, checked_texts, request_scope
from service.api.text_fields import list_schema, text_schema
from service.errors import InvalidRequest, ModelRequired, NotReady, ServiceError, UnknownModel
from service.http.body_limit import REFUSALS
from service.http.error_formats import ErrorFormat, Errors, inlined, printable
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

PATHS = ("/v2",)
CLASSIFY = [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("probability", "FP32", [-1, -1])]
TRANSLATE = [("translation", "BYTES", [-1]), ("source", "BYTES", [-1]), ("warnings", "BYTES", [-1])]
TEXT = {"name": "text", "shape": [2], "datatype": "BYTES"}
REQUEST_EXAMPLES = {
    "classify": {"value": {"inputs": [TEXT | {"data": ["Bonjour le monde", "Hallo Welt"]}]}},
    "translate": {
        "value": {
            "parameters": {"source": "de", "target": "en"},
            "inputs": [TEXT | {"data": ["Guten Morgen.", "Wo ist der Bahnhof?"]}],
            "outputs": [{"name": "translation"}],
        }
    },
}


class InferenceError(BaseModel):
    """An error as the Open Inference Protocol puts it."""

    error: str


def _error(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    return {"error": printable(fault)}


ERROR_FORMAT = ErrorFormat(InferenceError, _error, statuses={"invalid_request": 400, "empty_text": 400})


class Server(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """It answers."""

    live: Literal[True] = True


class Ready(BaseModel):
    """It takes requests."""

    ready: Literal[True] = True


class ModelReady(Ready):
    """The model takes requests."""

    name: str


class TensorInfo(BaseModel):
    """A tensor; -1 is an axis of any size."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class InferenceModel(BaseModel):
    """A model; its parameters name its labels, or the directions that it translates in."""

    name: str
    platform: str = "onnxruntime_onnx"
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    parameters: dict[str, list[str]]


class OutputTensor(TensorInfo):
    """An output of an inference."""

    parameters: dict[str, int] | None = None
    data: list[str] | list[float] | None = None


class InferReply(BaseModel):
    """The JSON part of an answer."""

    model_name: str
    id: str | None = None
    outputs: list[OutputTensor]


def inference_router(registry: Registry, translator: Translator, settings: Settings) -> APIRouter:
    """The routes over all models."""
    router = APIRouter(prefix="/v2", tags=["open-inference-protocol"])
    inference = Inference(registry, translator, settings)
    names: dict[str, Any] = {"enum": [model.name for model in registry]}
    name = Annotated[str, Path(description="A name from GET /v1/models.", json_schema_extra=names)]

    @router.get("", responses=ERROR_FORMAT.responses(*REFUSALS))
    async def server(request: Request) -> Server:
        """What answers, and which extensions of the protocol it knows."""
        return Server(name="attendant", version=request.app.version, extensions=["binary_tensor_data"])

    @router.get("/health/live")
    async def live() -> Live:
        """The process answers."""
        return Live()

    @router.get("/health/ready", responses=ERROR_FORMAT.responses(NotReady))
    async def server_ready() -> Ready:
        """Every model's workers are alive and take requests."""
        ready(registry)
        return Ready()

    @router.get("/models/{model}", responses=ERROR_FORMAT.responses(*REFUSALS, UnknownModel))
    async def metadata(model: name) -> InferenceModel:
        """A model's inputs and outputs."""
        return _describe(registry.get(model))

    @router.get("/models/{model}/ready", responses=ERROR_FORMAT.responses(*REFUSALS, UnknownModel, NotReady))
    async def model_ready(model: name) -> ModelReady:
        """A model's workers are alive and take requests."""
        if not registry.get(model).ready:
            raise NotReady(f"model {model!r} takes no requests; restart the process")
        return ModelReady(name=model)

    @router.post(
        "/models/{model}/infer", responses=_answers(), response_model=InferReply, openapi_extra=_request(settings)
    )
    async def infer(request: Request, model: name) -> Response:
        """Translate or classify a tensor of texts.

        With the binary tensor data extension the body is the JSON part, whose length the header
        Inference-Header-Content-Length tells, and the binary data after it.
        """
        return await inference.infer(registry.get(model), request)

    return router


@dataclass(frozen=True)
class Inference:
    """Answers inference requests."""

    registry: Registry
    translator: Translator
    settings: Settings

    async def infer(self, model: ServedModel, request: Request) -> Response:
        body, binary = read_body(await request.body(), request.headers.get(JSON_LENGTH))
        tensor = body.inputs[0]
        texts = checked_texts(read_texts(tensor, binary), self.settings)
        infer = self._classify if model.manifest.task == "classify" else self._translate
        return write(model.name, body, await infer(model, texts, body, request))

    async def _classify(self, model: ServedModel, texts: list[str], body: InferBody, request: Request) -> list[Output]:
        with request_scope(request, self.settings) as scope:
            answered = await model.classify(texts, scope)
        shape = body.inputs[0].shape
        rows = answered.probabilities
        best = [best_labels(model, row, 1).labels[0] for row in rows]
        return [
            Output("label", "BYTES", shape, [one.label for one in best]),
            Output("score", "FP32", shape, [one.score for one in best]),
            Output("probability", "FP32", [*shape, len(model.manifest.labels)], [p for row in rows for p in row]),
        ]

    async def _translate(self, model: ServedModel, texts: list[str], body: InferBody, request: Request) -> list[Output]:
        translation_request = TranslationRequest(
            texts, target=_target(model, body), source=_language(body, "source"), model=model.name
        )
        with request_scope(request, self.settings) as scope:
            done = await self.translator.translate(translation_request, scope)
        shape = body.inputs[0].shape
        return [
            Output("translation", "BYTES", shape, [result.text for result in done.results]),
            Output("source", "BYTES", shape, [result.source for result in done.results]),
            Output("warnings", "BYTES", shape, ["; ".join(result.warnings) for result in done.results]),
        ]


def _target(model: ServedModel, body: InferBody) -> str:
    """The target language asked for, or the only one that there is."""
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


def _describe(model: ServedModel) -> InferenceModel:
    manifest = model.manifest
    classify = manifest.task == "classify"
    outputs = [
        TensorInfo(name=name, datatype=datatype, shape=shape)  # type: ignore[arg-type]
        for name, datatype, shape in (CLASSIFY if classify else TRANSLATE)
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


def _answers() -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return ERROR_FORMAT.responses(*FAULTS) | {200: {"content": {"application/octet-stream": binary}}}


def _request(settings: Settings) -> dict[str, Any]:
    """The body, with the settings' limits in its schema."""
    schema = inlined(InferBody)
    tensor = schema["properties"]["inputs"]["items"]
    tensor["properties"]["data"] = list_schema(text_schema(settings), settings)
    tensor["required"] = [*tensor["required"], "data"]
    length = {"name": JSON_LENGTH, "in": "header", "required": False, "schema": {"type": "integer", "minimum": 0}}
    content = {
        "application/json": {"schema": schema, "examples": REQUEST_EXAMPLES},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    return {"requestBody": {"required": True, "content": content}, "parameters": [length]}
