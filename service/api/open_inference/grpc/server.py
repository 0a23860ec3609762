"""The gRPC server: authentication, limits, errors as status codes, the log, and the stop."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
from fastapi.exceptions import RequestValidationError
from google.protobuf.message import Message

from service.api.open_inference.grpc.answers import METHODS, PUBLIC_METHODS, STREAM, Answers, Call
from service.api.open_inference.grpc.messages import INFERENCE_SERVICE, Method
from service.errors import InternalError, Overloaded, ServiceError, Stopping
from service.http.admission import Admission
from service.http.auth import Authenticator, key_in_headers
from service.http.error_formats import error_message
from service.http.problem_json import invalid_request
from service.http.request_log import LogMessage
from service.http.server import ListenError
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger("attendant.access")
ACCESS = LogMessage("gRPC %s %s %.1f ms key=%s", "route", "status", "duration_ms", "key")

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class GrpcServer:
    """Serves the Open Inference Protocol over gRPC, without TLS. Use it in one event loop."""

    def __init__(
        self,
        answers: Answers,
        settings: Settings,
        metrics: Metrics,
        admission: Admission,
        authenticator: Authenticator,
    ) -> None:
        self._answers, self._settings, self._metrics = answers, settings, metrics
        self._admission, self._authenticator = admission, authenticator
        self._server: grpc.aio.Server | None = None
        self.port = 0  # once it is started

    async def start(self) -> None:
        """Listen on the settings' host and gRPC port.

        Raises:
            ListenError: it is not possible.
        """
        settings = self._settings
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.so_reuseport", 0),  # a second service on the port must fail, not take half of the requests
            ]
        )
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {name: self._handler(method) for name, method in methods.items()}
                )
                for service, methods in METHODS.items()
            )
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError:
            raise ListenError(
                f"cannot listen on {settings.host} port {settings.grpc_port} for gRPC: is it in use? Set "
                "ATTENDANT_GRPC_PORT to another one"
            ) from None
        await self._server.start()
        log.info("gRPC on %s port %d", settings.host, self.port)

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and wait for the running ones; end those that take longer."""
        if self._server is not None:
            await self._server.stop(seconds)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        make = grpc.unary_unary_rpc_method_handler
        behaviour: Callable[..., Any] = partial(self._call, method.name)
        if method.name == STREAM:
            make, behaviour = grpc.stream_stream_rpc_method_handler, partial(self._stream, method)
        return make(behaviour, method.request.FromString, method.response.SerializeToString)

    async def _call(self, name: str, request: Any, context: Any) -> Message:
        """Answer a call, or end it with the status of the error."""
        call = Call(seconds=context.time_remaining())
        try:
            return await self._answer(name, self._answers.by_name[name], request, call, context)
        except ServiceError as error:
            retry = (
                {} if error.retry_after is None else {"trailing_metadata": (("retry-after", str(error.retry_after)),)}
            )
            await context.abort(_code(error), error_message(error), **retry)
            raise AssertionError("abort always raises") from None

    async def _stream(self, method: Method, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Message]:
        """Answer the requests of a stream one after the other, in their order; an error ends only its request."""
        async for request in requests:
            reply: Any = method.response()
            try:
                call = Call(seconds=context.time_remaining())
                answered = await self._answer(method.name, self._answers.infer, request, call, context)
                reply.infer_response.CopyFrom(answered)
            except ServiceError as error:
                reply.error_message = error_message(error)
                reply.infer_response.id = request.id
            yield reply

    async def _answer(
        self, name: str, answer: Callable[[Any, Call], Awaitable[Message]], request: Any, call: Call, context: Any
    ) -> Message:
        """Authenticate, limit, answer, log and count one request.

        Raises:
            ServiceError: with every error that the client is to see.
        """
        started, code, scope = time.perf_counter(), grpc.StatusCode.CANCELLED, _scope(context)
        try:
            reply = await self._admitted(name, answer, request, call, scope)
            code = grpc.StatusCode.OK
            return reply
        except asyncio.CancelledError:
            if self._admission.stopping:
                code = _code(Stopping())
                raise Stopping() from None
            raise
        except ServiceError as error:
            code = _code(error)
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            log.exception("gRPC %s failed", name)
            raise InternalError(f"{type(error).__name__}; the log has the details") from error
        finally:
            self._record(name, code, time.perf_counter() - started, scope.get("key", "-"))

    async def _admitted(
        self,
        name: str,
        answer: Callable[[Any, Call], Awaitable[Message]],
        request: Any,
        call: Call,
        scope: dict[str, Any],
    ) -> Message:
        if name in PUBLIC_METHODS:
            return await answer(request, call)
        if not self._admission.admits(b"POST", f"/{INFERENCE_SERVICE}/{name}"):
            raise Overloaded(f"{self._admission.limit} requests are in flight; try again later")
        caller = self._authenticator.authenticate(scope, key_in_headers(scope["headers"]))
        try:
            return await answer(request, Call(caller, call.seconds, scope))
        except RequestValidationError as error:
            raise invalid_request(error.errors())[0] from None
        finally:
            self._authenticator.release(caller)

    def _record(self, name: str, code: grpc.StatusCode, seconds: float, key: str) -> None:
        route = f"/{INFERENCE_SERVICE}/{name}"
        self._metrics.requests.labels(route, "gRPC", code.name).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        log.info(ACCESS, name, code.name, 1000 * seconds, key)


def _code(error: ServiceError) -> grpc.StatusCode:
    return CODES.get(error.status, grpc.StatusCode.INTERNAL)


def _scope(context: Any) -> dict[str, Any]:
    """Return what authentication reads of an ASGI scope: the metadata as headers, and the client's address."""
    headers = {
        name.encode(): value.encode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in context.invocation_metadata()
    }
    scope: dict[str, Any] = {"headers": headers}
    kind, _, address = unquote(context.peer()).partition(":")
    if kind in ("ipv4", "ipv6"):
        host, _, port = address.rpartition(":")
        scope["client"] = (host.strip("[]"), int(port))
    return scope
