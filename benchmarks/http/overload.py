"""Overload: a crowd that sends five times as many sentences as the service can translate, seen from its clients.

    python -m benchmarks.http.overload [--connections new|kept] [--rounds 3] [--seconds 30] [--json FILE]

Each round measures the peak (a closed loop of single sentences), then open loops: 0.8 times the peak, 5 times the peak,
and at once 0.8 times the peak again, when the service must be as it was; and the peak once more: machines change their
speed, and what is answered under overload is compared with the mean of the two. Where there are two cores or more, the
service gets one half of them and the generator the other, so that the generator is never what is slow.

Exit status 1 if a median of the rounds misses its bar, or any round has an answer that it must not have: see `BARS`.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.processes import cpu_seconds, is_ready
from benchmarks.http.open_loop import NUMBER, Crowd, OpenLoad, OpenResult
from benchmarks.http.servers import RunningServer, attendant_server

MODEL = Path("models/translate-en-de-fr-es")
FIELDS = {"source": "en", "target": "de"}
TEXT = f"There are {NUMBER} books in the house."
CLIENTS = (32, 64)  # of the closed loop; the faster one gives the peak
WARM_UP, PEAK_SECONDS, STEADY_SECONDS = 3.0, 8.0, 10.0
STEADY, OVERLOAD = 0.8, 5.0  # times the peak
BARS = {
    "goodput_to_peak": (0.9, "at least"),
    "refused_max_ms": (50.0, "at most"),
    "p99_to_steady": (3.0, "at most"),
    "lost": (0, "at most"),  # resets, connections closed without an answer, requests without one
    "wrong": (0, "at most"),
    "errors": (0, "at most"),  # statuses other than 200 and 503
    "refused_after": (0, "at most"),  # right after the overload
}
EVERY_ROUND = ("lost", "wrong", "errors", "refused_after")


@contextmanager
def pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """Run on these cores; processes started meanwhile stay there."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def halves() -> tuple[list[int], list[int]] | tuple[None, None]:
    """Return the cores of the service and of the generator; None where they cannot have their own."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    middle = -(-len(cores) // 2)
    return (cores[:middle], cores[middle:]) if len(cores) > 1 else (None, None)


class Rounds:
    """One service and the crowd in front of it."""

    def __init__(self, running: RunningServer, crowd: Crowd, keep: bool, seconds: float) -> None:
        self.running, self.crowd, self.keep, self.seconds = running, crowd, keep, seconds
        self._sent = 0

    def send(self, seconds: float, rate: float = 0.0, clients: int = 0) -> OpenResult:
        """Send one load."""
        result = self.crowd.send(
            OpenLoad(self.running.port, FIELDS, TEXT, seconds, rate, clients, self.keep, self._sent)
        )
        self._sent += result.sent
        return result

    def peak(self) -> float:
        """Return the answers per second of the better closed loop."""
        return max(self.send(PEAK_SECONDS, clients=clients).per_second for clients in CLIENTS)

    def measure(self) -> dict[str, Any]:
        """Measure one round."""
        peak = self.peak()
        steady = self.send(STEADY_SECONDS, STEADY * peak)
        cpu = cpu_seconds(self.running.pid)
        overload = self.send(self.seconds, OVERLOAD * peak)
        cpu = cpu_seconds(self.running.pid) - cpu
        ready = is_ready(self.running.port)
        after = self.send(STEADY_SECONDS / 2, STEADY * peak)
        peak_after = self.peak()
        lost = overload.reset + overload.closed + overload.unanswered
        answered = sum(overload.statuses.get(status, 0) for status in ("200", "503"))
        return {
            "peak_per_second": peak,
            "peak_after_per_second": peak_after,
            "offered_per_second": OVERLOAD * peak,
            "goodput_per_second": overload.per_second,
            "goodput_to_peak": overload.per_second / statistics.mean((peak, peak_after)),
            "steady_p99_ms": steady.accepted["p99"],
            "accepted_p50_ms": overload.accepted["p50"],
            "accepted_p99_ms": overload.accepted["p99"],
            "p99_to_steady": overload.accepted["p99"] / steady.accepted["p99"],
            "refused": overload.statuses.get("503", 0),
            "refused_p50_ms": overload.refused["p50"],
            "refused_p99_ms": overload.refused["p99"],
            "refused_max_ms": overload.refused["max"],
            "lost": lost,
            "wrong": overload.wrong + steady.wrong + after.wrong,
            "errors": sum(overload.statuses.values()) - answered,
            "ready_after": ready,
            "refused_after": after.sent - after.statuses.get("200", 0),
            "after_p99_ms": after.accepted["p99"],
            "steady_refused": steady.sent - steady.statuses.get("200", 0),
            "generator_cpu": overload.client_cpu,
            "generator_late_p99_ms": overload.late["p99"],
            "generator_late_max_ms": overload.late["max"],
            "service_cpu": cpu / self.seconds,
        }


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the rounds, and of what must never happen the sums."""
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0] if name != "ready_after"}
    found |= {name: sum(one[name] for one in rounds) for name in EVERY_ROUND}
    return found | {"ready_after": all(one["ready_after"] for one in rounds)}


def missed(row: dict[str, Any]) -> list[str]:
    """Return the bars that a row misses, in words."""
    misses = [] if row["ready_after"] else ["not ready right after the overload"]
    for name, (bar, kind) in BARS.items():
        if row[name] < bar if kind == "at least" else row[name] > bar:
            misses.append(f"{name} is {row[name]:.3g}, must be {kind} {bar:g}")
    return misses


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=MODEL)
    parser.add_argument("--connections", choices=("new", "kept"), nargs="+", default=["new", "kept"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the overload")
    parser.add_argument("--checkout", type=Path, help="measure the service of another checkout of this project")
    parser.add_argument("--json", type=Path, help="write the result to this file, such as docs/figures/overload.json")
    arguments = parser.parse_args(words)
    notes, (ours, theirs) = busy_note(), halves()
    rows: list[dict[str, Any]] = []
    everything: dict[str, list[dict[str, Any]]] = {}
    for connections in arguments.connections:
        with (
            pinned(ours),
            attendant_server([arguments.artifact], arguments.checkout) as running,
            Crowd(theirs) as crowd,
        ):
            rounds = Rounds(running, crowd, connections == "kept", arguments.seconds)
            rounds.send(WARM_UP, clients=max(CLIENTS))
            measured = []
            for _ in range(arguments.rounds):
                measured.append(rounds.measure())
                sys.stderr.write(json.dumps(measured[-1]) + "\n")
        rows.append({"connections": connections, **summary(measured)})
        everything[connections] = measured
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.write("".join(f"MISSED: {miss}\n" for miss in missed(rows[-1])))
    if arguments.json:
        what = f"{OVERLOAD:g} times the peak of single sentences for {arguments.seconds:g} s"
        write_figures(
            arguments.json, what, rows, notes=notes, cores={"service": ours, "generator": theirs}, rounds=everything
        )
    return int(any(missed(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
