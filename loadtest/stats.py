"""What the load measured: one ledger an endpoint, written at each request, summed up at the end."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.checks import Reply

Figures = dict[str, Any]


@dataclass
class Ledger:
    """Sums over the right answers of one endpoint; a failure is only counted."""

    latencies: list[float] = field(default_factory=list)  # ms, as the client saw them
    failures: int = 0
    texts: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    queue: float = 0.0
    compute: float = 0.0
    total: float = 0.0

    def add(self, latency: float, reply: Reply) -> None:
        self.latencies.append(latency)
        self.texts += len(reply.answers)
        self.source_tokens += reply.source_tokens
        self.target_tokens += reply.target_tokens
        self.queue += reply.queue
        self.compute += reply.compute
        self.total += reply.total


class Recorder:
    """Listens to the request events. What comes before all users are there counts as a failure or not at all."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self.messages: Counter[str] = Counter()
        self.failures_before = 0
        self.start()

    def start(self) -> None:
        self.ledgers = {path: Ledger() for path in self.paths}
        self.started = self.last = time.perf_counter()

    def on_spawning_complete(self, **_: object) -> None:
        self.failures_before = sum(ledger.failures for ledger in self.ledgers.values())
        self.start()

    def on_request(
        self, name: str, response_time: float, context: Mapping[str, Any], exception: object = None, **_: object
    ) -> None:
        self.last = time.perf_counter()
        reply = context.get("reply")
        if exception is None and isinstance(reply, Reply):
            self.ledgers[name].add(response_time, reply)
        else:
            self.ledgers[name].failures += 1
            self.messages[f"{name}: {exception}"] += 1

    @property
    def seconds(self) -> float:
        """From the moment when all users were there to the last answer."""
        return self.last - self.started

    @property
    def failures(self) -> int:
        return self.failures_before + sum(ledger.failures for ledger in self.ledgers.values())

    def passed(self) -> bool:
        """Every endpoint answered, and nothing was wrong."""
        return not self.failures and all(ledger.latencies for ledger in self.ledgers.values())

    def figures(self) -> dict[str, Figures]:
        return {path: summary(ledger, self.seconds) for path, ledger in self.ledgers.items()}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(ledger: Ledger, seconds: float) -> Figures:
    """The figures of one endpoint; None where no right answer came."""
    answered = len(ledger.latencies)
    figures: Figures = {"requests": answered + ledger.failures, "failures": ledger.failures, "texts": ledger.texts}
    if not answered or seconds <= 0:
        return figures
    ordered, latency = sorted(ledger.latencies), sum(ledger.latencies)
    return figures | {
        "requests_per_s": round(answered / seconds, 2),
        "texts_per_s": round(ledger.texts / seconds, 2),
        "source_tokens_per_s": round(ledger.source_tokens / seconds, 1),
        "target_tokens_per_s": round(ledger.target_tokens / seconds, 1) if ledger.target_tokens else None,
        "latency_ms": {
            "mean": round(latency / answered, 2),
            "p50": round(percentile(ordered, 0.50), 2),
            "p95": round(percentile(ordered, 0.95), 2),
            "p99": round(percentile(ordered, 0.99), 2),
            "max": round(ordered[-1], 2),
        },
        "service_total_ms": round(ledger.total / answered, 2),
        "queue_ms": round(ledger.queue / answered, 2),
        "queue_share": round(ledger.queue / latency, 4),
        "compute_ms": round(ledger.compute / answered, 2),
        "compute_share": round(ledger.compute / latency, 4),
    }
