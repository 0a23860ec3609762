"""Rates without HTTP: this engine offline, and a classifier's bare `session.run` on ideal batches.

Runs as a process of its own: `python -m benchmarks.http.engine_rates TASK ARTIFACT [--source en --target de]`.
The first input line is a JSON list of texts. Each further line {"warm_up": s, "seconds": s} gets one output line
{"per_second": x, "with_text": y}: texts per second of the engine alone, and including tokenisation and detokenisation.
`EngineRates` starts and controls the process.
"""

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.http.load_generator import CLIENTS
from service.artifact import Artifact, read_artifact
from service.engine.cores import available_cores
from service.engine.interfaces import NullObserver
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Queue
from service.engine.result_future import ResultFuture
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import LocalWorkerPool
from service.models.options import default_target_length
from service.settings import Settings
from service.text.tokenizer import TextCodec

UNBOUNDED = 10**9
DRAINED = 60.0  # seconds
Measure = Callable[[float, float], dict[str, float]]  # seconds of warm-up, seconds measured


class RequestStream:
    """An endless stream: each finished request submits the next one, in the worker's thread."""

    def __init__(self, queue: Queue, requests: Callable[[], EngineRequest], in_flight: int) -> None:
        self.queue, self.next_request = queue, requests
        self.answers: list[EngineResult] = []
        self._running: set[ResultFuture[EngineResult]] = set()
        self._lock = threading.Lock()
        self._open = True
        for _ in range(in_flight):
            self._submit()

    def _submit(self) -> None:
        with self._lock:
            if not self._open:
                return
            request = self.next_request()
            self._running.add(request.future)
        request.future.add_done_callback(self._answered)
        self.queue.submit([request])

    def _answered(self, future: ResultFuture[EngineResult]) -> None:
        with self._lock:
            self._running.discard(future)
            if not self._open:
                return
            self.answers.append(future.result())
        self._submit()

    def close(self) -> None:
        """Cancel the requests in flight."""
        with self._lock:
            self._open = False
            left = list(self._running)
        for future in left:
            future.cancel()


@contextmanager
def translator(artifact: Artifact, texts: list[str], source: str, target: str, rows: int) -> Iterator[Measure]:
    """Run the engine with the service's own division of the cores: `rows` texts running and as many waiting."""
    manifest, codec = artifact.manifest, TextCodec(artifact.tokenizer, artifact.manifest)
    direction = next(d for d in manifest.directions if (d.source, d.target) == (source, target))
    started = time.perf_counter()
    sources = codec.encode(texts, direction.prefix, append_eos=True)
    encoding = (time.perf_counter() - started) / len(texts)
    workers, threads = Settings().workers_and_threads(available_cores())
    graphs = TranslateGraphs.load(artifact, threads)
    queue = Queue(QueueLimits(rows=rows, queue_segments=UNBOUNDED, queue_tokens=UNBOUNDED), workers)
    worker_pool = LocalWorkerPool(
        "direct", [TranslateEngine(graphs, queue.rows_per_worker) for _ in range(workers)], queue, NullObserver()
    )
    worker_pool.start()

    def measure(warm_up: float, seconds: float) -> dict[str, float]:
        order = itertools.cycle(sources)

        def request() -> EngineRequest:
            ids = next(order)
            return EngineRequest(
                ids, DecodingOptions(max_length=default_target_length(len(ids), manifest.limits.target_length))
            )

        stream = RequestStream(queue, request, 2 * rows)
        time.sleep(warm_up)
        before, began = len(stream.answers), time.perf_counter()
        time.sleep(seconds)
        answers, took = stream.answers[before:], time.perf_counter() - began
        stream.close()
        started = time.perf_counter()
        codec.decode([answer.ids for answer in answers])
        decoding = (time.perf_counter() - started) / len(answers)
        return rates(took / len(answers), encoding + decoding)

    yield measure
    worker_pool.drain(DRAINED)  # a thread that still runs a graph when the interpreter ends would abort the process


def rates(compute: float, text: float) -> dict[str, float]:
    """Return texts per second without and with the tokeniser's time; arguments are seconds per text."""
    return {"per_second": 1 / compute, "with_text": 1 / (compute + text)}


def classifier(artifact: Artifact, texts: list[str], batch: int) -> Measure:
    """Run the session alone: texts sorted by length, in full batches, arrays padded beforehand."""
    manifest, codec = artifact.manifest, TextCodec(artifact.tokenizer, artifact.manifest)
    session = Session(artifact.graph("classify"), available_cores())
    started = time.perf_counter()
    sources = sorted(codec.encode(texts, [manifest.special_tokens.bos], append_eos=False), key=len)
    encoding = (time.perf_counter() - started) / len(texts)
    source_format = SourceFormat.of(session, manifest.special_tokens.pad)
    batches = [source_format.arrays(sources[i : i + batch]) for i in range(0, len(sources), batch)]

    def measure(warm_up: float, seconds: float) -> dict[str, float]:
        seconds_per_pass(session, batches, warm_up)
        return rates(seconds_per_pass(session, batches, seconds) / len(sources), encoding)

    return measure


def seconds_per_pass(session: Session, batches: list[dict[str, np.ndarray]], seconds: float) -> float:
    """Return the seconds of one pass over all batches; only whole passes are run, until the time is over."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() < started + seconds or not count:
        for inputs in batches:
            session.run(inputs)
        count += 1
    return (time.perf_counter() - started) / count


class EngineRates:
    """Context manager that runs the process."""

    def __init__(self, arguments: Sequence[str], texts: list[str]) -> None:
        command = [sys.executable, "-m", "benchmarks.http.engine_rates", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._send(texts)

    def measure(self, warm_up: float, seconds: float) -> dict[str, float]:
        """Return the rates, see `Measure`.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self._process.stdout is not None
        self._send({"warm_up": warm_up, "seconds": seconds})
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine process ended with status {self._process.wait()}")
        rates: dict[str, float] = json.loads(line)
        return rates

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> "EngineRates":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["translate", "classify"])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", default="de")
    parser.add_argument("--rows", type=int, default=CLIENTS)
    arguments = parser.parse_args()
    artifact, texts = read_artifact(arguments.artifact), json.loads(sys.stdin.readline())
    side = (
        nullcontext(classifier(artifact, texts, arguments.rows))
        if arguments.task == "classify"
        else translator(artifact, texts, arguments.source, arguments.target, arguments.rows)
    )
    with side as measure:
        for line in sys.stdin:
            command = json.loads(line)
            sys.stdout.write(json.dumps(measure(command["warm_up"], command["seconds"])) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
