"""ASGI middleware that reads request bodies within limits of size and time."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ClientGone, SlowBody, TooLarge
from service.http.error_formats import ErrorFormats

# A body above the limit is read and discarded up to this many times the limit: most clients send the whole body before
# they read the response, and would see a broken connection instead of it.
DISCARD_FACTOR = 16
BODY_ERRORS = (SlowBody, TooLarge)  # that the middleware may return on any path


class BodyLimitMiddleware:
    """Read the whole body before the application is called, and reject it if it is too large or too slow.

    The application receives the body as one message.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        timeout_seconds: float,
        error_formats: ErrorFormats,
        path_limits: Mapping[str, int] | None = None,
    ) -> None:
        """`path_limits` has the maximum number of bytes for paths with a limit of their own, such as uploads."""
        self.app, self.error_formats = app, error_formats
        self.max_bytes, self.timeout_seconds = max_bytes, timeout_seconds
        self.path_limits = path_limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            limit = self.path_limits.get(scope["path"], self.max_bytes)
            body = await self._read(dict(scope["headers"]), receive, limit)
        except ClientGone:
            return
        except BODY_ERRORS as error:
            response = self.error_formats.response(scope, error)
            response.headers["Connection"] = "close"  # the rest of the body was not read
            await response(scope, receive, send)
            return
        await self.app(scope, BufferedBody(body, receive), send)

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
        """Read the whole body; never hold more than `limit` bytes in memory.

        Raises:
            TooLarge: the body is above the limit.
            SlowBody: the body did not arrive in time.
            ClientGone: the client disconnected before the end of the body.
        """
        discard_limit = DISCARD_FACTOR * limit
        content_length = headers.get(b"content-length", b"")
        declared = int(content_length) if content_length.isdigit() else 0
        too_large = declared > limit
        # A client that sends `Expect` waits for permission to send the body; a rejected body is not requested.
        more = not (declared > discard_limit or (too_large and b"expect" in headers))
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(self.timeout_seconds):
                while more and size <= discard_limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the client closed the connection")
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    size += len(chunk)
                    too_large = too_large or size > limit
                    if too_large:
                        body.clear()
                    else:
                        body += chunk
        except TimeoutError:
            if not too_large:
                raise SlowBody(
                    f"only {size} bytes of the body arrived within {self.timeout_seconds:g} s; send it faster, or in "
                    "smaller requests"
                ) from None
        if too_large:
            raise TooLarge(f"the body is above {limit} bytes; send less in one request")
        return bytes(body)


class BufferedBody:
    """ASGI receive: return the body that was read, then whatever the server sends, such as a disconnect."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()
