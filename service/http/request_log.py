"""The outermost layer, in plain ASGI: request ids, access log and request metrics."""

import asyncio
import logging
import random
import re
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import InternalError, Stopping
from service.http.error_formats import ErrorFormats
from service.metrics import Metrics

log = logging.getLogger("attendant.access")
NO_ANSWER = 499  # the caller left before an answer began
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"})
REQUEST_ID = re.compile(rb"[\w.:-]{1,100}")


class RequestLogMiddleware:
    """Wraps the application; logs carry ids, the names of keys, sizes and times, never text."""

    def __init__(self, app: ASGIApp, metrics: Metrics, error_formats: ErrorFormats) -> None:
        self.app, self.metrics, self.error_formats = app, metrics, error_formats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["request_id"] = _request_id(scope)
        status = NO_ANSWER

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", scope["request_id"].encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # as the server does with what is left when its time to drain is over
            if status != NO_ANSWER:
                raise
            await self.error_formats.answer(scope, Stopping())(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request %s failed", scope["request_id"])
            if status == NO_ANSWER:
                fault = InternalError(f"{type(error).__name__}; the log has the details under the request id")
                await self.error_formats.answer(scope, fault)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        name = scope.get("key", "-")
        log.info("%s %s %d %.1f ms id=%s key=%s", method, route, status, 1000 * seconds, scope["request_id"], name)


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-ID where it is harmless, else a new one."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    if REQUEST_ID.fullmatch(given) and given.isascii():
        return given.decode("ascii")
    return f"{random.getrandbits(128):032x}"  # told apart, not secret: no need to ask the system for randomness
