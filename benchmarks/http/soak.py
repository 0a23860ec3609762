"""Full load for minutes: does the service's memory stay constant?

    python -m benchmarks.http.soak [--minutes 10] [--models models] [--data data] [--clients 64] [--json FILE]

CLIENTS translate and classify sentences of mixed length: greedy, with a beam, sampled, or with a low max_length.
Resident memory is read every second. Exit status 1 if the mean of the last minute is more than 2 % above that of the
second minute, or if any request was refused.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from benchmarks.common.processes import resident_bytes
from benchmarks.common.texts import LABELLED, PARALLEL, sentences, within_limit
from benchmarks.http.load_generator import CLIENTS, HttpLoad, LoadResult, Traffic
from benchmarks.http.servers import RunningServer, attendant_server
from service.artifact import Artifact, read_artifact
from service.text.tokenizer import TextCodec

TEXTS = 4000
MAX_GROWTH = 0.02  # ratio of the last minute to the second, less 1
MINUTE = 60  # samples, one a second
OPTIONS: list[dict[str, Any]] = [
    *[{}] * 5,
    {"max_length": 20},
    {"beam_size": 4, "n_best": 2, "include": ["score"]},
    {"temperature": 0.8, "top_k": 20},
]


def requests(artifacts: Sequence[Artifact], data: Path) -> list[tuple[str, str]]:
    """Return equally many requests for each artifact, in a seeded order."""
    rng = random.Random(1)
    found: list[tuple[str, str]] = []
    for artifact in artifacts:
        manifest, codec = artifact.manifest, TextCodec(artifact.tokenizer, artifact.manifest)
        if manifest.task == "classify":
            texts = within_limit(sentences(data, LABELLED, ["label", "text"], "text", TEXTS), codec, manifest)
            found += [("/v1/classify", json.dumps({"text": text, "model": manifest.name})) for text in texts]
            continue
        direction = manifest.directions[0]
        fields = {"model": manifest.name, "source": direction.source, "target": direction.target}
        texts = within_limit(sentences(data, PARALLEL, ["en", "de"], direction.source, TEXTS), codec, manifest)
        found += [("/v1/translate", json.dumps({"text": t, **fields, **option(rng)})) for t in texts]
    rng.shuffle(found)
    return found


def option(rng: random.Random) -> dict[str, Any]:
    """Choose the options of one translation; a sampled one gets its own seed."""
    chosen = rng.choice(OPTIONS)
    return {**chosen, "seed": rng.randrange(2**31)} if "temperature" in chosen else chosen


def watch(running: RunningServer, load: HttpLoad, traffic: Traffic) -> tuple[LoadResult, list[int]]:
    """Send the load and read the service's resident memory, in bytes, every second until it ends."""
    samples: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(traffic.send, load)
        due = time.monotonic()
        while True:
            due += 1
            try:
                return sending.result(timeout=max(0.0, due - time.monotonic())), samples
            except NotYet:
                samples.append(resident_bytes(running.pid))


def growth(samples: Sequence[int], minute: int = MINUTE) -> tuple[float, float, float]:
    """Return the mean of the second minute, the mean of the last one, and their ratio less 1.

    Raises:
        ValueError: there are fewer than three minutes.
    """
    if len(samples) < 3 * minute:
        raise ValueError(f"{len(samples)} samples of memory; at least {3 * minute} are needed: run longer")
    second, last = statistics.mean(samples[minute : 2 * minute]), statistics.mean(samples[-minute:])
    return second, last, last / second - 1


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="without it sentences are generated")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--json", type=Path, help="write the result and all samples to this file")
    arguments = parser.parse_args(words)
    if arguments.minutes < 3.1:
        parser.error("--minutes must be at least 3.1: the second and the last minute are compared")
    folders = sorted(path.parent for path in arguments.models.glob("*/manifest.json"))
    bodies = requests([read_artifact(folder) for folder in folders], arguments.data)
    with Traffic() as traffic, attendant_server(folders) as running:
        load = HttpLoad(running.port, bodies, arguments.clients, 0.0, 60 * arguments.minutes, running.pid)
        result, samples = watch(running, load, traffic)
    second, last, grown = growth(samples)
    sys.stdout.write(
        f"{result.answers} answers, {result.per_second:.1f}/s, errors {result.errors or 'none'}\n"
        "| second minute, MB | last minute, MB | growth, % |\n|---|---|---|\n"
        f"| {second / 1e6:.1f} | {last / 1e6:.1f} | {100 * grown:+.2f} |\n"
    )
    if arguments.json:
        row = {
            "answers": result.answers, "errors": sum(result.errors.values()), "second_minute_mb": second / 1e6,
            "last_minute_mb": last / 1e6, "growth_percent": 100 * grown,
        }  # fmt: skip
        write_figures(arguments.json, "Resident memory under full load", [row], samples=samples)
    return 1 if grown > MAX_GROWTH or result.errors else 0


if __name__ == "__main__":
    sys.exit(main())
