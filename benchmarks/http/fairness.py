"""Fairness over HTTP: a client that sends single sentences, alone and beside a client with large requests.

    python -m benchmarks.http.fairness [--models models] [--data data] [--rounds 3] [--seconds 6] [--json FILE]

The small client sends one sentence after another over one connection; the large one sends requests of 256 texts over 16
connections, and repeats a refused request at once. Both translate, or both classify; the large client has another
address, or the same one. Exit status 1 if the small client's p95 beside the large one is more than 3 times its p95
alone, by the median of the rounds, or if any of its requests was refused.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.texts import LABELLED, PARALLEL, sentences, within_limit
from benchmarks.http.load_generator import HttpLoad, LoadResult, Traffic
from benchmarks.http.servers import RunningServer, attendant_server
from service.artifact import Artifact, read_artifact
from service.text.tokenizer import TextCodec

CONNECTIONS, TEXTS = 16, 256
EVERYDAY = PARALLEL[1:]  # short sentences, of which the shipped model translates few twice
WARM_UP = 2.0
MAX_RATIO = 3.0
ADDRESSES = {"another address": "127.0.0.2", "the same address": "127.0.0.1"}


def texts_of(artifact: Artifact, data: Path) -> tuple[str, dict[str, str], list[str]]:
    """Return the path, the fields beside the text, and the texts for one model."""
    manifest, codec = artifact.manifest, TextCodec(artifact.tokenizer, artifact.manifest)
    if manifest.task == "classify":
        texts = sentences(data, LABELLED, ["label", "text"], "text", 2000)
        return "/v1/classify", {"model": manifest.name}, within_limit(texts, codec, manifest)
    direction = manifest.directions[0]
    fields = {"model": manifest.name, "source": direction.source, "target": direction.target}
    texts = sentences(data, EVERYDAY, ["en", "de"], direction.source, 2000)
    return "/v1/translate", fields, within_limit(texts, codec, manifest)


def bodies(path: str, fields: dict[str, str], texts: list[str], size: int) -> list[tuple[str, str]]:
    """Return requests of `size` texts each; a text alone if the size is 1."""
    starts = range(0, len(texts) - size + 1, size)
    return [(path, json.dumps({"text": texts[i] if size == 1 else texts[i : i + size], **fields})) for i in starts]


class Neighbours:
    """The two clients, in a process each."""

    def __init__(self, small: Traffic, large: Traffic, seconds: float) -> None:
        self.small, self.large, self.seconds = small, large, seconds

    def alone(self, running: RunningServer, requests: Sequence[tuple[str, str]]) -> LoadResult:
        """Run the small client alone."""
        return self.small.send(HttpLoad(running.port, requests, 1, WARM_UP, self.seconds))

    def beside(
        self,
        running: RunningServer,
        requests: Sequence[tuple[str, str]],
        large: Sequence[tuple[str, str]],
        address: str,
    ) -> tuple[LoadResult, LoadResult]:
        """Run both; the large client begins first and ends last."""
        load = HttpLoad(running.port, large, CONNECTIONS, 0.0, self.seconds + WARM_UP + 1, address=address)
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.large.send, load)
            return self.alone(running, requests), other.result()


def measure(folders: Sequence[Path], data: Path, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return one row for each task and each address of the large client."""
    rows: list[dict[str, Any]] = []
    with attendant_server(folders) as running, Traffic() as small, Traffic() as large:
        neighbours = Neighbours(small, large, seconds)
        for folder in folders:
            path, fields, texts = texts_of(read_artifact(folder), data)
            single, many = bodies(path, fields, texts, 1), bodies(path, fields, texts, TEXTS)
            for where, address in ADDRESSES.items():
                found = [
                    (neighbours.alone(running, single), *neighbours.beside(running, single, many, address))
                    for _ in range(rounds)
                ]
                rows.append({"task": path.rpartition("/")[2], "large_client": where, **summary(found)})
    return rows


def summary(rounds: Sequence[tuple[LoadResult, LoadResult, LoadResult]]) -> dict[str, float]:
    """Return the medians of the rounds: alone, beside, and the large client's."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    return {
        "alone_p50_ms": median([alone.p50_ms for alone, _, _ in rounds]),
        "alone_p95_ms": median([alone.p95_ms for alone, _, _ in rounds]),
        "beside_p50_ms": median([beside.p50_ms for _, beside, _ in rounds]),
        "beside_p95_ms": median([beside.p95_ms for _, beside, _ in rounds]),
        "p95_ratio": median([beside.p95_ms / alone.p95_ms for alone, beside, _ in rounds]),
        "refused": sum(sum(result.errors.values()) for alone, beside, _ in rounds for result in (alone, beside)),
        "large_texts_per_second": median([TEXTS * large.per_second for _, _, large in rounds]),
        "large_refused": sum(sum(large.errors.values()) for _, _, large in rounds),
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--artifacts", type=Path, nargs="+", default=[Path("models/translate-en-de-fr-es"), Path("models/langid")]
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="without it sentences are generated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path, help="write the result to this file, such as docs/figures/fairness.json")
    arguments = parser.parse_args(words)
    notes = busy_note()
    rows = measure(arguments.artifacts, arguments.data, arguments.rounds, arguments.seconds)
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    if arguments.json:
        what = (
            f"A single-sentence client alone and beside {CONNECTIONS} connections with {TEXTS} texts a request, "
            f"medians of {arguments.rounds} rounds of {arguments.seconds:g} s"
        )
        write_figures(arguments.json, what, rows, notes=notes)
    return 1 if any(row["p95_ratio"] > MAX_RATIO or row["refused"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
