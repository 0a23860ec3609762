"""Prometheus metrics that explain throughput and latency."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.engine.interfaces import WorkerPool
from service.engine.types import EngineRequest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All metrics of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests", "route", "method", "status")
        self.request_seconds = self._histogram("request_seconds", "Time of an HTTP request", SECONDS, "route")
        self.queue_seconds = self._histogram("queue_seconds", "Wait of a segment before it joins", SECONDS, "model")
        self.step_seconds = self._histogram("step_seconds", "Time of one step", SECONDS, "model")
        self.step_rows = self._histogram("step_rows", "Rows computed by one step", ROWS, "model")
        self.encode_seconds = self._histogram("encode_seconds", "Time for a group to join", SECONDS, "model")
        self.encode_tokens = self._counter(
            "encode_tokens", "Source tokens of groups, real and padding", "model", "kind"
        )
        self.segments = self._counter("segments", "Segments answered", "model")
        self.target_tokens = self._counter("target_tokens", "Target tokens written", "model")
        self.failures = self._counter("engine_failures", "Groups or steps that failed", "model")
        self.waiting = Gauge("attendant_waiting_segments", "Segments in the queue", ["model"], registry=self.registry)
        self.pool = Gauge("attendant_pool_bytes", "Memory of the state pool", ["model"], registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"attendant_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"attendant_{name}", text, labels, buckets=buckets, registry=self.registry)

    def render(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def of_model(self, name: str) -> "ModelMetrics":
        """The observer of one model's workers."""
        return ModelMetrics(self, name)

    def watch(self, name: str, staff: WorkerPool) -> None:
        """Read a model's gauges whenever they are asked for."""
        self.waiting.labels(name).set_function(lambda: float(staff.queue.waiting))
        self.pool.labels(name).set_function(lambda: float(staff.pool_bytes))


class ModelMetrics:
    """What a worker tells about its steps."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._encode_seconds = metrics.encode_seconds.labels(model)
        self._real = metrics.encode_tokens.labels(model, "real")
        self._padding = metrics.encode_tokens.labels(model, "padding")
        self._step_seconds, self._step_rows = metrics.step_seconds.labels(model), metrics.step_rows.labels(model)
        self._segments, self._failures = metrics.segments.labels(model), metrics.failures.labels(model)
        self.queue_seconds, self.target_tokens = (
            metrics.queue_seconds.labels(model),
            metrics.target_tokens.labels(model),
        )

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None:
        """A group joined, and the time it took: count its tokens, and the padding of its rectangle."""
        lengths = [len(request.ids) for request in group]
        self._real.inc(sum(lengths))
        self._padding.inc(len(lengths) * max(lengths) - sum(lengths))
        self._encode_seconds.observe(seconds)

    def on_step(self, rows: int, seconds: float) -> None:
        """One step was computed."""
        self._step_rows.observe(rows)
        self._step_seconds.observe(seconds)

    def on_finished(self, requests: int) -> None:
        """This many rows finished in a step."""
        self._segments.inc(requests)

    def on_failure(self) -> None:
        """A group or a step failed."""
        self._failures.inc()

    def on_iteration_end(self) -> None:
        """A worker's turn has ended."""
