"""The outermost layer, in plain ASGI: request ids, the body limit, access log and request metrics."""

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.errors import InternalError, TooLarge
from service.metrics import Metrics

log = logging.getLogger("attendant.access")
NO_ANSWER = 499  # the caller left before an answer began
REQUEST_ID = re.compile(rb"[\w.:-]{1,100}")


class Edge:
    """Wraps the application; logs carry ids, sizes and times, never text."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, metrics: Metrics) -> None:
        self.app, self.max_body_bytes, self.metrics = app, max_body_bytes, metrics

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
            await self._serve(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request %s failed", scope["request_id"])
            if status == NO_ANSWER:
                fault = InternalError(f"{type(error).__name__}; the log has the details under the request id")
                await problem(fault, scope["request_id"])(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(scope, receive)
        if body is None:
            fault = TooLarge(f"the body is above {self.max_body_bytes} bytes; send fewer texts in one request")
            response = problem(fault, scope["request_id"])
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self.app(scope, _Replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body, or None when it is above the limit; no more than the limit is ever held."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_body_bytes:
            return None
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            chunks.append(message.get("body", b""))
            size, more = size + len(chunks[-1]), message.get("more_body", False)
            if size > self.max_body_bytes:
                return None
        return b"".join(chunks)

    def _record(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = (
            scope["method"]
            if scope["method"] in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"}
            else "other"
        )
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        log.info("%s %s %d %.1f ms id=%s", method, route, status, 1000 * seconds, scope["request_id"])


class _Replay:
    """Hands out the body that was read, then listens for the caller's departure."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-ID where it is harmless, else a new one."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode("ascii") if REQUEST_ID.fullmatch(given) and given.isascii() else uuid.uuid4().hex
