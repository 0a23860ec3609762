"""The Open Inference Protocol, version 2, of KServe and Triton: /v2, except for DeepL's paths.

A model has one input, `text`. The languages of a translation are parameters of the request: `source`, `target`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel

from service.api.administration import ModelAdministration
from service.api.health import check_ready
from service.api.open_inference.administration import administration_router
from service.api.open_inference.descriptions import (
    EXTENSIONS,
    model_config,
    model_metadata,
    model_parameters,
    model_statistics,
    server_metadata,
)
from service.api.open_inference.error_format import ERROR_FORMAT
from service.api.open_inference.inference import Inference, check_request, find_model
from service.api.open_inference.tensors import (
    JSON_LENGTH_HEADER,
    InferBody,
    infer_response,
    read_infer_body,
    read_texts,
)
from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, wait_for_disconnect
from service.api.text_fields import list_schema, text_schema
from service.errors import FaultyModel, NotReady, UnknownModel
from service.http.admission import Admission
from service.http.openapi import inline_schema, json_body, response_example
from service.http.priority import is_bulk
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings

PATHS = ("/v2",)
TEXT = {"name": "text", "shape": [2], "datatype": "BYTES"}
REQUEST_EXAMPLES = {
    "classify": {"inputs": [TEXT | {"data": ["Bonjour le monde", "Hallo Welt"]}]},
    "translate": {
        "parameters": {"source": "de", "target": "en"},
        "inputs": [TEXT | {"data": ["Guten Morgen.", "Wo ist der Bahnhof?"]}],
        "outputs": [{"name": "translation"}],
    },
}
SERVER_RESPONSE = response_example({"name": "attendant", "version": "0.1.0", "extensions": EXTENSIONS})
MODEL_RESPONSE = response_example({
    "name": "langid", "versions": ["2"], "platform": "onnxruntime_onnx",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]}, {"name": "score", "datatype": "FP32", "shape": [-1]},
        {"name": "probability", "datatype": "FP32", "shape": [-1, 79]},
    ],
    "parameters": {"labels": ["de", "en"]},
})  # fmt: skip
CONFIG_RESPONSE = response_example({
    "name": "langid", "platform": "onnxruntime_onnx", "backend": "onnxruntime", "max_batch_size": 0,
    "input": [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}],
    "output": [{"name": "label", "data_type": "TYPE_STRING", "dims": [-1]}],
})  # fmt: skip
STATISTICS_RESPONSE = response_example({"model_stats": [{
    "name": "langid", "version": "2", "last_inference": 1764400000000, "inference_count": 7, "execution_count": 4,
    "inference_stats": {"success": {"count": 7, "ns": 31000000}, "queue": {"count": 7, "ns": 2000000}},
}]})  # fmt: skip
INFER_EXAMPLE = {
    "model_name": "translate-en-de-fr-es",
    "model_version": "2",
    "outputs": [{"name": "translation", "datatype": "BYTES", "shape": [1], "data": ["Good morning."]}],
}
BINARY_CONTENT = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


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
    versions: list[str]
    platform: str
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
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


def inference_router(
    registry: Registry,
    inference: Inference,
    metrics: Metrics,
    admission: Admission,
    administration: ModelAdministration,
) -> APIRouter:
    """Return the routes over all models."""
    router = APIRouter(prefix="/v2", tags=["open-inference-protocol"])
    middleware_errors = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS)

    async def server() -> InferenceServer:
        """Describe the server."""
        return InferenceServer(**server_metadata())

    for path in ("", "/"):  # the published OpenAPI document has the slash
        router.get(path, responses=middleware_errors | SERVER_RESPONSE, include_in_schema=not path)(server)

    @router.get("/health/live", responses=response_example({"live": True}))
    async def live() -> ServerLive:
        """Return 200 while the process answers."""
        return ServerLive()

    @router.get("/health/ready", responses=ERROR_FORMAT.openapi_responses(NotReady) | response_example({"ready": True}))
    async def server_ready() -> ServerReady:
        """Return 200 while the workers of every model are alive and accept requests."""
        check_ready(registry, admission)
        return ServerReady()

    @router.get("/models/stats", responses=middleware_errors | STATISTICS_RESPONSE)
    async def statistics() -> dict[str, Any]:
        """Return the statistics of all models."""
        return {"model_stats": [model_statistics(model, metrics) for model in registry]}

    names: dict[str, Any] = {"enum": [model.name for model in registry]}
    versions: dict[str, Any] = {"enum": sorted({model.manifest.version for model in registry})}
    model_name = Annotated[str, Path(description="A model name from GET /v1/models.", json_schema_extra=names)]
    version_name = Annotated[str, Path(description="The model's version.", json_schema_extra=versions)]

    async def latest(model: model_name) -> ServedModel:
        return find_model(registry, model)

    async def versioned(model: model_name, version: version_name) -> ServedModel:
        return find_model(registry, model, version)

    for path, find in (("/models/{model}", latest), ("/models/{model}/versions/{version}", versioned)):
        _add_model_routes(router, path, find, registry, inference, metrics)
    router.include_router(administration_router(registry, administration))
    return router


def _add_model_routes(
    router: APIRouter,
    path: str,
    find: Callable[..., Awaitable[ServedModel]],
    registry: Registry,
    inference: Inference,
    metrics: Metrics,
) -> None:
    """Add the routes of one model; `find` is the dependency that looks it up."""
    found = Annotated[ServedModel, Depends(find)]
    errors = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel, FaultyModel)

    @router.get(path, responses=errors | MODEL_RESPONSE)
    async def metadata(model: found) -> InferenceModel:
        """Describe the inputs and outputs of a model."""
        return InferenceModel(**model_metadata(model), parameters=model_parameters(model))

    @router.get(
        f"{path}/ready",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel, FaultyModel, NotReady)
        | response_example({"name": "langid", "ready": True}),
    )
    async def model_ready(model: found) -> ModelReady:
        """Return 200 while the workers of a model are alive and accept requests."""
        if model.problem:
            raise NotReady(f"model {model.name!r}: {model.problem}")
        return ModelReady(name=model.name)

    @router.get(f"{path}/config", responses=errors | CONFIG_RESPONSE)
    async def config(model: found) -> dict[str, Any]:
        """Return the configuration of a model in the terms of Triton."""
        return model_config(model)

    @router.get(f"{path}/stats", responses=errors | STATISTICS_RESPONSE)
    async def model_stats(model: found) -> dict[str, Any]:
        """Return the statistics of a model: counts, and times in nanoseconds."""
        return {"model_stats": [model_statistics(model, metrics)]}

    @router.post(
        f"{path}/infer",
        responses=_infer_responses(),
        response_model=InferReply,
        openapi_extra=_infer_request(inference.settings),
    )
    async def infer(request: Request, model: found) -> Response:
        """Translate or classify a tensor of texts.

        With the binary tensor data extension, the body is a JSON part, whose length is the value of the header
        Inference-Header-Content-Length, followed by binary data.
        """
        body, binary = read_infer_body(await request.body(), request.headers.get(JSON_LENGTH_HEADER))
        check_request(model, body)
        texts = checked_texts(read_texts(body.inputs[0], binary), inference.settings)
        # Again, because another version may be served since the dependency was found; from here to the scope none can.
        model = find_model(registry, request.path_params["model"], request.path_params.get("version", ""))
        caller, bulk = request.scope["caller"], is_bulk(request.scope["headers"])
        with inference.scope(body, wait_for_disconnect(request), caller, bulk) as scope:
            outputs = await inference.infer(model, body, texts, scope)
        return infer_response(model, body, outputs)


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
