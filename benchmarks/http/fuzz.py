"""Send a hundred thousand odd requests to a running service, and ask /healthz all the while.

    python -m benchmarks.http.fuzz [models/*] [--cases 100000] [--seconds S] [--seed 1] [--only NUMBER] [--json FILE]

The requests are those of /openapi.json with changed values, bytes, forms, documents, codings, headers, paths and
framing, and raw garbage: see benchmarks/http/fuzzing. Exits with status 1 if any answer is 500, 502 or 504, if a
request that HTTP lets a server read is not answered, if a valid request gets another answer than before, if the log has
a traceback, or if /healthz is held up for more than 100 ms.

On a busy machine the probe also waits for a core. That is not the service's doing, so the kernel's own count of it
(the run delay in /proc/PID/schedstat, of the event loop's thread and of the probe) is subtracted; both are shown.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import Event, Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventType
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.common.figures import write_figures
from benchmarks.common.processes import resident_bytes
from benchmarks.http.fuzzing.cases import Cases
from benchmarks.http.fuzzing.client import Fuzzer
from benchmarks.http.fuzzing.requests import Operations
from benchmarks.http.servers import RunningServer, attendant_server
from loadtest.client import Server

CLIENTS = 8
PROBE_INTERVAL = 0.02  # seconds between two probes
MAX_STALL_MS = 100.0
REPORTED = 40  # problems that are printed
BAD_LOG = ("Traceback", "Exception in ASGI", "Fatal error", "the parser of requests failed")
SETTINGS = {
    "ATTENDANT_DOCUMENT_LIFETIME_SECONDS": "3",  # or few uploads would find room
    "ATTENDANT_MAX_DOCUMENTS": "200",
    "ATTENDANT_REQUEST_TIMEOUT_SECONDS": "300",  # long texts take long on a busy machine
    "ATTENDANT_CORS_ORIGINS": "https://page.example",
}


@dataclass
class Stall:
    """The longest answers to /healthz: as they were, and without the time in which no core was free."""

    probes: int = 0
    worst_ms: float = 0.0
    worst_own_ms: float = 0.0
    above: int = 0  # probes above the limit, without that time
    at: float = 0.0  # seconds after the first probe, of the worst


@dataclass
class Report:
    """The result of a run."""

    rows: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    stall: Stall
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and self.stall.worst_own_ms <= MAX_STALL_MS


def run_delay(pid: int) -> float:
    """Return the seconds that the main thread of a process has waited for a core; 0 where the system does not count."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def watch(running: RunningServer, begun: EventType, ended: EventType, results: Connection) -> None:
    """Ask /healthz every 20 ms until `ended` is set, then send the `Stall`."""
    own = psutil.Process().pid

    async def ask() -> Stall:
        stall = Stall()
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        first = time.perf_counter()
        while not ended.is_set():
            started, waited = time.perf_counter(), run_delay(running.pid) + run_delay(own)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"/healthz answered {head!r}")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
            taken = 1000 * (time.perf_counter() - started)
            without = taken - 1000 * (run_delay(running.pid) + run_delay(own) - waited)
            stall.probes += 1
            stall.worst_ms = max(stall.worst_ms, taken)
            stall.above += without > MAX_STALL_MS
            if without > stall.worst_own_ms:
                stall.worst_own_ms, stall.at = without, started - first
            begun.set()
            await asyncio.sleep(PROBE_INTERVAL)
        writer.close()
        return stall

    results.send(asyncio.run(ask()))


def fuzz(
    running: RunningServer, seed: int, numbers: Iterable[int], clients: int = CLIENTS, seconds: float = math.inf
) -> Report:
    """Send the cases with these numbers to a running service, as many as it takes within the seconds."""
    status, document = Server(f"http://127.0.0.1:{running.port}").request("/openapi.json")
    assert status == 200
    cases = Cases(Operations(json.loads(document)), seed)
    fuzzer = Fuzzer(running.port, cases)
    asyncio.run(fuzzer.learn())
    begun, ended = Event(), Event()
    received, sent = Pipe(duplex=False)
    watcher = Process(target=watch, args=(running, begun, ended, sent))
    watcher.start()
    begun.wait()
    started = time.perf_counter()
    try:
        asyncio.run(fuzzer.run(_until(started + seconds, numbers), clients))
    finally:
        ended.set()
    taken = time.perf_counter() - started
    stall: Stall = received.recv()
    watcher.join()
    rows = [
        {"kind": kind, "cases": one.cases, "closed": one.closed, "statuses": dict(sorted(one.statuses.items()))}
        for kind, one in sorted(fuzzer.outcomes.items())
    ]
    return Report(rows, [asdict(one) for one in fuzzer.problems], stall, taken)


