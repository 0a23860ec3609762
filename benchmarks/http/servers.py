"""Our service and its rivals as child processes, each loaded while the others are idle; and the rivals' tuning."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.processes import free_port, server
from benchmarks.http.load_generator import CLIENTS, Figures, Load, Traffic
from loadtest.client import Server

Flags = dict[str, str | int | float]  # of a rival's command line
COMPARED = 64  # texts asked for one by one, to see that both sides answer the same


@dataclass(frozen=True)
class Contender:
    """A server that is up."""

    port: int
    pid: int


@dataclass(frozen=True)
class Course:
    """What every contender is loaded with."""

    traffic: Traffic
    requests: Sequence[tuple[str, str]]  # path, body
    clients: int = CLIENTS
    seconds: float = 8.0
    warm_up: float = 2.0

    def run(self, contender: Contender, seconds: float | None = None) -> Figures:
        """Load a contender.

        Raises:
            RuntimeError: it refused requests, so that its figures mean nothing.
        """
        figures = self.traffic.send(
            Load(
                contender.port, self.requests, self.clients, self.warm_up, seconds or self.seconds, server=contender.pid
            )
        )
        if figures.errors:
            raise RuntimeError(f"{sum(figures.errors.values())} errors by status: {figures.errors}")
        return figures

    def figures(self, contender: Contender) -> dict[str, float]:
        """The figures of a round: sentences/s, percentiles in ms, CPU in ms a sentence."""
        found = self.run(contender)
        answers = max(1, found.answers)
        return {
            "per_second": found.per_second,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "p99_ms": found.p99_ms,
            "server_cpu_ms": 1000 * (found.server_cpu_s or 0.0) / answers,
            "client_cpu_ms": 1000 * found.client_cpu_s / answers,
        }


@contextmanager
def ours(artifacts: Sequence[Path], checkout: Path | None = None, **settings: str) -> Iterator[Contender]:
    """Run `python -m service` on these artifacts; unset settings have their defaults or come from the environment.

    The code is that of `checkout`, by default that of the working directory.
    """
    with tempfile.TemporaryDirectory() as models:
        for artifact in artifacts:
            (Path(models) / artifact.name).symlink_to(artifact.resolve())
        port = free_port()
        settings |= {"ATTENDANT_MODELS": models, "ATTENDANT_HOST": "127.0.0.1", "ATTENDANT_PORT": str(port)}
        with server([sys.executable, "-m", "service"], port, settings, checkout) as pid:
            yield Contender(port, pid)


@contextmanager
def rival(command: Sequence[str], flags: Flags) -> Iterator[Contender]:
    """A rival's server with these flags."""
    port = free_port()
    options = [f"--{name}={value}" for name, value in flags.items()]
    with server([*command, f"--port={port}", *options], port) as pid:
        yield Contender(port, pid)


def tune(command: Sequence[str], groups: Sequence[Sequence[Flags]], course: Course) -> Flags:
    """The fastest flags: of every group in turn the best one is kept while the next is tried."""
    best: Flags = {}
    for group in groups:
        rates: list[tuple[float, Flags]] = []
        for flags in group:
            with rival(command, best | flags) as contender:
                rate = course.run(contender, course.seconds / 2).per_second
            sys.stderr.write(f"tuning: {rate:8.1f}/s with {best | flags}\n")
            rates.append((rate, flags))
        best |= max(rates, key=lambda one: one[0])[1]
    return best


def batching(waits_ms: Sequence[float], batches: Sequence[int]) -> list[Flags]:
    """All combinations of the batcher's two knobs."""
    return [{"max-wait-ms": wait, "max-batch": batch} for batch in batches for wait in waits_ms]


def splitting(sizes: Sequence[int]) -> list[Flags]:
    """A batch in one pass (0), or sorted by length and in passes of this size."""
    return [{"sub-batch": size} for size in sizes]


def division(cores: int) -> list[Flags]:
    """One batch on all cores, or a batch on each."""
    ways: list[Flags] = [{"workers": 1, "threads": cores}, {"workers": cores, "threads": 1}]
    return ways[: min(cores, 2)]


def agreement(one: Contender, other: Contender, requests: Sequence[tuple[str, str]]) -> float:
    """The share of requests that two idle contenders answer alike, times and scores' last digits aside."""
    chosen = requests[:COMPARED]
    return sum(_answer(one, *request) == _answer(other, *request) for request in chosen) / len(chosen)


def _answer(contender: Contender, path: str, body: str) -> Any:
    status, reply = Server(f"http://127.0.0.1:{contender.port}").ask(path, json.loads(body), timeout=60)
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {reply[:300].decode(errors='replace')}")
    answer = json.loads(reply)
    if "translations" in answer:
        return [one["text"] for one in answer["translations"]]
    return [[label["label"] for label in one["labels"]] for one in answer["results"]]


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
