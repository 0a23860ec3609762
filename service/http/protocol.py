"""uvicorn's HTTP protocol with limits on what a request consists of besides its body, which uvicorn does not have.

The head is parsed before the application is called, so no middleware can limit it.
"""

import asyncio
import logging
import re
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.response_cycle import DEFAULT_POLICY, FIXED_HEADERS, ReadControl, ResponseCycle

log = logging.getLogger("attendant.http")

# A server may ignore the offer of another protocol and continue in HTTP/1.1 (RFC 9110, section 7.8). The parser would
# treat the body of such a request, as Java's client sends with h2c, as data of the new protocol and drop it; so the
# header is renamed before it is parsed.
UPGRADE_HEADER = re.compile(rb"\r\nupgrade(?=:)", re.IGNORECASE)
# The end of a packet that may continue, in the next one, to an Upgrade header or to the end of the head.
INCOMPLETE_END = re.compile(rb"\r(\n(\r|u(p(g(r(a(d(e)?)?)?)?)?)?)?)?\Z", re.IGNORECASE)
PIECE = 4096  # bytes that are parsed before the limits are checked again
MAX_PIPELINED = 16  # requests that wait for the response to an earlier one; further ones are not even parsed
# After a response that comes before the end of its request, so much more is read and discarded: if the connection were
# closed at once, the client's system would discard the response (RFC 9112, section 9.6).
LINGER_BYTES, LINGER_SECONDS = 16 * 2**20, 5.0


BODY_HEADERS = (b"content-length", b"transfer-encoding")
VERSIONS = ("1.0", "1.1")
URL_ERRORS = (httptools.HttpParserInvalidURLError, UnicodeDecodeError)


