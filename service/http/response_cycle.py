"""uvicorn's request-response cycle: fixed headers on every response, HTTP/1.0, and an orderly end of the connection."""

from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

POLICY = b"content-security-policy"
# On every response, and only the policy can be replaced by a route: an answer of the API is no page, loads nothing, is
# in no frame and is what its Content-Type says.
FIXED_HEADERS = b"x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n"
DEFAULT_POLICY = POLICY + b": default-src 'none'; frame-ancestors 'none'\r\n"
# RFC 9110, section 5.6.2, in lower case; and section 5.5: visible characters, blanks and bytes above 127.
NAME_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~"
VALUE_BYTES = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


class ReadControl(FlowControl):
    """Flow control whose reading can be stopped whatever the application asks for."""

    stopped = False

    def resume_reading(self) -> None:
        if not self.stopped:
            super().resume_reading()


class Transmission:
    """What ASGI's messages tell only to those that wait for them: `scope["transmission"]`."""

    __slots__ = ("_flow", "_listener", "client_gone", "has_arrived")

    def __init__(self, flow: FlowControl) -> None:
        self.has_arrived = False  # whether the whole request was received
        self.client_gone = False  # whether nobody reads the response
        self._flow, self._listener = flow, _ignore

    def on_client_gone(self, listener: Callable[[], None] | None) -> None:
        """Call a function, instead of an earlier one, as soon as nobody reads the response; None: call none."""
        self._listener = listener or _ignore
        if listener is not None:
            self._flow.resume_reading()  # the end of a connection is noticed only by reading it
            if self.client_gone:
                listener()

    def end(self) -> None:
        """Note that nobody reads the response."""
        self.client_gone = True
        self._listener()


def _ignore() -> None: ...


class ResponseCycle(RequestResponseCycle):
    """One request and its response. `end_connection` closes the connection after the response, if it must close."""

    def __init__(self, end_connection: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self.transmission = Transmission(self.flow)
        self.scope["transmission"] = self.transmission  # type: ignore[typeddict-unknown-key]
        self.end_connection = end_connection
        self._left: int | None = 0  # bytes of the body still to send; None: as many as come

    @property
    def is_running(self) -> bool:
        """Whether the client still waits for the end of the response."""
        return not (self.response_complete or self.disconnected)

    def abandon(self) -> None:
        """Let the application know that nobody reads its response."""
        self.disconnected = True
        self.waiting_for_100_continue = False  # nor the permission to send a body
        self.message_event.set()
        self.transmission.end()

    async def send(self, message: ASGISendEvent) -> None:
        """Write one ASGI message of the response."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"expected the start of a response, not {message['type']!r}")
            self._send_head(message)
        elif not self.response_complete:
            if message["type"] != "http.response.body":
                raise RuntimeError(f"expected the body of a response, not {message['type']!r}")
            self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']!r} after the end of the response")

    def _send_head(self, message: HTTPResponseStartEvent) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status, policy, length = message["status"], DEFAULT_POLICY, b""
        headers = [*self.default_headers, *message.get("headers", ())]
        lines = [STATUS_LINE[status], FIXED_HEADERS]
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == POLICY:
                policy = b""
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
                continue
            lines += (name, b": ", value, b"\r\n")
        _check(headers)
        lines.append(policy)
        has_body = self.scope["method"] != "HEAD" and status not in (204, 304)
        if length:
            self._left = int(length) if has_body else 0
        elif has_body:
            self._left = None
            self.chunked_encoding = self.scope["http_version"] != "1.0"
            if self.chunked_encoding:
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False  # the end of the connection ends the body
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self.scope["http_version"] == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))

    def _send_body(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body is longer than Content-Length")
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if body:
            self.transport.write(body)
        if more:
            return
        if self._left:
            raise RuntimeError("the body is shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.end_connection()
        self.on_response()


def _check(headers: list[tuple[bytes, bytes]]) -> None:
    """Check that no header has characters that could end its line.

    Raises:
        RuntimeError: one has.
    """
    names, values = zip(*headers, strict=True) if headers else ((), ())
    if b"".join(names).translate(None, NAME_BYTES) or b"".join(values).translate(None, VALUE_BYTES):
        raise RuntimeError("a header of the response has characters that are not allowed")
