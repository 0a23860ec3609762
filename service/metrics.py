"""Prometheus metrics that explain throughput and latency."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STATM = Path("/proc/self/statm")  # Linux alone has it
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Tokenised(Protocol):
    """A request with its source tokens."""

    @property
    def ids(self) -> Sequence[int]: ...


class _Queue(Protocol):
    """The segments that wait for a model."""

    @property
    def waiting(self) -> int: ...


class _Pool(Protocol):
    """The workers of one model, their queue, and the bytes of their decoder states."""

    @property
    def queue(self) -> _Queue: ...
    @property
    def pool_bytes(self) -> int: ...


class Metrics:
    """All metrics of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests", "route", "method", "status")
        self.request_seconds = self._histogram(
            "request_seconds",
            "Time of an HTTP request, from its first byte on",
            SECONDS,
            "route",
        )
        self.errors = self._counter("errors", "Requests answered with an error, by its code", "code")
        self.refused = self._counter("refused_requests", "Requests refused before their body was read", "reason")
        self.requests_in_flight = self._gauge("requests_in_flight", "HTTP requests that are being answered")
        self.request_limit = self._gauge("request_limit", "HTTP requests that may be in flight now")
        self.slow_requests = self._gauge("slow_requests", "HTTP requests whose body arrives slowly; not in flight")
        self.open_connections = self._gauge("open_connections", "Open connections, idle ones included")
        self.loop_lag = self._histogram("event_loop_lag_seconds", "Lateness of a timer in the event loop", SECONDS)
        self.queue_seconds = self._histogram("queue_seconds", "Wait of a segment in the queue", SECONDS, "model")
        self.compute_seconds = self._histogram("compute_seconds", "Computation of a segment", SECONDS, "model")
        self.step_seconds = self._histogram("step_seconds", "Time of one decoding step", SECONDS, "model")
        self.step_rows = self._histogram("step_rows", "Rows computed by one step", ROWS, "model")
        self.encode_seconds = self._histogram("encode_seconds", "Time to encode a group of segments", SECONDS, "model")
        self.encode_tokens = self._counter(
            "encode_tokens", "Source tokens of encoded groups, real and padding", "model", "kind"
        )
        self.segments = self._counter("segments", "Segments answered", "model")
        self.target_tokens = self._counter("target_tokens", "Target tokens generated", "model")
        self.retries = self._counter("retries", "Segments translated again, by the reason", "model", "reason")
        self.failures = self._counter("engine_failures", "Groups or steps that failed", "model")
        self.engine_restarts = self._counter("engine_restarts", "Restarts of the engine process after it died")
        self.faulty_artifacts = self._gauge("faulty_artifacts", "Artifacts that could not be loaded and are not served")
        self.waiting = self._gauge("waiting_segments", "Segments in the queue", "model")
        self.pool = self._gauge("pool_bytes", "Memory of the state pool", "model")
        self.memory = self._gauge(
            "memory_bytes", "Resident memory: of the service, and of its engine process", "process"
        )
        if STATM.exists():
            self.memory.labels("service").set_function(lambda: resident_bytes([os.getpid()]))
            self.memory.labels("engine").set_function(lambda: resident_bytes(child_processes()))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"attendant_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"attendant_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"attendant_{name}", text, labels, buckets=buckets, registry=self.registry)

    @staticmethod
    def media_type(accept: str) -> str:
        """Return the media type that an Accept header chooses: Prometheus' text, or OpenMetrics."""
        return str(choose_encoder(accept)[1])

    def render(self, accept: str = "") -> bytes:
        """Return the metrics in the format that an Accept header chooses. OpenMetrics has exemplars, which name the
        trace of a request."""
        return choose_encoder(accept)[0](self.registry)

    def samples(self, model: str, *series: str) -> dict[str, float]:
        """Return the values of some series of one model, by the names of the series; 0 for one without a sample."""
        found = dict.fromkeys(series, 0.0)
        for metric in self.registry.restricted_registry([f"attendant_{name}" for name in series]).collect():
            for sample in metric.samples:
                if sample.labels.get("model") == model:
                    found[sample.name.removeprefix("attendant_")] = sample.value
        return found

    def of_model(self, name: str) -> "ModelMetrics":
        """Return the observer of one model's workers."""
        return ModelMetrics(self, name)

    def watch(self, name: str, pool: _Pool) -> None:
        """Read a model's gauges from its worker pool whenever the metrics are rendered."""
        self.waiting.labels(name).set_function(lambda: float(pool.queue.waiting))
        self.pool.labels(name).set_function(lambda: float(pool.pool_bytes))

    def unwatch(self, name: str) -> None:
        """Remove the gauges of a model that is no longer served."""
        self.waiting.remove(name)
        self.pool.remove(name)


def resident_bytes(processes: Iterable[int]) -> float:
    """Return the resident memory of processes; of one that has ended, 0."""
    total = 0
    for process in processes:
        with suppress(OSError):
            total += int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return float(total * os.sysconf("SC_PAGE_SIZE"))


def child_processes() -> list[int]:
    """Return the processes that this one has started: the engine process."""
    found: list[int] = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            found += map(int, children.read_text("ascii").split())
    return found


class ModelMetrics:
    """The metrics of one model; an observer of its workers."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._encode_seconds = metrics.encode_seconds.labels(model)
        self._real = metrics.encode_tokens.labels(model, "real")
        self._padding = metrics.encode_tokens.labels(model, "padding")
        self._step_seconds, self._step_rows = metrics.step_seconds.labels(model), metrics.step_rows.labels(model)
        self.retries = partial(metrics.retries.labels, model)
        self._segments, self._failures = metrics.segments.labels(model), metrics.failures.labels(model)
        self.queue_seconds = metrics.queue_seconds.labels(model)
        self.compute_seconds = metrics.compute_seconds.labels(model)
        self.target_tokens = metrics.target_tokens.labels(model)
        self.answered_at = 0.0  # Unix time of the last result that was returned; 0: none

    def on_encoded(self, group: Sequence[_Tokenised], seconds: float) -> None:
        """Count the tokens of a group that joined the batch, and the padding to its longest member."""
        lengths = [len(request.ids) for request in group]
        self._real.inc(sum(lengths))
        self._padding.inc(len(lengths) * max(lengths) - sum(lengths))
        self._encode_seconds.observe(seconds)

    def on_step(self, rows: int, seconds: float) -> None:
        """Count one decoding step."""
        self._step_rows.observe(rows)
        self._step_seconds.observe(seconds)

    def on_finished(self, requests: int) -> None:
        """Count the segments that one step completed."""
        self._segments.inc(requests)

    def on_failure(self) -> None:
        """Count the failure of a group or a step."""
        self._failures.inc()

    def on_retry(self, reason: str) -> None:
        """Count a segment that is translated again."""
        self.retries(reason).inc()

    def on_iteration_end(self) -> None:
        """Do nothing at the end of an iteration of a worker's loop."""
