"""Replay hostile requests against a running service while /healthz is asked every 20 ms; report the worst latency.

    python -m benchmarks.http.faults models/* [--only NAME] [--json FILE]

One row per fault: what came back, whether it is right, how long it took, and the stall: the longest answer to a GET
/healthz meanwhile. Faults of connections, processes and files (fault_scenarios.py) have a service of their own. The
probe runs in a process of its own. Exits with status 1 if an answer is wrong or a stall is above the limit.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import Event, Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventType
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from benchmarks.http.fault_scenarios import SCENARIOS, Scenario
from benchmarks.http.fault_scenarios import running as running_scenario
from benchmarks.http.servers import RunningServer, attendant_server
from loadtest.client import Server

TIMEOUT = 90.0  # seconds for one request
PROBE_INTERVAL = 0.02  # seconds between two probes
SETTLE = 0.3  # seconds of probing before and after the requests
MAX_STALL_MS = 100.0

Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """A request that did harm once. `copies` are sent at the same time; `statuses` are the right answers."""

    name: str
    path: str
    body: Callable[[], Body]
    statuses: tuple[int, ...] = (200,)
    copies: int = 1


def _translate(text: str | list[str], **options: Any) -> Body:
    return {"text": text, "source": "en", "target": "de", **options}


def _sentences(count: int, words: str = "It is late, and the dog is in the house") -> str:
    return " ".join(f"{words} {k}." for k in range(count))


POINTS = "." * 19_998 + "a>"
TAGS = "Hello|!" + "<wbr>" * 2000 + "!" * 9900
SIGNS_AND_TAGS = ("Hello|" + "!<wbr>" * 3400)[:20_000]
REFERENCE = "a &#" + "9" * 5000 + ";"
ORDINARY_HTML = "<p>" + " ".join(f"<b>It is late</b>, <i>and</i> the dog is in house {k}." for k in range(200)) + "</p>"
TERMS = {f"{'!' * 90}{k}": "x" for k in range(200)}

FAULTS = [
    Fault("20,000 points", "/v1/translate", lambda: _translate(POINTS)),
    Fault("20,000 semicolons, LibreTranslate", "/translate",
          lambda: {"q": ";" * 19_998 + "a>", "source": "en", "target": "de"}),
    Fault("8 texts of points", "/v1/translate", lambda: _translate([POINTS] * 8)),
    Fault("49 texts of points", "/v1/translate", lambda: _translate([POINTS] * 49), (200, 413, 503)),
    Fault("6 requests of points at once", "/v1/translate", lambda: _translate(POINTS), copies=6),
    Fault("signs after tags", "/v1/translate", lambda: _translate(TAGS, format="html")),
    Fault("10 texts of signs and tags", "/v1/translate", lambda: _translate([SIGNS_AND_TAGS] * 10, format="html")),
    Fault("2,000 ordinary sentences", "/v1/translate", lambda: _translate([ORDINARY_HTML] * 10, format="html")),
    Fault("long reference, html", "/v1/translate", lambda: _translate(REFERENCE, format="html")),
    Fault("long reference, xml, DeepL", "/v2/translate",
          lambda: {"text": [REFERENCE], "source_lang": "EN", "target_lang": "DE", "tag_handling": "xml"}),
    Fault("long reference, LibreTranslate", "/translate",
          lambda: {"q": REFERENCE, "source": "en", "target": "de", "format": "html"}),
    Fault("1,990 lines, 16 alternatives", "/v1/translate",
          lambda: _translate("Hi\n" * 1990, beam_size=16, n_best=16, max_length=1, include=["score"])),
    Fault("1,500 placeholders", "/v1/translate", lambda: _translate("{a} " * 1500 + "is late.")),
    Fault("one word of 20,000 letters", "/v1/translate", lambda: _translate("a" * 20_000), (200, 504)),
    Fault("20,000 quotation marks", "/v1/translate", lambda: _translate('"' * 19_998 + "a")),
    Fault("unclosed scripts", "/v1/translate", lambda: _translate("<script>" + "</script " * 2200, format="html")),
    Fault("2,000 lines", "/v1/translate", lambda: _translate("Hi there.\n" * 1990)),
    Fault("2,000 lines, tokens", "/v1/translate", lambda: _translate("Hi there.\n" * 1990, include=["tokens"])),
    Fault("256 texts, alignment", "/v1/translate", lambda: _translate([_sentences(2)] * 256, include=["alignment"])),
    Fault("200 glossary terms", "/v1/translate",
          lambda: _translate(("!" * 89 + "? ") * 200 + "It is late.", glossary=TERMS)),
    Fault("1,000 suppressed tokens", "/v1/translate",
          lambda: _translate("Hi\n" * 1990, suppress=list(range(1000, 2000)), max_length=1)),
    Fault("detection of 256 texts", "/v1/translate",
          lambda: {"text": ["http://a.example/b " * 200 + f"It is late {k}." for k in range(256)], "target": "de"},
          (200, 413, 503)),
    Fault("256 texts to classify, all labels", "/v1/classify",
          lambda: {"text": [_sentences(8)] * 256, "model": "intents", "top_k": 1000}, (200, 413)),
    Fault("10,000 sentences of one letter", "/v1/translate", lambda: _translate("a\n" * 9_999), (413,)),
]  # fmt: skip


def probe(port: int, begun: EventType, ended: EventType, results: Connection) -> None:
    """Ask /healthz every 20 ms until `ended` is set, then send the worst latency in ms."""

    async def ask() -> float:
        worst = 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not ended.is_set():
            started = time.perf_counter()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length"))
                await reader.readexactly(length)
            except (EOFError, OSError):  # the service stops, or has closed this connection for others
                break
            worst = max(worst, time.perf_counter() - started)
            begun.set()
            await asyncio.sleep(PROBE_INTERVAL)
        writer.close()
        return 1000 * worst

    results.send(asyncio.run(ask()))


def measure(running: RunningServer, replay: Callable[[], tuple[str, bool]], name: str) -> dict[str, Any]:
    """Replay a fault with a probe beside it; return its row.

    `replay` returns what came back, and whether it is right.
    """
    begun, ended = Event(), Event()
    received, sent = Pipe(duplex=False)
    prober = Process(target=probe, args=(running.port, begun, ended, sent))
    prober.start()
    begun.wait()
    time.sleep(SETTLE)
    started = time.perf_counter()
    answers, right = replay()
    seconds = time.perf_counter() - started
    time.sleep(SETTLE)
    ended.set()
    stall = float(received.recv())
    prober.join()
    return {
        "fault": name,
        "answers": answers,
        "right": right,
        "seconds": round(seconds, 3),
        "stall_ms": round(stall, 1),
    }


def send_requests(running: RunningServer, fault: Fault) -> tuple[str, bool]:
    """Send a fault's requests at once; return their statuses, and whether they are right."""
    body = fault.body()

    def send(_: int) -> int:
        return Server(f"http://127.0.0.1:{running.port}").request(fault.path, body, timeout=TIMEOUT)[0]

    with ThreadPoolExecutor(fault.copies) as pool:
        statuses = set(pool.map(send, range(fault.copies)))
    return ", ".join(map(str, sorted(statuses))), statuses <= set(fault.statuses)


