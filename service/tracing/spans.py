"""What the service tells the trace of the request that is being served, if one is made.

Nothing here needs OpenTelemetry: `service/tracing/otel.py`, which does, makes the traces. Without one, a span costs the
look at a context variable.
"""

from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

from service.engine.types import EngineRequest, EngineResult

READ, SEGMENT, QUEUE, ENCODE, STEPS, REASSEMBLE = "read", "segment", "queue", "encode", "steps", "reassemble"
_NO_SPAN: AbstractContextManager[object] = nullcontext()


class RequestTrace(Protocol):
    """The trace of one HTTP request. It has names, numbers and times, never a text or a token."""

    @property
    def exemplar(self) -> dict[str, str]:
        """The labels that lead from a metric to the trace."""

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers of the response that name the trace."""

    def span(self, name: str) -> AbstractContextManager[object]:
        """Return a part of the work that lasts as long as the context."""

    def on_read(self) -> None:
        """Note that the whole request has arrived."""

    def on_result(self, model: str, request: EngineRequest, result: EngineResult) -> None:
        """Note what the engine did for one of the request's segments."""

    def end(self, route: str, method: str, status: int, request_id: str) -> None:
        """End the trace, with what became of the request."""


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, scope: MutableMapping[str, Any], started: float) -> RequestTrace | None:
        """Return the trace of a request whose first byte was read at `started` (time.perf_counter); None: not traced.

        It is the current trace of this task.
        """

    def close(self, seconds: float) -> None:
        """Send the traces that were not sent yet, within so many seconds."""


current_trace: ContextVar[RequestTrace | None] = ContextVar("current_trace", default=None)


def span(name: str) -> AbstractContextManager[object]:
    """Return a part of the work on the current request, which lasts as long as the context."""
    trace = current_trace.get()
    return _NO_SPAN if trace is None else trace.span(name)
