"""Chaos: random disconnects, a killed and a stopped engine, and restarts, under clients that know the right answers.

    python -m benchmarks.http.chaos [--seconds 300] [--clients 16] [--json FILE]

30 % of the requests are abandoned by their client. In the first third of the time the service gets SIGTERM and is
started again, several times, while the clients keep connections; then its engine is stopped and continued, and killed.
Every text has a number of its own, and every answer must be equal to the one given before. Memory and file descriptors
of both processes are read under load without faults, before and after the second part. Exits with status 1 if an answer
was wrong or lost, if no fault explains a refusal, or if memory or descriptors have grown.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from benchmarks.common.figures import write_figures
from benchmarks.common.processes import free_port, is_ready, process_tree
from benchmarks.http.chaos_clients import Client, Connection, Question, Tally, answer_in

MODELS = ("langid", "translate-en-de-fr-es")
QUESTIONS = 200  # of each kind
DRAIN_SECONDS = 10.0
READY_SECONDS = 60.0  # to recover from a fault
KILL_INTERVAL = 62.0  # seconds; a second death of the engine within a minute ends the service
MAX_GROWTH = 0.10  # of memory
MAX_GROWTH_BYTES = 16_000_000  # and at least so much, as the allocator's blocks are large
MAX_NEW_FILES = 4


@dataclass(frozen=True)
class Usage:
    """Resident memory in bytes and open files of one process."""

    resident: int
    files: int


class Service:
    """A service that can be stopped and started again on the same port."""

    def __init__(self, models: Path, log: IO[bytes]) -> None:
        self.port, self._models, self._log = free_port(), models, log
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = {
            "ATTENDANT_MODELS": str(self._models), "ATTENDANT_PORT": str(self.port),
            "ATTENDANT_DRAIN_TIMEOUT_SECONDS": str(DRAIN_SECONDS),
        }  # fmt: skip
        return subprocess.Popen([sys.executable, "-m", "service"], env=os.environ | settings, stderr=self._log)

    async def wait_until_ready(self) -> None:
        """Wait until /readyz answers 200.

        Raises:
            TimeoutError: it does not in time.
            RuntimeError: the service has ended.
        """
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(is_ready, self.port):
                if self.process.poll() is not None:
                    raise RuntimeError(f"the service ended with status {self.process.returncode}")
                await asyncio.sleep(0.05)

    async def restart(self) -> tuple[int, float]:
        """Stop with SIGTERM and start again; return the exit status and the seconds until the exit."""
        started = time.monotonic()
        self.process.terminate()
        status = await asyncio.to_thread(self.process.wait)
        seconds = time.monotonic() - started
        self.process = self._start()
        return status, seconds

    @property
    def engine(self) -> int:
        """The process id of the engine."""
        [_, engine] = process_tree(self.process.pid)
        return int(engine.pid)

    def usage(self) -> dict[str, Usage]:
        """Return what both processes use."""
        names = ("service", "engine")
        return {
            name: Usage(process.memory_info().rss, process.num_fds())
            for name, process in zip(names, process_tree(self.process.pid), strict=True)
        }

    def end(self) -> None:
        """End the service."""
        self.process.terminate()
        try:
            self.process.wait(DRAIN_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()


async def ask_all(port: int, count: int = QUESTIONS) -> list[Question]:
    """Ask `count` questions of each kind once, and return them with their answers."""
    words = ["train", "house", "dog", "letter", "bridge", "garden"]
    sentence = "The {} with the number {} is not here, and it is late."
    texts = [sentence.format(words[i % len(words)], 10_000 + 37 * i) for i in range(count)]
    questions = [Question("/v1/translate", {"text": text, "source": "en", "target": "de"}) for text in texts]
    questions += [Question("/v1/classify", {"text": text, "model": "langid", "top_k": 5}) for text in texts]
    connection, answered = Connection(port), []
    for question in questions:
        (await connection.open()).write(question.bytes())
        status, body = await connection.receive()
        if status != 200:
            raise RuntimeError(f"status {status} before any fault: {body[:300]!r}")
        answered.append(replace(question, answer=answer_in(body)))
    connection.close()
    return answered


class Chaos:
    """Causes faults, and notes how long each lasted and what the clients saw meanwhile."""

    def __init__(self, service: Service, tally: Tally, seed: int = 1) -> None:
        self.service, self.tally, self.rows = service, tally, dict[str, dict[str, Any]]()
        self._random = random.Random(seed)
        self._killed = -KILL_INTERVAL

    async def calm(self, seconds: float) -> dict[str, Usage]:
        """Let the clients go on without a fault; return what the processes use at the least, in the second half."""
        before = self.tally.counts.copy()
        await asyncio.sleep(seconds / 2)
        samples = []
        for _ in range(5):
            await asyncio.sleep(seconds / 10)
            samples.append(self.service.usage())
        self._note("none, but disconnects", None, before)
        return {
            name: Usage(min(one[name].resident for one in samples), min(one[name].files for one in samples))
            for name in samples[0]
        }

    async def restart(self) -> None:
        """SIGTERM, and a new start."""
        async with Fault(self, "SIGTERM and restart"):
            status, seconds = await self.service.restart()
        if status != 0 or seconds > DRAIN_SECONDS + 1:
            self.tally.violate(f"exit with status {status} after {seconds:.1f} s")

    async def stop_engine(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some seconds."""
        async with Fault(self, "engine stopped for a while"):
            engine = self.service.engine
            os.kill(engine, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            os.kill(engine, signal.SIGCONT)

    async def kill_engine(self) -> None:
        """SIGKILL."""
        self._killed = time.monotonic()
        async with Fault(self, "engine killed"):
            engine = self.service.engine
            os.kill(engine, signal.SIGKILL)
            while await asyncio.to_thread(is_ready, self.service.port):  # until the death is noticed
                await asyncio.sleep(0.01)

    async def first_part(self, seconds: float) -> None:
        """Restart again and again, at least once."""
        end = time.monotonic() + seconds
        while True:
            await self.restart()
            if time.monotonic() > end:
                return
            await self.stop_engine(self._random.uniform(0.2, 1.5))
            await asyncio.sleep(self._random.uniform(0.5, 2.0))

    async def second_part(self, seconds: float) -> None:
        """Stop the engine again and again, at least once, and kill it as often as it is started again."""
        end = time.monotonic() + seconds
        while True:
            if time.monotonic() > self._killed + KILL_INTERVAL:
                await self.kill_engine()
            await self.stop_engine(self._random.choice([0.5, 1.0, 2.0, 7.0]) if seconds > 60 else 0.5)
            if time.monotonic() > end:
                return
            await asyncio.sleep(self._random.uniform(0.5, 3.0))

    def _note(self, fault: str, seconds: float | None, before: dict[str, int]) -> None:
        names = ("answered", "abandoned", "refused", "lost", "wrong")
        row = self.rows.setdefault(fault, {"fault": fault, "times": 0, **dict.fromkeys(names, 0), "longest_s": None})
        row["times"] += 1
        if seconds is not None:
            row["longest_s"] = max(row["longest_s"] or 0.0, round(seconds, 2))
        for name in names:
            row[name] += self.tally.counts[name] - before.get(name, 0)


class Fault:
    """The time of a fault, until the service is ready again and the last refusals have been read."""

    def __init__(self, chaos: Chaos, name: str) -> None:
        self._chaos, self._name = chaos, name

    async def __aenter__(self) -> None:
        self._started, self._before = time.monotonic(), self._chaos.tally.counts.copy()
        self._chaos.tally.excused = True

    async def __aexit__(self, *_: object) -> None:
        await self._chaos.service.wait_until_ready()
        seconds = time.monotonic() - self._started
        await asyncio.sleep(0.5)
        self._chaos.tally.excused = False
        self._chaos._note(self._name, seconds, self._before)


def growth(before: dict[str, Usage], after: dict[str, Usage]) -> list[str]:
    """Return what has grown too much."""
    found = []
    for name, usage in before.items():
        limit = usage.resident + max(MAX_GROWTH_BYTES, int(MAX_GROWTH * usage.resident))
        if after[name].resident > limit:
            found.append(f"memory of the {name}: {usage.resident} -> {after[name].resident} bytes")
        if after[name].files > usage.files + MAX_NEW_FILES:
            found.append(f"open files of the {name}: {usage.files} -> {after[name].files}")
    return found


async def run(
    models: Path, seconds: float, clients: int, log: IO[bytes], questions_of_a_kind: int = QUESTIONS
) -> tuple[Chaos, list[dict[str, Any]]]:
    """Run everything; return the chaos with its rows and violations, and the usage of each process."""
    service, tally = Service(models, log), Tally()
    try:
        await service.wait_until_ready()
        questions = await ask_all(service.port, questions_of_a_kind)
        chaos = Chaos(service, tally)
        running = [asyncio.create_task(Client(service.port, questions, tally, i).run()) for i in range(clients)]
        await chaos.first_part(seconds / 3)
        before = await chaos.calm(seconds / 15)
        await chaos.second_part(seconds / 2)
        after = await chaos.calm(seconds / 15)
        tally.ended = True
        await asyncio.gather(*running)
        for what in growth(before, after):
            tally.violate(what)
    finally:
        service.end()
    return chaos, [
        {
            "process": name,
            "before_mb": round(before[name].resident / 1e6, 1),
            "after_mb": round(after[name].resident / 1e6, 1),
            "files_before": before[name].files,
            "files_after": after[name].files,
        }
        for name in before
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--models", type=Path, default=Path("models"), help=f"folder with {' and '.join(MODELS)}")
    parser.add_argument("--json", type=Path, help="write the figures to this file, and to one beside it")
    options = parser.parse_args(words)
    with tempfile.TemporaryFile() as log:
        chaos, usage = asyncio.run(run(options.models, options.seconds, options.clients, log))
        log.seek(0)
        tracebacks = log.read().count(b"Traceback")
    if tracebacks:
        chaos.tally.violate(f"{tracebacks} tracebacks in the log")
    for row in (*chaos.rows.values(), *usage):
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    for violation in chaos.tally.violations:
        sys.stdout.write(f"VIOLATION: {violation}\n")
    if options.json:
        details = {"violations": chaos.tally.counts["violations"], "clients": options.clients}
        write_figures(options.json, "Answers under faults", list(chaos.rows.values()), **details)
        beside = options.json.with_stem(f"{options.json.stem}-usage")
        write_figures(beside, "Memory and open files under faults", usage)
    return int(bool(chaos.tally.counts["violations"]))


if __name__ == "__main__":
    sys.exit(main())
