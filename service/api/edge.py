"""The outermost layer, in plain ASGI: request ids, the body limit, access log and request metrics."""

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.wording import Wordings
from service.errors import ClientGone, InternalError, TooLarge
from service.metrics import Metrics

log = logging.getLogger("attendant.access")
NO_ANSWER = 499  # the caller left before an answer began
HEARD_OUT = 16  # times the limit
REQUEST_ID = re.compile(rb"[\w.:-]{1,100}")


class Edge:
    """Wraps the application; logs carry ids, sizes and times, never text."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, metrics: Metrics, wordings: Wordings) -> None:
        self.app, self.max_body_bytes, self.metrics, self.wordings = app, max_body_bytes, metrics, wordings

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
                await self.wordings.answer(scope, fault)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._read(scope, receive)
        except TooLarge as fault:
            response = self.wordings.answer(scope, fault)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
        except ClientGone:
            return
        else:
            await self.app(scope, _Replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body; no more than the limit is ever held.

        What is above it is heard out within reason, for a sender that is cut off never reads the answer.

        Raises:
            TooLarge: the body is above the limit.
            ClientGone: it ended too early.
        """
        headers, limit = dict(scope["headers"]), self.max_body_bytes
        declared = headers.get(b"content-length", b"")
        announced = int(declared) if declared.isdigit() else 0
        refused = announced > limit
        more = not (announced > HEARD_OUT * limit or (refused and b"expect" in headers))
        body, size = bytearray(), 0
        while more and size <= HEARD_OUT * limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client closed the connection")
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
            refused = refused or size > limit
            if refused:
                body.clear()
            else:
                body += message.get("body", b"")
        if refused:
            raise TooLarge(f"the body is above {limit} bytes; send fewer texts in one request")
        return bytes(body)

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
