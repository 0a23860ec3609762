"""Swaps of a model under load: nothing lost, nothing mixed, every answer from a version that served when it was asked.

    python -m benchmarks.http.swap [--swaps 20] [--clients 64] [--json docs/figures/swap.json]

Two versions of the translator take turns in the models folder. The second one answers in another language, because its
directions are exchanged: so each sentence shows which version wrote it. One of the swaps is of a corrupt artifact,
which must be refused. Each client sends several sentences at a time, and compares the answers with those that each
version gave before, without load. Memory is read before and after, while nobody asks. Exits with status 1 if an answer
was lost, mixed, or from a version that did not serve, or if memory has grown.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.processes import free_port, process_tree, server
from benchmarks.http.chaos_clients import Connection, Question
from loadtest.corpus import generate
from service.http.api_keys import make_api_key

MODEL = "translate-en-de-fr-es"
SOURCE, TARGET = "en", "de"
SENTENCES = 60
TEXTS = 4  # of a request
PAUSE = 1.0  # seconds of load between two swaps
CALM = 3.0  # seconds without load, until memory is read
MAX_GROWTH = 0.10  # of memory, and at least:
MAX_GROWTH_BYTES = 16_000_000
TIMEOUT = 60.0


def exchange_directions(manifest: dict[str, Any]) -> None:
    """Have each direction of a manifest ask the model for the language of another one from the same source."""
    directions = manifest["directions"]
    by_source: dict[str, list[dict[str, Any]]] = {}
    for direction in directions:
        by_source.setdefault(direction["source"], []).append(direction)
    for group in by_source.values():
        prefixes = [direction["prefix"] for direction in group]
        for direction, prefix in zip(group, prefixes[1:] + prefixes[:1], strict=True):
            direction["prefix"] = prefix


class Versions:
    """Publishes versions of an artifact in a models folder, each with a number of its own."""

    def __init__(self, artifact: Path, models: Path) -> None:
        self._artifact, self._target = artifact, models / artifact.name
        self.number = 0

    def publish(self, exchanged: bool, corrupt: bool = False) -> None:
        """Replace the artifact in the folder by renaming. A corrupt one has weights that do not fit their checksum."""
        self.number += 1
        new, old = (self._target.with_name(f".{self._target.name}.{which}") for which in ("new", "old"))
        shutil.copytree(self._artifact, new)
        manifest = json.loads((new / "manifest.json").read_text("utf-8"))
        manifest["version"] = str(self.number)
        if exchanged:
            exchange_directions(manifest)
        (new / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        if corrupt:
            (new / "weights.bin").write_bytes(b"corrupt")
        if self._target.exists():
            self._target.rename(old)
        new.rename(self._target)
        shutil.rmtree(old, ignore_errors=True)


@dataclass
class Timeline:
    """Which version served when: each one from the moment its swap may have moved the traffic."""

    swaps: list[tuple[float, float, bool]] = field(default_factory=list)  # asked, answered, exchanged
    pending: tuple[float, bool] | None = None  # of a swap that is under way

    def serving(self, sent: float, received: float) -> set[bool]:
        """Return whether the versions were exchanged ones that may have served in this time."""
        changes = [*self.swaps, *([(self.pending[0], float("inf"), self.pending[1])] if self.pending else [])]
        found = set()
        for i, (asked, _, exchanged) in enumerate(changes):
            until = changes[i + 1][1] if i + 1 < len(changes) else float("inf")
            if asked <= received and sent <= until:
                found.add(exchanged)
        return found


@dataclass
class Tally:
    """What the clients have seen."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)  # whether the clients ask
    ended: bool = False

    def violate(self, kind: str, what: str) -> None:
        """Record what must not happen."""
        self.counts[kind] += 1
        self.violations.append(f"{kind}: {what}")


async def post(connection: Connection, data: bytes) -> tuple[int, bytes]:
    """Send a request and return status and body of the response."""
    writer = await connection.open()
    writer.write(data)
    return await asyncio.wait_for(connection.receive(), TIMEOUT)


def question(texts: Sequence[str]) -> bytes:
    return Question("/v1/translate", {"text": list(texts), "source": SOURCE, "target": TARGET}).bytes()


def texts_in(body: bytes) -> list[str]:
    return [one["text"] for one in json.loads(body)["translations"]]


class Client:
    """Asks one request after the other, and knows both answers to each sentence."""

    def __init__(
        self, port: int, answers: Mapping[str, Mapping[bool, str]], tally: Tally, timeline: Timeline, seed: int
    ) -> None:
        self._connection, self._random = Connection(port), random.Random(seed)
        self._answers, self._tally, self._timeline = answers, tally, timeline

    async def run(self) -> None:
        """Ask until the tally has ended."""
        while not self._tally.ended:
            await self._tally.running.wait()
            await self._ask(self._random.sample(list(self._answers), TEXTS))
        self._connection.close()
        await asyncio.sleep(0)

    async def _ask(self, texts: list[str]) -> None:
        sent = time.monotonic()
        try:
            status, body = await post(self._connection, question(texts))
        except (EOFError, OSError, TimeoutError) as error:
            self._connection.close()
            self._tally.violate("lost", repr(error))
            return
        received = time.monotonic()
        if status != 200:
            self._tally.violate("lost", f"status {status}: {body[:200]!r}")
            return
        self._tally.seconds.append(received - sent)
        answered = texts_in(body)
        kinds = [
            exchanged for exchanged in (False, True) if answered == [self._answers[text][exchanged] for text in texts]
        ]
        if not kinds:
            self._tally.violate("mixed", f"{texts} -> {answered}")
        elif kinds[0] not in self._timeline.serving(sent, received):
            self._tally.violate("not_serving", f"{texts} -> {answered}")
        else:
            self._tally.counts["right"] += 1


