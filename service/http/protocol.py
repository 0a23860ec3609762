"""uvicorn's HTTP protocol with limits on the size and the time of a request's head, which uvicorn does not have.

The head is parsed before the application is called, so no middleware can limit it.
"""

import asyncio
import re
from typing import Any

from service.http.connection import AdmissionProtocol

# A server may ignore the offer of another protocol and continue in HTTP/1.1 (RFC 9110, section 7.8). The parser would
# treat the body of such a request, as Java's client sends with h2c, as data of the new protocol and drop it; so the
# header is renamed before it is parsed.
UPGRADE_HEADER = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
# The end of a packet that may continue, in the next one, to an Upgrade header or to the end of the head.
INCOMPLETE_END = re.compile(rb"\r(\n(\r|u(p(g(r(a(d(e[ \t]*)?)?)?)?)?)?)?)?\Z", re.IGNORECASE)


class BoundedHttpProtocol(AdmissionProtocol):
    """Close the connection when a request's head is too large or does not end in time."""

    head_bytes = 65_536
    head_seconds = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head, self._size = True, 0  # whether a head is being read or awaited, and its bytes so far
        self._held = b""  # the end of the last packet, held back until the next one shows what it is
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def _start_timer(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._expire)

    def _expire(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # the response to the previous request is still being sent
        elif self._size:
            self._reject(b"408 Request Timeout", f"The head of the request took more than {self.head_seconds:g} s.")
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_timer()

    def on_headers_complete(self) -> None:
        self._in_head, self._size = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True  # of the next request
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._size += len(data)
            data, self._held = self._held + data, b""
            head, end, body = data.partition(b"\r\n\r\n")
            if not end and (incomplete := INCOMPLETE_END.search(head)):
                head, self._held = head[: incomplete.start()], incomplete[0]
                data = head
            if UPGRADE_HEADER.search(head):
                data = UPGRADE_HEADER.sub(b"\r\nx-declined-upgrade", head) + end + body
        super().data_received(data)
        if self._in_head and self._size > self.head_bytes and not self.transport.is_closing():
            self._reject(
                b"431 Request Header Fields Too Large", f"The head of the request is above {self.head_bytes} bytes."
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _reject(self, status: bytes, reason: str) -> None:
        """Respond in plain text, as the path that selects an error format is not known, and close the connection."""
        lines = [
            b"HTTP/1.1 " + status, b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(reason),
            b"connection: close", b"", reason.encode(),
        ]  # fmt: skip
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()
