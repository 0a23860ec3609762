"""The answers to the methods of the gRPC API. The transport is in server.py."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from service.api.administration import ModelAdministration
from service.api.health import check_ready
from service.api.open_inference.administration import check_no_parameters
from service.api.open_inference.descriptions import (
    LOG_SETTINGS,
    REFUSALS,
    TRACE_SETTINGS,
    check_settings,
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from service.api.open_inference.grpc.inference import STREAM_PARAMETERS, make_response, read_request
from service.api.open_inference.grpc.messages import HEALTH_SERVICE, INFERENCE_SERVICE, Method, read_methods
from service.api.open_inference.inference import Inference, check_request, find_model
from service.api.shared import checked_texts
from service.errors import NotReady, NotSupported, UnknownModel
from service.http.admission import Admission
from service.metrics import Metrics
from service.models.registry import Registry

METHODS = {name: read_methods(name) for name in (INFERENCE_SERVICE, HEALTH_SERVICE)}
PUBLIC_METHODS = frozenset({"ServerLive", "ServerReady", "Check"})  # as over HTTP, probes need no key
STREAM = "ModelStreamInfer"  # the only method with a stream
REFUSED = {
    "SystemSharedMemoryRegister": "shared_memory",
    "CudaSharedMemoryRegister": "shared_memory",
}


@dataclass(frozen=True)
class Call:
    """Where a request comes from, and the seconds its client waits (None: as long as it takes).

    `scope` is what authentication reads of an ASGI scope.
    """

    caller: str = ""
    seconds: float | None = None
    scope: dict[str, Any] = field(default_factory=dict)


Answer = Callable[[Any, Call], Awaitable[Message]]


class Answers:
    """The answer to every method, by the method's name, over the served models."""

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        admission: Admission,
        administration: ModelAdministration,
    ) -> None:
        self._registry, self._inference, self._administration = registry, inference, administration
        self._metrics, self._admission = metrics, admission
        self._methods = METHODS[INFERENCE_SERVICE]
        described: dict[str, Callable[[Any], Mapping[str, Any]]] = {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: {"ready": self._ready},
            "ServerMetadata": lambda _: server_metadata(),
            "ModelReady": lambda request: {"ready": not find_model(registry, request.name, request.version).problem},
            "ModelMetadata": lambda request: model_metadata(find_model(registry, request.name, request.version)),
            "ModelConfig": lambda request: {
                "config": model_config(find_model(registry, request.name, request.version))
            },
            "ModelStatistics": self._statistics,
            "RepositoryIndex": lambda request: {"models": repository_index(registry, request.ready)},
            "SystemSharedMemoryStatus": lambda _: {},
            "CudaSharedMemoryStatus": lambda _: {},
            "SystemSharedMemoryUnregister": lambda _: {},  # clients unregister all regions before they begin
            "CudaSharedMemoryUnregister": lambda _: {},
            "TraceSetting": self._trace_settings,
            "LogSettings": _log_settings,
        }
        health = METHODS[HEALTH_SERVICE]
        self.by_name: dict[str, Answer] = {
            "ModelInfer": self.infer, "RepositoryModelLoad": self._load, "RepositoryModelUnload": self._unload,
        }  # fmt: skip
        self.by_name |= {name: _describe(self._methods[name], describe) for name, describe in described.items()}
        self.by_name |= {name: _refuse(REFUSALS[reason]) for name, reason in REFUSED.items()}
        self.by_name |= {"Check": _describe(health["Check"], self._health)}

    @property
    def _ready(self) -> bool:
        try:
            check_ready(self._registry, self._admission)
        except NotReady:
            return False
        return True

    async def infer(self, request: Any, call: Call) -> Message:
        """Return the response to an inference request.

        Raises:
            ServiceError, RequestValidationError: the request is invalid, or the model cannot answer.
        """
        model = find_model(self._registry, request.model_name, request.model_version)
        body, found = read_request(request)
        check_request(model, body, STREAM_PARAMETERS)
        texts = checked_texts(found, self._inference.settings)
        # A client that cancels or leaves needs no watch: the call's task is cancelled.
        never = asyncio.get_running_loop().create_future()
        with self._inference.scope(body, lambda: never, call.caller, seconds=call.seconds) as scope:
            outputs = await self._inference.infer(model, body, texts, scope)
        return make_response(self._methods["ModelInfer"], request, model, outputs)  # type: ignore[no-any-return]

    async def _load(self, request: Any, call: Call) -> Message:
        self._administration.check(call.scope)
        check_no_parameters({"parameters": list(request.parameters)})
        await self._administration.load(call.scope, request.model_name)
        return self._methods["RepositoryModelLoad"].reply({})

    async def _unload(self, request: Any, call: Call) -> Message:
        await self._administration.unload(call.scope, request.model_name)
        return self._methods["RepositoryModelUnload"].reply({})

    def _statistics(self, request: Any) -> Mapping[str, Any]:
        chosen = [find_model(self._registry, request.name, request.version)] if request.name else self._registry
        return {"model_stats": [model_statistics(model, self._metrics) for model in chosen]}

    def _trace_settings(self, request: Any) -> Mapping[str, Any]:
        if request.model_name:
            find_model(self._registry, request.model_name)
        check_settings({name: list(setting.value) for name, setting in request.settings.items()}, TRACE_SETTINGS)
        values = {name: value if isinstance(value, list) else [value] for name, value in TRACE_SETTINGS.items()}
        return {"settings": {name: {"value": value} for name, value in values.items()}}

    def _health(self, request: Any) -> Mapping[str, Any]:
        if request.service not in ("", INFERENCE_SERVICE):
            raise UnknownModel(f"no service {request.service[:80]!r}; there is {INFERENCE_SERVICE}")
        return {"status": "SERVING" if self._ready else "NOT_SERVING"}


def _describe(method: Method, describe: Callable[[Any], Mapping[str, Any]]) -> Answer:
    async def answer(request: Any, call: Call) -> Message:
        return method.reply(describe(request))

    return answer


def _refuse(message: str) -> Answer:
    async def answer(request: Any, call: Call) -> Message:
        raise NotSupported(message)

    return answer


def _value(setting: Any) -> Any:
    kind = setting.WhichOneof("parameter_choice")
    return None if kind is None else getattr(setting, kind)


def _log_settings(request: Any) -> Mapping[str, Any]:
    wanted = {name: _value(setting) for name, setting in request.settings.items()}
    check_settings(wanted, LOG_SETTINGS)
    kinds: dict[type, str] = {bool: "bool_param", int: "uint32_param", str: "string_param"}
    return {"settings": {name: {kinds[type(value)]: value} for name, value in LOG_SETTINGS.items()}}
