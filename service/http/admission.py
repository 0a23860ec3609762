"""Which connections and requests are served: decided from the head of a request, before anything is computed for it.

Above the limit of requests in flight a request is refused before its body is read, with a response that was prepared
beforehand, without a task or the application: under overload the refusals must not take the time of the answers. A
connection above its limit takes the place of the one that has been idle longest, or else its request is refused too.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import Overloaded
from service.http.concurrency_limit import ConcurrencyLimit
from service.http.cors import CorsHeaders
from service.http.error_formats import ErrorFormat, ErrorFormats
from service.http.idle_connections import IdleConnections
from service.http.start_queue import StartQueue
from service.metrics import Metrics

log = logging.getLogger("attendant.admission")

# Probes are answered when everything else is refused. They are cheap but not free: this many more may be in flight.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/health", "/ping", "/v2/health/live", "/v2/health/ready"})
PROBE_RESERVE = 32
REPORT_SECONDS = 10.0  # between two lines of the log about refusals
REQUEST_ID = "#" * 32  # stands for the request id in a prepared response
REQUESTS, CONNECTIONS = "requests", "connections"  # reasons of a refusal, in the metrics

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class AdmissionLimits:
    """The largest numbers of requests in flight and of open connections."""

    requests: int
    connections: int


class Admission:
    """The state of the service towards its clients: what is in flight, what is idle, and whether it stops."""

    def __init__(
        self, limits: AdmissionLimits, metrics: Metrics, error_formats: ErrorFormats, cors: CorsHeaders | None = None
    ) -> None:
        self.limits, self.cors = limits, cors or CorsHeaders()
        self._limit = ConcurrencyLimit(limits.requests)
        self.stop_by: float | None = None  # time.monotonic() until which everything must have ended, once told to stop
        self.idle = IdleConnections()
        self.connections: Set[Any] = frozenset()  # the server's open connections
        self.tasks: Set[Any] = frozenset()  # the server's running requests
        self.arriving: set[object] = set()  # connections whose running request has not arrived completely
        self.starts = StartQueue()
        self.slow: set[object] = set()  # those of them that have taken longer than a tick
        self._refused: Counter[str] = Counter()  # by reason, since the last line of the log
        self._reported = -REPORT_SECONDS  # when that was written
        self._refused_now = 0  # requests, since the last tick
        self._metrics, self._error_formats = metrics, error_formats
        self._counters = {reason: metrics.refused.labels(reason) for reason in (REQUESTS, CONNECTIONS)}
        self._prepared: dict[
            tuple[int, str], tuple[bytes, list[bytes]]
        ] = {}  # by the id of an error format, and reason
        self._default_headers: Headers = ()
        metrics.requests_in_flight.set_function(lambda: self.in_flight)
        metrics.slow_requests.set_function(lambda: len(self.slow))
        metrics.request_limit.set_function(lambda: self.limit)
        metrics.open_connections.set_function(lambda: len(self.connections))

    @property
    def stopping(self) -> bool:
        """Whether the service was told to stop: it is not ready, and every answer closes its connection."""
        return self.stop_by is not None

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return self._limit.value

    @property
    def in_flight(self) -> int:
        """Requests that are being answered; one whose body arrives slowly costs no more than its connection."""
        return len(self.tasks) + len(self.starts) - len(self.slow)

    def seconds_left(self, otherwise: float) -> float:
        """Return the seconds until everything must have ended; `otherwise` if the service was not told to stop."""
        return otherwise if self.stop_by is None else max(0.0, self.stop_by - time.monotonic())

    @property
    def room(self) -> int:
        """How many more requests may be in flight now; at most 0 when full."""
        return self.limit - self.in_flight

    def admits(self, method: bytes, path: str) -> bool:
        """Return whether a request is to be served now.

        OPTIONS costs no more than a probe, and a browser does not let its page read the refusal of a preflight.
        """
        if self.in_flight < self.limit:
            return True
        return (path in PROBES or method == b"OPTIONS") and self.in_flight < self.limit + PROBE_RESERVE

    @property
    def excess(self) -> int:
        """How many more connections are open than allowed; at most 0 if they are not too many."""
        return len(self.connections) - self.limits.connections

    def refuse(
        self, reason: str, path: str, request_id: bytes | None, origin: bytes | None = None
    ) -> tuple[bytes, bytes]:
        """Count a refusal; return its response: the head, which further headers may follow, and the body.

        Without a request id of the client's the response gets a new one. `origin` is the request's Origin header.
        """
        if request_id is None:
            request_id = b"%032x" % random.getrandbits(128)
        self._refused[reason] += 1
        self._refused_now += 1
        self._counters[reason].inc()
        error_format = self._error_formats.for_path(path)
        prepared = self._prepared.get((id(error_format), reason))
        if prepared is None:
            prepared = self._prepared[id(error_format), reason] = self._prepare(error_format, reason)
        head, parts = prepared
        body = request_id.join(parts)
        head += b"content-length: %d\r\nx-request-id: %s\r\n" % (len(body), request_id)
        return head + self.cors.lines(origin), body

    def _prepare(self, error_format: ErrorFormat, reason: str) -> tuple[bytes, list[bytes]]:
        """Return the head without length and request id, and the body, split where the request id belongs."""
        if reason == REQUESTS:
            detail = f"{self.limit} requests are in flight, as many as can be answered in time; try again later"
        else:
            detail = f"{self.limits.connections} connections have a request in progress, the most allowed; try later"
        response = error_format.response(Overloaded(detail), REQUEST_ID)
        headers = [*self._default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers if name != b"content-length"]
        return STATUS_LINE[response.status_code] + b"".join(lines), bytes(response.body).split(REQUEST_ID.encode())

    def on_tick(self, lag: float, answered: int, default_headers: Headers) -> None:
        """Take note of how late the event loop was, in seconds, of the number of requests answered so far, and of the
        headers of every response.

        The server calls it several times a second.
        """
        self._metrics.loop_lag.observe(lag)
        self.slow |= self.arriving
        self.arriving.clear()
        limit = self.limit
        self._limit.update(time.monotonic(), answered, self._refused_now)
        self._refused_now = 0
        if default_headers is not self._default_headers or limit != self.limit:
            self._default_headers = default_headers
            self._prepared.clear()
        for _ in range(self.excess):
            if not self.idle.close_one():
                break
        if (self._refused or self.idle.closed) and time.monotonic() > self._reported + REPORT_SECONDS:
            self._report()

    def _report(self) -> None:
        """Log the refusals: one line for many, as a line for each would cost more than the refusal."""
        self._reported = time.monotonic()
        for reason, count in self._refused.items():
            limit = self.limit if reason == REQUESTS else self.limits.connections
            log.warning("%d requests were refused with 503: too many %s, the limit is %d", count, reason, limit)
        self._refused.clear()
        if self.idle.closed:
            message = "%d idle connections were closed for new ones: %d may be open, see ATTENDANT_MAX_CONNECTIONS"
            log.warning(message, self.idle.closed, self.limits.connections)
            self.idle.closed = 0
