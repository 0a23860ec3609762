"""The door, in plain ASGI: hears a request out within bounds of size and time, lets in who may come, sees them out."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ClientGone, RateLimited, ServiceError, SlowBody, TooLarge, Unauthorised
from service.http.auth import Authenticator
from service.http.error_formats import ErrorFormats
from service.settings import Settings

HEARD_OUT = 16  # times the limit
REFUSALS = (Unauthorised, SlowBody, TooLarge, RateLimited)  # what it answers on any path that is closed


class Door:
    """Wraps the application. A body is read before its caller is known: one dialect keeps its key there."""

    def __init__(self, app: ASGIApp, settings: Settings, access: Authenticator, error_formats: ErrorFormats) -> None:
        self.app, self.access, self.error_formats = app, access, error_formats
        self.max_body_bytes, self.body_timeout_seconds = settings.max_body_bytes, settings.body_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            body = await self._read(headers, receive)
            caller = await self.access.enter(scope, headers, Replay(body, receive))
        except ClientGone:
            return
        except (TooLarge, SlowBody) as fault:
            await self._refuse(fault, {"Connection": "close"}, scope, receive, send)
        except (Unauthorised, RateLimited) as fault:
            await self._refuse(fault, {}, scope, receive, send)
        else:
            try:
                await self.app(scope, Replay(body, receive), send)
            finally:
                self.access.leave(caller)

    async def _refuse(
        self, fault: ServiceError, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        response = self.error_formats.answer(scope, fault)
        response.headers.update(headers)
        await response(scope, receive, send)

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body; no more than the limit is ever held.

        What is above it is heard out within reason, for a sender that is cut off never reads the answer.

        Raises:
            TooLarge: the body is above the limit.
            SlowBody: it did not arrive in time.
            ClientGone: it ended too early.
        """
        limit, seconds = self.max_body_bytes, self.body_timeout_seconds
        declared = headers.get(b"content-length", b"")
        announced = int(declared) if declared.isdigit() else 0
        refused = announced > limit
        more = not (announced > HEARD_OUT * limit or (refused and b"expect" in headers))
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(seconds):
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
        except TimeoutError:
            if not refused:
                raise SlowBody(
                    f"{size} bytes of the body came within {seconds:g} s, and not all; send it faster, or in smaller "
                    "requests"
                ) from None
        if refused:
            raise TooLarge(f"the body is above {limit} bytes; send fewer texts in one request")
        return bytes(body)


class Replay:
    """Hands out the body that was read, then listens for the caller's departure."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()
