"""The outermost ASGI middleware: request ids, access log, request metrics, and responses to unexpected exceptions."""

import asyncio
import logging
import random
import re
import time
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ClientGone, InternalError, Stopping
from service.http.error_formats import ErrorFormats
from service.metrics import Metrics
from service.tracing.spans import RequestTrace, Tracer

log = logging.getLogger("attendant.access")
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"})
REQUEST_ID = re.compile(rb"[\w.:-]{1,100}")


class LogMessage(str):
    """The format of a message of the log, with the names that its arguments have in a JSON log."""

    fields: tuple[str, ...]

    def __new__(cls, text: str, *fields: str) -> "LogMessage":
        message = super().__new__(cls, text)
        message.fields = fields
        return message


ACCESS = LogMessage("%s %s %d %.1f ms id=%s key=%s", "method", "route", "status", "duration_ms", "request_id", "key")


class RequestLogMiddleware:
    """Log and count every request. The log has ids, names of keys, statuses and times, never text."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, error_formats: ErrorFormats, tracer: Tracer | None = None
    ) -> None:
        self.app, self.metrics, self.error_formats, self._tracer = app, metrics, error_formats, tracer
        # As looking up a labelled series takes longer than counting in it.
        self._counters = cache(metrics.requests.labels)
        self._histograms = cache(metrics.request_seconds.labels)
        self._errors = cache(metrics.errors.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = scope.get("started") or time.perf_counter()  # the protocol's: when the first byte was read
        scope["request_id"] = _request_id(scope)
        trace = None if self._tracer is None else self._tracer.begin(scope, started)
        if trace is not None:
            receive = _noting_its_end(receive, trace)
        status = ClientGone.status  # unless a response begins

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", scope["request_id"].encode())]
                if trace is not None:
                    message["headers"] += trace.headers
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the server cancels what still runs when its time to drain is over
            if status != ClientGone.status:
                raise
            await self.error_formats.response(scope, Stopping())(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request %s failed", scope["request_id"])
            if status == ClientGone.status:
                internal = InternalError(f"{type(error).__name__}; the log has the details under the request id")
                await self.error_formats.response(scope, internal)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started, trace)

    def _record(self, scope: MutableMapping[str, Any], status: int, seconds: float, trace: RequestTrace | None) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._counters(route, method, str(status)).inc()
        if status >= 400 and (code := scope.get("error_code")) is not None:
            self._errors(code).inc()
        self._histograms(route).observe(seconds, None if trace is None else trace.exemplar)
        key = scope.get("key", "-")
        log.info(ACCESS, method, route, status, 1000 * seconds, scope["request_id"], key)
        if trace is not None:
            trace.end(route, method, status, scope["request_id"])


def _noting_its_end(receive: Receive, trace: RequestTrace) -> Receive:
    """Return an ASGI receive that tells the trace when the whole request has arrived."""

    async def receive_and_note() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            trace.on_read()
        return message

    return receive_and_note


def _request_id(scope: Scope) -> str:
    """Return the caller's X-Request-ID if it is safe to log, else a new id."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    if REQUEST_ID.fullmatch(given) and given.isascii():
        return given.decode("ascii")
    return f"{random.getrandbits(128):032x}"  # unique, not secret: no need for the system's random source