class Swapper:
    """Publishes versions and has the service load them."""

    def __init__(self, port: int, key: str, versions: Versions, timeline: Timeline) -> None:
        self._connection, self._versions, self._timeline = Connection(port), versions, timeline
        head = f"PUT /v1/models/{MODEL} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: 0\r\n\r\n"
        self._request = head.encode()

    async def swap(self, exchanged: bool, corrupt: bool = False) -> tuple[int, float]:
        """Have the service serve another version; return the status and the seconds it took."""
        await asyncio.to_thread(self._versions.publish, exchanged, corrupt)
        started = time.monotonic()
        if not corrupt:
            self._timeline.pending = started, exchanged
        status, _ = await post(self._connection, self._request)
        if not corrupt:
            self._timeline.swaps.append((started, time.monotonic(), exchanged))
            self._timeline.pending = None
        return status, time.monotonic() - started


async def both_answers(port: int, swapper: Swapper, sentences: Sequence[str]) -> dict[str, dict[bool, str]]:
    """Return the answers of both versions to each sentence; sentences with equal answers are left out."""
    answers: dict[str, dict[bool, str]] = {sentence: {} for sentence in sentences}
    connection = Connection(port)
    for exchanged in (True, False):
        await swapper.swap(exchanged)
        for sentence in sentences:
            _, body = await post(connection, question([sentence]))
            [answers[sentence][exchanged]] = texts_in(body)
    connection.close()
    return {sentence: both for sentence, both in answers.items() if both[False] != both[True]}


def memory(pid: int) -> dict[str, int]:
    """Return the resident bytes of both processes."""
    service, engine = process_tree(pid)
    return {"service": service.memory_info().rss, "engine": engine.memory_info().rss}


async def run(port: int, pid: int, swapper: Swapper, options: argparse.Namespace) -> tuple[Tally, dict[str, Any]]:
    """Run everything; return what the clients saw, and the row of the table."""
    tally, timeline = Tally(), swapper._timeline
    answers = await both_answers(port, swapper, generate([SOURCE], SENTENCES, random.Random(1)))
    clients = [Client(port, answers, tally, timeline, seed) for seed in range(options.clients)]
    running = [asyncio.create_task(client.run()) for client in clients]
    tally.running.set()
    await asyncio.sleep(options.pause * 3)
    tally.running.clear()
    await asyncio.sleep(CALM)
    before, peak = memory(pid), 0
    tally.running.set()
    swaps: list[float] = []
    for number in range(options.swaps):
        corrupt, exchanged = number == options.swaps // 2, number % 2 == 0
        await asyncio.sleep(options.pause)
        status, seconds = await swapper.swap(exchanged, corrupt)
        if status != (422 if corrupt else 200):
            tally.violate("swaps", f"swap {number} of a {'corrupt' if corrupt else 'good'} artifact: status {status}")
        elif not corrupt:
            swaps.append(seconds)
        peak = max(peak, sum(memory(pid).values()))
    await asyncio.sleep(options.pause)
    tally.running.clear()
    await asyncio.sleep(CALM)
    after = memory(pid)
    tally.ended = True
    tally.running.set()
    await asyncio.gather(*running)
    for name, used in before.items():
        if after[name] > used + max(MAX_GROWTH_BYTES, int(MAX_GROWTH * used)):
            tally.violate("memory", f"of the {name}: {used} -> {after[name]} bytes")
    counts = tally.counts
    return tally, {
        "clients": options.clients,
        "swaps": options.swaps,
        "corrupt": 1,
        "answers": counts["right"],
        "lost": counts["lost"],
        "mixed": counts["mixed"],
        "not_serving": counts["not_serving"],
        "longest_answer_s": round(max(tally.seconds), 2),
        "median_answer_s": round(statistics.median(tally.seconds), 2),
        "median_swap_s": round(statistics.median(swaps), 2),
        **{f"{name}_before_mb": round(used / 1e6, 1) for name, used in before.items()},
        **{f"{name}_after_mb": round(used / 1e6, 1) for name, used in after.items()},
        "peak_mb": round(peak / 1e6, 1),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds of load between two swaps")
    parser.add_argument("--artifact", type=Path, default=Path("models") / MODEL)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(words)
    notes, (key, entry), port = busy_note(), make_api_key("swap"), free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        models = Path(folder)
        versions = Versions(options.artifact, models)
        versions.publish(exchanged=False)
        settings = {"ATTENDANT_MODELS": folder, "ATTENDANT_PORT": str(port), "ATTENDANT_ADMIN_KEYS": entry}
        with server([sys.executable, "-m", "service"], port, settings, log=log) as pid:
            swapper = Swapper(port, key, versions, Timeline())
            tally, row = asyncio.run(run(port, pid, swapper, options))
        log.seek(0)
        if tracebacks := log.read().count("Traceback"):
            tally.violate("tracebacks", f"{tracebacks} in the log")
    sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    for violation in tally.violations[:20]:
        sys.stdout.write(f"VIOLATION: {violation}\n")
    if options.json:
        write_figures(options.json, "Swaps of a model under load", [row], notes=notes)
    return int(bool(tally.violations))


if __name__ == "__main__":
    sys.exit(main())
