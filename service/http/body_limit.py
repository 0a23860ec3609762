"""ASGI middleware that reads request bodies within limits of size and time."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    ClientGone,
    ExpectationFailed,
    InvalidHeader,
    InvalidRequest,
    ServiceError,
    SlowBody,
    TooLarge,
    Unauthorised,
    UnsupportedMediaType,
)
from service.http.content_coding import Decompressor, find_coding
from service.http.error_formats import ErrorFormats
from service.http.request_headers import check_headers

# A body above the limit is read and discarded up to this many times the limit: most clients send the whole body before
# they read the response, and would see a broken connection instead of it.
DISCARD_FACTOR = 16
# That the middleware may return on any path.
BODY_ERRORS = (InvalidHeader, SlowBody, TooLarge, UnsupportedMediaType, ExpectationFailed)


class BodyLimitMiddleware:
    """Read the whole body before the application is called, and reject it if it is too large or too slow.

    The application receives the body as one message, decompressed.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        timeout_seconds: float,
        error_formats: ErrorFormats,
        path_limits: Mapping[str, int] | None = None,
        authenticate_head: Callable[[Scope], bool] = lambda scope: True,
    ) -> None:
        """`path_limits` has the maximum number of bytes for paths with a larger limit of their own, such as uploads.

        They hold for callers that `authenticate_head` returns true for. If it raises `Unauthorised`, nothing of the
        body is kept.
        """
        self.app, self.error_formats, self.authenticate_head = app, error_formats, authenticate_head
        self.max_bytes, self.timeout_seconds = max_bytes, timeout_seconds
        self.path_limits = path_limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        incoming = self._incoming_body(scope)
        try:
            transmission = scope.get("transmission")
            body = await self._read(incoming, receive, transmission is not None and transmission.has_arrived)
        except ClientGone:
            return
        except ServiceError as error:
            response = self.error_formats.response(scope, error)
            if not (isinstance(error, Unauthorised) and incoming.is_complete):
                response.headers["Connection"] = "close"  # the rest of the body was not read
            await response(scope, receive, send)
            return
        await self.app(scope, BufferedBody(body, receive), send)

    def _incoming_body(self, scope: Scope) -> "IncomingBody":
        limit = self.path_limits.get(scope["path"], self.max_bytes)
        try:
            if self.authenticate_head(scope) or limit == self.max_bytes:
                return IncomingBody(scope, limit)
        except Unauthorised as error:
            return IncomingBody(scope, self.max_bytes, error=error)
        return IncomingBody(scope, self.max_bytes, f"send the API key in a header, which allows {limit} bytes")

    async def _read(self, incoming: "IncomingBody", receive: Receive, has_arrived: bool) -> bytes:
        """Read the whole body; `has_arrived`: the server has it already.

        Raises:
            SlowBody: the body did not arrive in time.
            ClientGone: the client disconnected before the end of the body.
            ServiceError: the body is not accepted: see `IncomingBody`.
        """
        try:
            # A body that has arrived needs no timer, which would take longer than to read it.
            async with nullcontext() if has_arrived else asyncio.timeout(self.timeout_seconds):
                while incoming.is_wanted:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the client closed the connection")
                    incoming.add(message.get("body", b""), message.get("more_body", False))
        except TimeoutError:
            raise incoming.error or SlowBody(
                f"only {incoming.size} bytes of the body arrived within {self.timeout_seconds:g} s; send it faster, or "
                "in smaller requests"
            ) from None
        return incoming.finish()


class IncomingBody:
    """The part of a body that has arrived. It never holds more than the limit in memory; after an error, nothing."""

    def __init__(
        self,
        scope: Scope,
        max_bytes: int,
        remedy: str = "send less in one request",
        error: ServiceError | None = None,
    ) -> None:
        """`remedy` is for a body above the limit. With an `error`, everything is discarded."""
        headers = dict(scope["headers"])
        self._remedy = remedy
        self.max_bytes, self.size = max_bytes, 0  # as sent, before decompression
        self.error = error
        self._body, self._more = bytearray(), True
        self._decompressor: Decompressor | None = None
        self._waits = b"expect" in headers  # for permission to send the body; a rejected body is not requested
        length = headers.get(b"content-length", b"")
        self._declared = int(length) if length.isdigit() else 0
        try:
            check_headers(scope, headers)
            if (value := headers.get(b"content-encoding")) and (coding := find_coding(value)):
                self._decompressor = Decompressor(coding)
        except BODY_ERRORS as invalid:
            self.error = invalid
        if self._declared > max_bytes:
            self._reject(self._too_large())

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has arrived."""
        return not self._more

    @property
    def is_wanted(self) -> bool:
        """Whether to read on: to the end, or to discard what a client sends before it reads the response."""
        if self.error is None:
            return self._more
        return self._more and not self._waits and max(self.size, self._declared) <= DISCARD_FACTOR * self.max_bytes

    def add(self, chunk: bytes, more: bool) -> None:
        """Add what has arrived; `more` is false for the last chunk."""
        self._more = more
        self.size += len(chunk)
        if self.error is not None:
            return
        if self._decompressor is not None:
            try:
                chunk = self._decompressor.decompress(chunk, self.max_bytes + 1 - len(self._body))
            except InvalidRequest as error:
                self._reject(error)
                return
        self._body += chunk
        if max(self.size, len(self._body)) > self.max_bytes:
            self._reject(self._too_large())

    def finish(self) -> bytes:
        """Return the whole body.

        Raises:
            ServiceError: it is too large, has an unknown or broken coding, or the request has invalid headers.
        """
        if self.error is not None:
            raise self.error
        if self._decompressor is not None and self.size:
            self._decompressor.finish()
        return bytes(self._body)

    def _reject(self, error: ServiceError) -> None:
        self.error = self.error or error
        self._body.clear()

    def _too_large(self) -> TooLarge:
        compressed = " when decompressed" if self._decompressor is not None and self.size <= self.max_bytes else ""
        return TooLarge(f"the body is above {self.max_bytes} bytes{compressed}; {self._remedy}")


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