def _until(end: float, numbers: Iterable[int]) -> Iterator[int]:
    """Yield numbers until a time of `time.perf_counter`."""
    for number in numbers:
        if time.perf_counter() > end:
            return
        yield number


def check_service(running: RunningServer, log: IO[str]) -> list[str]:
    """Return what is wrong with the service after the cases."""
    found = []
    status, metrics = Server(f"http://127.0.0.1:{running.port}").request("/metrics")
    if status != 200:
        found.append(f"/metrics answered {status}")
    for line in metrics.decode().splitlines():
        if line.startswith("attendant_engine_restarts_total") and not line.endswith(" 0.0"):
            found.append(f"the engine was restarted: {line}")
        if line.startswith("attendant_requests_total") and any(f'status="{one}"' in line for one in (500, 502, 504)):
            found.append(line)
    log.seek(0)
    lines = log.read().splitlines()
    for at, line in enumerate(lines):
        if any(word in line for word in BAD_LOG):
            found.append("\n".join(lines[at : at + 60]))
    return found


def main() -> int:
    """Run the command; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path, help="what to serve; default: all of models/")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--only", type=int, help="send one case, and show it")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.cases)
    if options.only is not None:  # with one client: what it sends does no harm to others
        numbers = range(options.only, options.only + 1)
    artifacts = options.artifacts or sorted(Path("models").iterdir())
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        attendant_server(artifacts, None, log, **SETTINGS) as running,
    ):
        before = resident_bytes(running.pid)
        report = fuzz(running, options.seed, numbers, options.clients, options.seconds)
        faults = check_service(running, log)
        memory = [before, resident_bytes(running.pid)]
    _print(report, faults, memory)
    if options.json:
        _write(options.json, report, faults, memory)
    return int(not report.good or bool(faults))


def _print(report: Report, faults: Sequence[str], memory: Sequence[int]) -> None:
    lines = [f"{row['kind']:20}{row['cases']:8} closed {row['closed']:6} {row['statuses']}" for row in report.rows]
    lines += [f"PROBLEM {one}" for one in report.problems[:REPORTED]] + [f"FAULT {one}" for one in faults[:REPORTED]]
    stall = report.stall
    lines += [
        f"{sum(row['cases'] for row in report.rows)} cases in {report.seconds:.0f} s, {len(report.problems)} problems, "
        f"{len(faults)} faults; memory {memory[0] / 1e6:.0f} -> {memory[1] / 1e6:.0f} MB",
        f"{stall.probes} probes: longest {stall.worst_ms:.1f} ms, without waiting for a core "
        f"{stall.worst_own_ms:.1f} ms (at {stall.at:.1f} s), {stall.above} above {MAX_STALL_MS:g} ms",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _write(path: Path, report: Report, faults: Sequence[str], memory: Sequence[int]) -> None:
    rows = [
        {
            "kind": row["kind"],
            "cases": row["cases"],
            "answers": sum(row["statuses"].values()),
            "2xx": sum(count for status, count in row["statuses"].items() if status < 300),
            "4xx": sum(count for status, count in row["statuses"].items() if 400 <= status < 500),
            "refused": sum(row["statuses"].get(status, 0) for status in (501, 503)),
            "failed": sum(row["statuses"].get(status, 0) for status in (500, 502, 504)),
            "closed": row["closed"],
        }
        for row in report.rows
    ]
    stall = report.stall
    notes = (
        f"{stall.probes:,} probes of `/healthz`, the longest answered after {stall.worst_own_ms:.0f} ms, not counting "
        f"the time in which no core was free, and after {stall.worst_ms:.0f} ms with it"
    )
    write_figures(
        path, "fuzzed requests", rows, notes=notes, stall=asdict(stall), limit_ms=MAX_STALL_MS,
        seconds=round(report.seconds),
        problems=report.problems[:REPORTED], faults=list(faults[:REPORTED]), memory_mb=[one / 1e6 for one in memory],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
