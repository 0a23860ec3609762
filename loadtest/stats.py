"""Measurements of the load: recorded at each request, summed up at the end, endpoint by endpoint."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.checks import ParsedResponse

Summary = dict[str, Any]
Timeline = list[dict[str, float]]
MAX_INTERVALS = 60  # of a timeline


@dataclass
class EndpointStats:
    """Sums over the correct responses of one endpoint; failures are only counted."""

    latencies: list[float] = field(default_factory=list)  # ms, measured by the client
    times: list[float] = field(default_factory=list)  # of each response, seconds of a monotonic clock
    failures: int = 0
    texts: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    queue: float = 0.0
    compute: float = 0.0
    total: float = 0.0

    def add(self, latency: float, response: ParsedResponse, at: float = 0.0) -> None:
        self.latencies.append(latency)
        self.times.append(at)
        self.texts += len(response.answers)
        self.source_tokens += response.source_tokens
        self.target_tokens += response.target_tokens
        self.queue += response.queue
        self.compute += response.compute
        self.total += response.total


class StatsRecorder:
    """Listens to locust's request events. Measures when all users have started; earlier failures are counted."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self.messages: Counter[str] = Counter()
        self.failures_before = 0
        self.start()

    def start(self) -> None:
        self.endpoints = {path: EndpointStats() for path in self.paths}
        self.started = self.last = time.perf_counter()

    def on_spawning_complete(self, **_: object) -> None:
        self.failures_before = sum(stats.failures for stats in self.endpoints.values())
        self.start()

    def on_request(
        self, name: str, response_time: float, context: Mapping[str, Any], exception: object = None, **_: object
    ) -> None:
        self.last = time.perf_counter()
        response = context.get("parsed")
        if exception is None and isinstance(response, ParsedResponse):
            self.endpoints[name].add(response_time, response, self.last)
        else:
            self.endpoints[name].failures += 1
            self.messages[f"{name}: {exception}"] += 1

    @property
    def seconds(self) -> float:
        """The time from the start of measuring to the last response."""
        return self.last - self.started

    @property
    def failures(self) -> int:
        return self.failures_before + sum(stats.failures for stats in self.endpoints.values())

    def passed(self) -> bool:
        """Return whether every endpoint answered and nothing failed."""
        return not self.failures and all(stats.latencies for stats in self.endpoints.values())

    def summaries(self) -> dict[str, Summary]:
        return {path: summary(stats, self.seconds) for path, stats in self.endpoints.items()}

    def timelines(self) -> dict[str, Timeline]:
        return {path: timeline(stats, self.started, self.seconds) for path, stats in self.endpoints.items()}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(stats: EndpointStats, seconds: float) -> Summary:
    """Return the report's entry for one endpoint, without rates and times if no response was correct."""
    answered = len(stats.latencies)
    counts: Summary = {"requests": answered + stats.failures, "failures": stats.failures, "texts": stats.texts}
    if not answered or seconds <= 0:
        return counts
    ordered, latency = sorted(stats.latencies), sum(stats.latencies)
    return counts | {
        "requests_per_s": round(answered / seconds, 2),
        "texts_per_s": round(stats.texts / seconds, 2),
        "source_tokens_per_s": round(stats.source_tokens / seconds, 1),
        "target_tokens_per_s": round(stats.target_tokens / seconds, 1) if stats.target_tokens else None,
        "latency_ms": {
            "mean": round(latency / answered, 2),
            "p50": round(percentile(ordered, 0.50), 2),
            "p95": round(percentile(ordered, 0.95), 2),
            "p99": round(percentile(ordered, 0.99), 2),
            "max": round(ordered[-1], 2),
        },
        "service_total_ms": round(stats.total / answered, 2),
        "queue_ms": round(stats.queue / answered, 2),
        "queue_share": round(stats.queue / latency, 4),
        "compute_ms": round(stats.compute / answered, 2),
        "compute_share": round(stats.compute / latency, 4),
    }


def timeline(stats: EndpointStats, started: float, seconds: float) -> Timeline:
    """Return rate and response times by interval; an interval without a correct response has only its rate, zero.

    Intervals have whole seconds and there are at most MAX_INTERVALS of them; an incomplete last one is left out.
    """
    length = max(1, math.ceil(seconds / MAX_INTERVALS))
    intervals: list[list[float]] = [[] for _ in range(int(seconds // length))]
    for at, latency in zip(stats.times, stats.latencies, strict=True):
        index = int((at - started) // length)
        if 0 <= index < len(intervals):
            intervals[index].append(latency)
    found: Timeline = []
    for index, latencies in enumerate(intervals):
        entry = {"second": float(index * length), "requests_per_s": round(len(latencies) / length, 2)}
        if ordered := sorted(latencies):
            entry |= {f"p{share}": round(percentile(ordered, share / 100), 2) for share in (50, 95, 99)}
        found.append(entry)
    return found
