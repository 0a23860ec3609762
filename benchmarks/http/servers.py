"""Start this service and its baselines as child processes, load them one at a time, and tune the baselines."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.common.processes import free_port, server
from benchmarks.http.load_generator import CLIENTS, HttpLoad, LoadResult, Traffic
from loadtest.client import Server

Flags = dict[str, str | int | float]  # options on a baseline's command line
COMPARED = 64  # texts sent one by one to check that both sides give equal answers


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready."""

    port: int
    pid: int


@dataclass(frozen=True)
class LoadPlan:
    """The load that every server gets."""

    traffic: Traffic
    requests: Sequence[tuple[str, str]]  # path, body
    clients: int = CLIENTS
    seconds: float = 8.0
    warm_up: float = 2.0

    def run(self, running: RunningServer, seconds: float | None = None) -> LoadResult:
        """Send the load to a server.

        Raises:
            RuntimeError: it refused requests, so its rates mean nothing.
        """
        result = self.traffic.send(
            HttpLoad(
                running.port, self.requests, self.clients, self.warm_up, seconds or self.seconds, server=running.pid
            )
        )
        if result.errors:
            raise RuntimeError(f"{sum(result.errors.values())} errors by status: {result.errors}")
        return result

    def metrics(self, running: RunningServer) -> dict[str, float]:
        """Measure one round: texts/s, latency percentiles in ms, CPU time in ms per text."""
        found = self.run(running)
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
def attendant_server(
    artifacts: Sequence[Path], checkout: Path | None = None, log: IO[str] | None = None, **settings: str
) -> Iterator[RunningServer]:
    """Run `python -m service` on these artifacts; unset settings have their defaults or come from the environment.

    The code is that of `checkout`, by default that of the working directory. Its output goes to `log`.
    """
    with tempfile.TemporaryDirectory() as models:
        for artifact in artifacts:
            (Path(models) / artifact.name).symlink_to(artifact.resolve())
        port = free_port()
        settings |= {"ATTENDANT_MODELS": models, "ATTENDANT_HOST": "127.0.0.1", "ATTENDANT_PORT": str(port)}
        with server([sys.executable, "-m", "service"], port, settings, checkout, log) as pid:
            yield RunningServer(port, pid)


@contextmanager
def baseline_server(command: Sequence[str], flags: Flags) -> Iterator[RunningServer]:
    """Run a baseline's server with these options."""
    port = free_port()
    options = [f"--{name}={value}" for name, value in flags.items()]
    with server([*command, f"--port={port}", *options], port) as pid:
        yield RunningServer(port, pid)


def tune(command: Sequence[str], groups: Sequence[Sequence[Flags]], plan: LoadPlan) -> Flags:
    """Return the fastest options: one group after the other, keeping the best of each group."""
    best: Flags = {}
    for group in groups:
        rates: list[tuple[float, Flags]] = []
        for flags in group:
            with baseline_server(command, best | flags) as running:
                rate = plan.run(running, plan.seconds / 2).per_second
            sys.stderr.write(f"tuning: {rate:8.1f}/s with {best | flags}\n")
            rates.append((rate, flags))
        best |= max(rates, key=lambda one: one[0])[1]
    return best


def batching(waits_ms: Sequence[float], batches: Sequence[int]) -> list[Flags]:
    """Return all combinations of waiting time and batch size."""
    return [{"max-wait-ms": wait, "max-batch": batch} for batch in batches for wait in waits_ms]


def splitting(sizes: Sequence[int]) -> list[Flags]:
    """Return the ways to compute a batch: in one pass (0), or sorted by length in passes of this size."""
    return [{"sub-batch": size} for size in sizes]


def division(cores: int) -> list[Flags]:
    """Return the ways to use the cores: one batch on all of them, or one batch on each."""
    ways: list[Flags] = [{"workers": 1, "threads": cores}, {"workers": cores, "threads": 1}]
    return ways[: min(cores, 2)]


def agreement(one: RunningServer, other: RunningServer, requests: Sequence[tuple[str, str]]) -> float:
    """Return the share of requests that two idle servers answer with equal texts or labels."""
    chosen = requests[:COMPARED]
    equal = [bool(_answer(one, *request) == _answer(other, *request)) for request in chosen]
    return sum(equal) / len(equal)


def _answer(running: RunningServer, path: str, body: str) -> Any:
    status, reply = Server(f"http://127.0.0.1:{running.port}").request(path, json.loads(body), timeout=60)
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {reply[:300].decode(errors='replace')}")
    answer = json.loads(reply)
    if "translations" in answer:
        return [one["text"] for one in answer["translations"]]
    return [[label["label"] for label in one["labels"]] for one in answer["results"]]
