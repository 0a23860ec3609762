"""A connection as uvicorn serves it, with what uvicorn leaves out: the head of a request has bounds, too.

Its lines are read before the application is asked, so nobody but the protocol can bound their size and their time.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# No other protocol is spoken here, and that is answered by going on in this one (RFC 9110, 7.8). The parser would take
# the body of a request that offers one, as Java's client does with h2c, for the new protocol's, and drop it.
OFFER = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
# What a packet may end with that the next one makes an offer of, or the end of the head.
BEGUN = re.compile(rb"\r(\n(\r|u(p(g(r(a(d(e[ \t]*)?)?)?)?)?)?)?)?\Z", re.IGNORECASE)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes when a head is too large or does not end in time."""

    head_bytes = 65_536
    head_seconds = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head, self._size = True, 0  # whether a head is being read or waited for, and what came of it
        self._held = b""  # of the head, until it is clear what it begins
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._expire)

    def _expire(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # an answer to what was asked before is on its way
        elif self._size:
            self._refuse(b"408 Request Timeout", f"The head of the request took more than {self.head_seconds:g} s.")
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._size = False, 0
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True  # the next one's, if there is one
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._size += len(data)
            data, self._held = self._held + data, b""
            head, end, body = data.partition(b"\r\n\r\n")
            if not end and (begun := BEGUN.search(head)):
                head, self._held = head[: begun.start()], begun[0]
                data = head
            if OFFER.search(head):
                data = OFFER.sub(b"\r\nx-declined-upgrade", head) + end + body
        super().data_received(data)
        if self._in_head and self._size > self.head_bytes and not self.transport.is_closing():
            self._refuse(
                b"431 Request Header Fields Too Large", f"The head of the request is above {self.head_bytes} bytes."
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes, reason: str) -> None:
        """There is no path yet that would say in which words."""
        lines = [
            b"HTTP/1.1 " + status, b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(reason),
            b"connection: close", b"", reason.encode(),
        ]  # fmt: skip
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()