def run_scenario(running: RunningServer, scenario: Scenario) -> tuple[str, bool]:
    """Replay a scenario; return what was wrong, and whether it was nothing."""
    problems = scenario.replay(running)
    return "; ".join(problems) or "as expected", not problems


def main() -> int:
    """Run the command; return 1 if an answer was wrong or a stall too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path, help="what to serve; default: all of models/")
    parser.add_argument("--port", type=int, help="a service that runs already")
    parser.add_argument("--only", default="", help="replay the faults whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    artifacts = options.artifacts or sorted(Path("models").iterdir())
    rows = _replay_all(options.port, artifacts, [fault for fault in FAULTS if options.only in fault.name])
    if options.port is None:
        for scenario in SCENARIOS:
            if options.only in scenario.name:
                with running_scenario(scenario, artifacts) as running:
                    rows.append(_print_row(measure(running, partial(run_scenario, running, scenario), scenario.name)))
    if options.json:
        write_figures(options.json, "stall of /healthz while a fault is replayed", rows, limit_ms=MAX_STALL_MS)
    return int(any(not row["right"] or row["stall_ms"] > MAX_STALL_MS for row in rows))


def _replay_all(port: int | None, artifacts: Sequence[Path], chosen: Sequence[Fault]) -> list[dict[str, Any]]:
    if not chosen:
        return []
    if port is not None:
        return [_replay(RunningServer(port, 0), fault) for fault in chosen]
    with attendant_server(artifacts) as running:
        return [_replay(running, fault) for fault in chosen]


def _replay(running: RunningServer, fault: Fault) -> dict[str, Any]:
    return _print_row(measure(running, partial(send_requests, running, fault), fault.name))


def _print_row(row: dict[str, Any]) -> dict[str, Any]:
    verdict = "ok" if row["right"] and row["stall_ms"] <= MAX_STALL_MS else "FAILS"
    sys.stdout.write(f"{verdict:6}{row['stall_ms']:8.1f} ms {row['seconds']:8.2f} s {row['fault']}: {row['answers']}\n")
    sys.stdout.flush()
    return row


if __name__ == "__main__":
    sys.exit(main())
