"""Traces of requests in OpenTelemetry, sent over OTLP: ATTENDANT_TRACES turns them on; needs the extra `otel`.

    POST /v1/translate            from the first byte to the end of the answer
      read                        until the request has arrived
      segment                     the texts are cut into segments
      segment of MODEL            one of them in the engine, from its submission to its result
        queue                     until it joined the batch
        encode                    with its group
        steps                     until its last token
      reassemble                  the texts are put together

Where the traces go is set by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.engine.types import EngineRequest, EngineResult
from service.tracing.spans import ENCODE, QUEUE, READ, STEPS, current_trace

MAX_SEGMENTS = 64  # of one request that have spans of their own; the others are counted
MAX_CLOSE_SECONDS = 3.0  # for the last spans, when the service stops
SERVICE_NAME = "attendant"
_PROPAGATOR = TraceContextTextMapPropagator()


class OtelTracer:
    """Begins a trace for a share of the requests, or where the caller's traceparent says that it is sampled."""

    def __init__(self, share: float, exporter: SpanExporter | None = None) -> None:
        """The exporter is that of OTLP over HTTP, by default."""
        resource = Resource.create({"service.name": SERVICE_NAME, "service.version": __version__})
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(share), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("attendant", __version__)

    def begin(self, scope: MutableMapping[str, Any], started: float) -> "OtelTrace | None":
        """Return the trace of a request, which becomes the current one; None if it is not to be traced."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        clock = time.time_ns() - time.perf_counter_ns()
        root = self._tracer.start_span(
            "HTTP", _PROPAGATOR.extract(carrier), SpanKind.SERVER, start_time=clock + round(1e9 * started)
        )
        if not root.is_recording():
            return None
        trace = OtelTrace(self._tracer, root, clock, clock + round(1e9 * started))
        current_trace.set(trace)
        return trace

    def close(self, seconds: float) -> None:
        """Send the spans that were not sent yet; give up if the collector does not take them in time."""
        # The SDK waits for an absent collector for up to 30 s, whatever it is told.
        sender = threading.Thread(target=self._provider.shutdown, daemon=True)
        sender.start()
        sender.join(min(seconds, MAX_CLOSE_SECONDS))


class OtelTrace:
    """The trace of one request."""

    def __init__(self, tracer: Any, root: Span, clock: int, started: int) -> None:
        """`clock` is the Unix time in ns at which time.perf_counter was 0; `started` the beginning, in Unix time."""
        self._tracer, self._root, self._started = tracer, root, started
        self._context = set_span_in_context(root)
        # The engine's times are by the monotonic clock.
        self._monotonic = clock + time.perf_counter_ns() - time.monotonic_ns()
        self._segments = self._source_tokens = self._target_tokens = 0
        context = root.get_span_context()
        self._trace_id, self._span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"

    @property
    def exemplar(self) -> dict[str, str]:
        """The labels that lead from a metric to the trace."""
        return {"trace_id": self._trace_id, "span_id": self._span_id}

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The header of the response that names the trace."""
        return [(b"traceparent", f"00-{self._trace_id}-{self._span_id}-01".encode())]

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record a part of the work."""
        span = self._tracer.start_span(name, self._context)
        try:
            yield
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))  # its message may quote the request
            raise
        finally:
            span.end()

    def on_read(self) -> None:
        """Record the reading of the request."""
        self._tracer.start_span(READ, self._context, start_time=self._started).end()

    def on_result(self, model: str, request: EngineRequest, result: EngineResult) -> None:
        """Record what the engine did for a segment."""
        self._segments += 1
        self._source_tokens += len(request.ids)
        self._target_tokens += len(result.ids)
        if self._segments > MAX_SEGMENTS:
            return
        submitted = self._monotonic + round(1e9 * request.submitted)
        joined = submitted + round(1e6 * result.queue_ms)
        encoded = max(submitted, joined - round(1e6 * result.encode_ms))
        ended = joined + round(1e6 * result.compute_ms)
        whole = self._tracer.start_span(f"segment of {model}", self._context, start_time=submitted)
        whole.set_attributes(
            {
                "attendant.model": model,
                "attendant.source_tokens": len(request.ids),
                "attendant.target_tokens": len(result.ids),
                "attendant.rows": request.rows,
                "attendant.finish_reason": result.finish_reason,
            }
        )
        context = set_span_in_context(whole)
        for name, begin, end in ((QUEUE, submitted, encoded), (ENCODE, encoded, joined), (STEPS, joined, ended)):
            self._tracer.start_span(name, context, start_time=begin).end(end)
        whole.end()

    def end(self, route: str, method: str, status: int, request_id: str) -> None:
        """End the trace."""
        self._root.update_name(f"{method} {route}")
        self._root.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "attendant.request_id": request_id,
                "attendant.segments": self._segments,
                "attendant.source_tokens": self._source_tokens,
                "attendant.target_tokens": self._target_tokens,
            }
        )
        if status >= 500:
            self._root.set_attribute("error.type", str(status))
            self._root.set_status(Status(StatusCode.ERROR))
        self._root.end()
