"""The HTTP protocol with admission: refused requests never reach the application, and a stop loses no request."""

import asyncio
import time
from functools import partial
from typing import Any, cast

from uvicorn.server import ServerState

from service.http.admission import CONNECTIONS, PROBES, REQUESTS, Admission
from service.http.plain_request import read_plain_request
from service.http.protocol import BoundedHttpProtocol
from service.http.request_log import REQUEST_ID
from service.http.response_cycle import DEFAULT_POLICY, FIXED_HEADERS

# A refused body up to this size is read and discarded, so that the connection can be kept; after a larger one it is
# closed, since a client could go on sending for as long as it likes.
DISCARDED_BYTES = 65_536
# Seconds in which a client that was refused may read the answer and close. If the server closed at once, while the body
# is arriving, the client's system would discard the answer and report a reset (RFC 9112, section 9.6).
LINGER_SECONDS = 2.0


def refusal_end(closes: bool) -> bytes:
    """Return the last headers of a refusal; `closes`: the connection is closed after it."""
    return FIXED_HEADERS + DEFAULT_POLICY + (b"connection: close\r\n\r\n" if closes else b"\r\n")


class AdmissionState(ServerState):
    """uvicorn's state of a server, with the admission."""

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.admission = admission
        admission.connections, admission.tasks = self.connections, self.tasks


class AdmissionProtocol(BoundedHttpProtocol):
    """Serve or refuse each request; while the service stops, close the connection with the next answer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.admission = cast(AdmissionState, self.server_state).admission
        self.received_before = b""  # what was read before the protocol was made
        self._one_too_many = False  # above the limit: as long as that is so, its request needs an idle one to close
        self._refused = False  # the current request; its body is discarded
        self._closing = False  # after the body of the current, refused request
        self._keeps_alive = False  # whether the client of the current, admitted request may send another one
        self._begun = 0.0  # when the first byte of the current request was read, by time.perf_counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.admission.excess > 0:
            self._one_too_many = not self.admission.idle.close_one()
        self.admission.idle.add_new(self)
        if self.received_before:
            self.data_received(self.received_before)

    def connection_lost(self, exc: Exception | None) -> None:
        self.admission.idle.remove(self)
        self._body_arrived()
        super().connection_lost(exc)

    def close_idle(self) -> None:
        """Close the connection, which has no request in progress."""
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.admission.room > 0 or not self._is_between_requests or not self._refuse_plain(data):
            super().data_received(data)

    @property
    def _is_between_requests(self) -> bool:
        """Whether the connection is idle, and so the data that arrives is the beginning of a request."""
        return (
            self in self.admission.idle
            and self._in_head
            and not (self._overhead or self._held or self._one_too_many or self._lingering or self._rejection)
            and not (self._refused or self.admission.stopping or self.transport.is_closing())
        )

    def _refuse_plain(self, data: bytes) -> bool:
        """Refuse a request without parsing it; return False if that takes a parser."""
        request = read_plain_request(data)
        if request is None or request.path in PROBES:
            return False
        head, body = self.admission.refuse(REQUESTS, request.path, request.request_id)
        self.transport.write(head + refusal_end(not request.keep_alive) + body)
        if request.keep_alive:
            self._stop_timer()
            self._wait_for_next_request()
        else:
            self._close()
        return True

    def _wait_for_next_request(self) -> None:
        """Close the connection unless another request comes in time; it is the last one to make room for others."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self.admission.idle.remove(self)
        self.admission.idle.add(self)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = time.perf_counter()

    def _begin_request(self) -> None:
        if self.transport.is_closing():  # sent together with a request after which the connection is closed
            self._refused = self._closing = True
            return
        previous, previous_keeps_alive = self.cycle, self._keeps_alive
        pipelined = previous is not None and not previous.response_complete
        reason = None if pipelined else self._reason_to_refuse()
        if reason is not None:
            self._refuse(reason)
            return
        self.admission.idle.remove(self)
        self.admission.arriving.add(self)
        super()._begin_request()
        self.scope["started"] = self._begun  # type: ignore[typeddict-unknown-key]
        self._keeps_alive = self.cycle.keep_alive
        if self.admission.stopping:
            self.close_after_response()
            if pipelined and not previous.response_started:
                previous.keep_alive = previous_keeps_alive  # this request follows it on the connection

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        length = next((value for name, value in cycle.scope["headers"] if name == b"content-length"), b"0")
        start = partial(super()._start_asgi_task, cycle, app)
        self.admission.starts.add(self.loop, start, int(length) if length.isdigit() else 0)

    def _reason_to_refuse(self) -> str | None:
        if self._one_too_many and self.admission.excess > 0:
            self.admission.idle.remove(self)  # or it would be closed for itself
            if not self.admission.idle.close_one():
                return CONNECTIONS
        self._one_too_many = False
        path = self.url.partition(b"?")[0].decode("latin-1")
        return None if self.admission.admits(self.parser.get_method(), path) else REQUESTS

    def close_after_response(self) -> None:
        """Let the answer to the latest request say that it is the last one, if it has not begun."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    def _refuse(self, reason: str) -> None:
        headers = dict(self.headers)
        given = headers.get(b"x-request-id", b"")
        request_id = given if REQUEST_ID.fullmatch(given) and given.isascii() else None
        path = self.url.partition(b"?")[0].decode("latin-1")
        head, body = self.admission.refuse(reason, path, request_id, headers.get(b"origin"))
        length = headers.get(b"content-length", b"0")
        self._refused = True
        self._closing = (
            self.admission.stopping
            or self._one_too_many
            or not self.parser.should_keep_alive()
            or self.expect_100_continue
            or b"transfer-encoding" in headers
            or int(length) > DISCARDED_BYTES
        )
        self.transport.write(head + refusal_end(self._closing) + (b"" if self.parser.get_method() == b"HEAD" else body))
        if self._closing:
            self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def on_body(self, body: bytes) -> None:
        if self._refused:
            self._overhead = 0
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            self._on_refused_message_complete()
        else:
            self._body_arrived()
            super().on_message_complete()

    def _on_refused_message_complete(self) -> None:
        self._refused = False
        self._end_request()
        if self._closing:
            self.transport.close()
        else:
            self._wait_for_next_request()

    def _body_arrived(self) -> None:
        self.admission.arriving.discard(self)
        self.admission.slow.discard(self)

    def _reject(self, status: bytes, reason: str) -> None:
        self._body_arrived()
        super()._reject(status, reason)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answering:
            self._body_arrived()  # or the response came before it; it is discarded
            if not self.transport.is_closing():
                self.admission.idle.add(self)
