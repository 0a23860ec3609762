"""Full load for minutes: does the service's memory stay where it was?

    python -m benchmarks.http.soak [--minutes 10] [--models models] [--data data] [--clients 64] [--json FILE]

CLIENTS translate and classify sentences of mixed length, some with a beam, some sampled, some cut short. Resident
memory is read every second; exit status 1 if the last minute's mean is more than 2 % above the second minute's, or if
any request was refused.
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

from benchmarks.common.processes import resident_bytes
from benchmarks.common.texts import LABELLED, PARALLEL, fitting, sentences
from benchmarks.http.load_generator import CLIENTS, Figures, Load, Traffic
from benchmarks.http.servers import Contender, machine, ours
from service.artifact import Artifact, read_artifact
from service.text.tokenizer import TextCodec

TEXTS = 4000
GROWTH = 0.02  # allowed
MINUTE = 60  # samples, one a second
OPTIONS: list[dict[str, Any]] = [
    *[{}] * 5,
    {"max_length": 20},
    {"beam_size": 4, "n_best": 2, "include": ["score"]},
    {"temperature": 0.8, "top_k": 20},
]


def requests(artifacts: Sequence[Artifact], data: Path) -> list[tuple[str, str]]:
    """As many requests to each artifact, in a seeded order."""
    rng = random.Random(1)
    found: list[tuple[str, str]] = []
    for artifact in artifacts:
        manifest, codec = artifact.manifest, TextCodec(artifact.tokenizer, artifact.manifest)
        if manifest.task == "classify":
            texts = fitting(sentences(data, LABELLED, ["label", "text"], "text", TEXTS), codec, manifest)
            found += [("/v1/classify", json.dumps({"text": text, "model": manifest.name})) for text in texts]
            continue
        direction = manifest.directions[0]
        fields = {"model": manifest.name, "source": direction.source, "target": direction.target}
        texts = fitting(sentences(data, PARALLEL, ["en", "de"], direction.source, TEXTS), codec, manifest)
        found += [("/v1/translate", json.dumps({"text": t, **fields, **option(rng)})) for t in texts]
    rng.shuffle(found)
    return found


def option(rng: random.Random) -> dict[str, Any]:
    """The options of one translation; a sampled one has a seed of its own."""
    chosen = rng.choice(OPTIONS)
    return {**chosen, "seed": rng.randrange(2**31)} if "temperature" in chosen else chosen


def watch(contender: Contender, load: Load, traffic: Traffic) -> tuple[Figures, list[int]]:
    """Send the load, and read the service's resident bytes every second until it ends."""
    samples: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(traffic.send, load)
        due = time.monotonic()
        while True:
            due += 1
            try:
                return sending.result(timeout=max(0.0, due - time.monotonic())), samples
            except NotYet:
                samples.append(resident_bytes(contender.pid))


def growth(samples: Sequence[int], minute: int = MINUTE) -> tuple[float, float, float]:
    """Mean of the second minute, mean of the last one, and how much the last is above, as a ratio less 1.

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
    parser.add_argument("--json", type=Path, help="write the figures and all samples to this file")
    arguments = parser.parse_args(words)
    if arguments.minutes < 3.1:
        parser.error("--minutes must be at least 3.1: the second and the last minute are compared")
    folders = sorted(path.parent for path in arguments.models.glob("*/manifest.json"))
    bodies = requests([read_artifact(folder) for folder in folders], arguments.data)
    with Traffic() as traffic, ours(folders) as contender:
        load = Load(contender.port, bodies, arguments.clients, 0.0, 60 * arguments.minutes, contender.pid)
        figures, samples = watch(contender, load, traffic)
    second, last, grown = growth(samples)
    sys.stdout.write(
        f"{figures.answers} answers, {figures.per_second:.1f}/s, errors {figures.errors or 'none'}\n"
        "| second minute, MB | last minute, MB | growth, % |\n|---|---|---|\n"
        f"| {second / 1e6:.1f} | {last / 1e6:.1f} | {100 * grown:+.2f} |\n"
    )
    if arguments.json:
        found = {"machine": machine(), "errors": figures.errors, "growth": grown, "samples": samples}
        arguments.json.write_text(json.dumps(found) + "\n", "utf-8")
    return 1 if grown > GROWTH or figures.errors else 0


if __name__ == "__main__":
    sys.exit(main())