class InvalidHead(Exception):
    """The head of a request is well-formed, but the request cannot be read. Raised within the parser."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Limit the head of a request in size and time, all else around its body in size, and the sending in time.

    Everything that is not body is limited to `head_bytes`: the head, the trailers after a chunked body, and what stands
    between two chunks. Trailers are not passed on (RFC 9110, section 6.5.1, leaves that to the receiver).
    """

    head_bytes = 65_536
    head_seconds = 30.0
    send_seconds = 30.0  # without any progress

    cycle: ResponseCycle  # of the request that was read last; None before the first
    flow: ReadControl

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True  # whether a head is being read or awaited
        self._overhead = 0  # bytes read since the last byte of a body, or the last end of a head or a request
        self._held = b""  # the end of the last packet, held back until the next one shows what it is
        self._unparsed = b""  # what follows MAX_PIPELINED requests
        self._reading: ResponseCycle | None = None  # the request whose body is being read
        self._running: ResponseCycle | None = None  # the request that is being answered
        self._rejection: bytes | None = None  # to send after the responses to earlier requests; nothing more is parsed
        self._lingering = False  # whether the last response was sent, and the client's data is discarded
        self._discarded = 0
        self._deadline: asyncio.TimerHandle | None = None  # of the head, or of lingering
        self._send_deadline: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes in the transport's buffer when the send timer was started

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = ReadControl(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._send_deadline is not None:
            self._send_deadline.cancel()
        if self._running is not None and self._running.is_running:
            self._running.abandon()
        super().connection_lost(exc)
        # The requests refer to the connection. Without these references all of it is freed at once, and not by a
        # garbage collection, which would stop the service for 50 ms after a thousand connections.
        self.cycle = self._reading = self._running = None  # type: ignore[assignment]
        self.pipeline.clear()

    def shutdown(self) -> None:
        if self._lingering:
            self.transport.close()
        else:
            super().shutdown()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._rejection is not None or self._lingering:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        if self._unparsed:  # read before reading was stopped
            self._unparsed += data
            return
        self._parse(self._decline_upgrade(data) if self._in_head else data)

    def _decline_upgrade(self, data: bytes) -> bytes:
        """Rename the Upgrade header in the head that the data begins with; hold back an end that may be part of one."""
        data, self._held = self._held + data, b""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end and (incomplete := INCOMPLETE_END.search(head)):
            head, self._held = head[: incomplete.start()], incomplete[0]
            data = head
        if UPGRADE_HEADER.search(head):
            data = UPGRADE_HEADER.sub(b"\r\nx-declined-upgrade", head) + end + body
        return data

    def _parse(self, data: bytes) -> None:
        """Parse the data, in pieces so small that the limits hold even if all of it has arrived at once."""
        start = 0
        while start < len(data) and self._rejection is None and not self._lingering:
            if len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed = data[start:]
                self._stop_reading()
                return
            room = self.head_bytes - self._overhead
            if room <= 0:
                self._reject(
                    b"431 Request Header Fields Too Large",
                    f"{'The head' if self._in_head else 'What is not body'} of the request is above {self.head_bytes} "
                    "bytes; send fewer or shorter header fields.",
                )
                return
            piece = data[start : start + min(room, PIECE)]
            self._overhead += len(piece)
            start += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:  # of a pipelined request; it was read as one without a body
                start -= len(piece) - upgrade.args[0]
            except httptools.HttpParserError as error:
                self._reject(b"400 Bad Request", f"The request is not valid HTTP/1.1: {_reason(error)}.")
        if self._in_head and self._overhead and self._rejection is None and not self._lingering:
            self._start_timer()  # most heads arrive at once, and need none

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._stop_timer()
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise InvalidHead(f"version {version} is not served")
        if self.parser.should_upgrade() and any(name in BODY_HEADERS for name, _ in self.headers):
            raise InvalidHead("a pipelined request may not offer another protocol and have a body")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        if path.startswith("//"):  # a client whose base URL ends with a slash; Flask and nginx merge them too
            path = "/" + path.lstrip("/")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url.path
        scope["query_string"] = url.query or b""
        self._in_head, self._overhead = False, 0
        self._begin_request()

    def _begin_request(self) -> None:
        """Call the application once earlier requests have been answered. `self.scope` is complete."""
        version, answering = self.scope["http_version"], self._is_answering
        self.cycle = self._reading = ResponseCycle(
            end_connection=self._end_connection,
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if answering:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_request()
        super().on_message_complete()
        self.cycle.transmission.has_arrived = True

    def _end_request(self) -> None:
        """Await the head of the next request."""
        self._in_head, self._overhead, self._reading = True, 0, None

    # Answering

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and self._running.is_running

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._lingering:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._rejection is not None and not self._is_answering:
            self._send_rejection()
        elif self._unparsed and len(self.pipeline) < MAX_PIPELINED:
            data, self._unparsed = self._unparsed, b""
            self.flow.stopped = False
            self._parse(data)

    def _reject(self, status: bytes, reason: str) -> None:
        """Read no further. Respond, after the responses to earlier requests, and close the connection.

        The response is plain text, as the path that selects an error format may not be known.
        """
        log.info("refused a request: %s", reason)
        self._stop_timer()
        lines = [
            b"HTTP/1.1 " + status, b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(reason),
            b"connection: close", FIXED_HEADERS + DEFAULT_POLICY, reason.encode(),
        ]  # fmt: skip
        self._rejection = b"\r\n".join(lines)
        if not self._in_head:  # the body or the trailers of a request cannot be read
            if self._reading is None or self._reading.response_started:
                self._rejection = b""  # a second response would be taken for that to another request
            elif self.pipeline and self.pipeline[0][0] is self._reading:
                self.pipeline.popleft()
            if self._reading is not None:
                self._reading.abandon()
        if not self._is_answering:
            self._send_rejection()

    def _send_rejection(self) -> None:
        if self._rejection:
            self.transport.write(self._rejection)
        self._linger()

    # Ending

    def _end_connection(self) -> None:
        """Close the connection after a response."""
        if self._in_head and not self._overhead and not self.pipeline:
            self._close()
        else:  # the client is still sending
            self._linger()

    def _linger(self) -> None:
        """Say that no response follows; close when the client does, or after a limit."""
        self._lingering = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        if not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self.flow.stopped = False
        self.flow.resume_reading()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self._close)

    def _discard(self, size: int) -> None:
        """Count what is not parsed any more."""
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            if self._lingering:
                self._close()
            else:
                self._stop_reading()

    def _stop_reading(self) -> None:
        self.flow.pause_reading()
        self.flow.stopped = True

    def _close(self) -> None:
        self.transport.close()
        self._watch_sending()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    # Time limits

    def _start_timer(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._expire)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self._is_answering:
            self._start_timer()  # the response to the previous request is still being sent
        elif self._overhead:
            self._reject(b"408 Request Timeout", f"The head of the request took more than {self.head_seconds:g} s.")
        else:
            self._close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_deadline is not None:
            self._send_deadline.cancel()
            self._send_deadline = None

    def _watch_sending(self) -> None:
        """Disconnect the client if it reads nothing of what is to be sent within `send_seconds`."""
        self._unsent = self.transport.get_write_buffer_size()
        if self._unsent and self._send_deadline is None:
            self._send_deadline = self.loop.call_later(self.send_seconds, self._check_sending)

    def _check_sending(self) -> None:
        self._send_deadline = None
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_sending()
            return
        log.warning(
            "disconnected a client: it has read nothing for %g s, and %d bytes of responses wait for it",
            self.send_seconds, self._unsent,
        )  # fmt: skip
        self.transport.abort()


def _reason(error: httptools.HttpParserError) -> str:
    """Return why the parser failed; log errors that are our own."""
    cause = error.__context__
    if isinstance(cause, InvalidHead):
        return str(cause)
    if isinstance(cause, URL_ERRORS):
        return "the request target is invalid"
    if cause is not None:
        log.error("the parser of requests failed", exc_info=cause)
    return str(error)[:200]
