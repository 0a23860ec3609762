"""A document of 200 sentences over HTTP: in one request, as a stream, and one request per sentence.

    python -m benchmarks.http.document [--artifact models/translate-en-de-fr-es] [--data data] [--source en]
        [--target de] [--rounds 5] [--json FILE]

The sentences are real everyday ones, one per line, where the corpora are available. All sides use one open connection.
Exit status 1 if, by the median of the rounds, the document is less than 5 times as fast as the single requests, or if
the stream's first sentence takes more than a tenth of the stream's time.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.common.figures import medians, write_figures
from benchmarks.common.rounds import Round, alternate, ratio, table
from benchmarks.common.texts import PARALLEL, sentences, within_limit
from benchmarks.http.servers import attendant_server
from service.artifact import read_artifact
from service.text.tokenizer import TextCodec

SENTENCES = 200
EVERYDAY = PARALLEL[1:]  # the shipped model's domain; other sentences often loop, and every loop is retried
SPEEDUP, FIRST_SHARE = "at once to in sequence", "first sentence to the whole stream"
MIN_SPEEDUP = 5.0
MAX_FIRST_SHARE = 0.1
COLUMNS = {"seconds": "seconds", "per_second": "sentences/s", "first": "seconds to the first sentence"}


class DocumentClient:
    """One open connection, and the fields of every request."""

    def __init__(self, port: int, fields: dict[str, str]) -> None:
        self.connection, self.fields = HTTPConnection("127.0.0.1", port, timeout=120), fields

    def _ask(self, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/v1/translate", json.dumps(self.fields | body), headers)
        response = self.connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {response.read(300)!r}")
        return response

    def translate(self, text: str) -> str:
        reply = json.loads(self._ask(text=text).read())
        return str(reply["translations"][0]["text"])

    def stream(self, text: str) -> tuple[str, float]:
        """Return the translation and the seconds until its first part arrived."""
        started, first, parts = time.perf_counter(), 0.0, []
        for line in self._ask(text=text, stream=True):
            if line.startswith(b"data: ") and b'"delta":' in line:
                first = first or time.perf_counter() - started
                parts.append(json.loads(line[6:])["delta"])
        return "".join(parts), first


def timings(started: float, first: float) -> dict[str, float]:
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "per_second": SENTENCES / seconds, "first": first}


def measure(client: DocumentClient, lines: list[str], rounds: int) -> list[Round]:
    """Measure all rounds, after a warm-up that checks that all sides give the same translation.

    Raises:
        RuntimeError: they differ.
    """
    document = "\n".join(lines)
    whole, (streamed, _) = client.translate(document), client.stream(document)
    if streamed != whole or [client.translate(line) for line in lines] != whole.split("\n"):
        raise RuntimeError("the document, its stream and its single sentences have different translations")

    def at_once() -> dict[str, float]:
        started = time.perf_counter()
        client.translate(document)
        return timings(started, time.perf_counter() - started)

    def as_a_stream() -> dict[str, float]:
        started = time.perf_counter()
        return timings(started, client.stream(document)[1])

    def in_sequence() -> dict[str, float]:
        started = time.perf_counter()
        firsts = [time.perf_counter() - started for line in lines if client.translate(line)]
        return timings(started, firsts[0])

    return alternate({"at once": at_once, "stream": as_a_stream, "in sequence": in_sequence}, rounds)


def report(rounds: list[Round]) -> dict[str, float]:
    """Print the table; return the ratios for --json."""
    for one in rounds:
        one["stream"]["share"] = one["stream"]["first"] / one["stream"]["seconds"]
    faster = ratio(rounds, "at once", "in sequence", "per_second")
    share = sorted(one["stream"]["share"] for one in rounds)[len(rounds) // 2]
    sys.stdout.write(table(rounds, COLUMNS))
    sys.stdout.write(f"at once to in sequence: {faster:.2f} times as fast\n")
    sys.stdout.write(f"the stream's first sentence: after {share:.3f} of its time\n")
    return {SPEEDUP: faster, FIRST_SHARE: share}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=Path("models/translate-en-de-fr-es"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora; without them sentences are generated")
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", default="de")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the results of every round to this file")
    arguments = parser.parse_args(words)
    artifact = read_artifact(arguments.artifact)
    columns = ["en", arguments.target if arguments.source == "en" else arguments.source]
    found = sentences(arguments.data, EVERYDAY, columns, arguments.source, 2 * SENTENCES)
    lines = within_limit(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)[:SENTENCES]
    with attendant_server([arguments.artifact]) as running:
        client = DocumentClient(running.port, {"source": arguments.source, "target": arguments.target})
        rounds = measure(client, lines, arguments.rounds)
    ratios = report(rounds)
    if arguments.json:
        notes = f"medians of {arguments.rounds} rounds"
        write_figures(
            arguments.json, f"A document of {SENTENCES} sentences", medians(rounds), ratios, notes=notes, rounds=rounds
        )
    return int(ratios[SPEEDUP] < MIN_SPEEDUP or ratios[FIRST_SHARE] > MAX_FIRST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
