"""A document of 200 sentences over HTTP: at once, as a stream, and one request a sentence in sequence.

    python -m benchmarks.http.document [--artifact models/translate-en-de-fr-es] [--data data] [--source en]
        [--target de]
        [--rounds 5] [--json FILE]

Real everyday sentences, one a line, where the corpora are at hand. All sides use one connection that stays open.
Exit status 1 if, by the median of the rounds, the document is less than 5 times as fast as the requests in sequence, or
if the stream's first sentence takes more than a tenth of the stream.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.common.rounds import Round, alternate, ratio, table
from benchmarks.common.texts import PARALLEL, fitting, sentences
from benchmarks.http.servers import machine, ours
from service.artifact import read_artifact
from service.text.tokenizer import TextCodec

SENTENCES = 200
EVERYDAY = PARALLEL[1:]  # what the shipped model was made for: of others it makes loops, and every loop is tried twice
FASTER = 5.0
SOONER = 0.1
FIGURES = {"seconds": "seconds", "per_second": "sentences/s", "first": "seconds to the first sentence"}


class Client:
    """One open connection, and what every request asks for."""

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
        """The translation, and the seconds until its first part came."""
        started, first, parts = time.perf_counter(), 0.0, []
        for line in self._ask(text=text, stream=True):
            if line.startswith(b"data: ") and b'"delta":' in line:
                first = first or time.perf_counter() - started
                parts.append(json.loads(line[6:])["delta"])
        return "".join(parts), first


def figures(started: float, first: float) -> dict[str, float]:
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "per_second": SENTENCES / seconds, "first": first}


def measure(client: Client, lines: list[str], rounds: int) -> list[Round]:
    """All rounds, after one of each that warms up and shows that all say the same.

    Raises:
        RuntimeError: they do not.
    """
    document = "\n".join(lines)
    whole, (streamed, _) = client.translate(document), client.stream(document)
    if streamed != whole or [client.translate(line) for line in lines] != whole.split("\n"):
        raise RuntimeError("a document, its stream and its sentences alone are not translated alike")

    def at_once() -> dict[str, float]:
        started = time.perf_counter()
        client.translate(document)
        return figures(started, time.perf_counter() - started)

    def as_a_stream() -> dict[str, float]:
        started = time.perf_counter()
        return figures(started, client.stream(document)[1])

    def in_sequence() -> dict[str, float]:
        started = time.perf_counter()
        firsts = [time.perf_counter() - started for line in lines if client.translate(line)]
        return figures(started, firsts[0])

    return alternate({"at once": at_once, "stream": as_a_stream, "in sequence": in_sequence}, rounds)


def report(rounds: list[Round]) -> dict[str, Any]:
    """Print the table; the ratios for --json."""
    for one in rounds:
        one["stream"]["share"] = one["stream"]["first"] / one["stream"]["seconds"]
    faster = ratio(rounds, "at once", "in sequence", "per_second")
    share = sorted(one["stream"]["share"] for one in rounds)[len(rounds) // 2]
    sys.stdout.write(table(rounds, FIGURES))
    sys.stdout.write(f"at once to in sequence: {faster:.2f} times as fast\n")
    sys.stdout.write(f"the stream's first sentence: after {share:.3f} of its time\n")
    return {"machine": machine(), "faster": faster, "share": share, "rounds": rounds}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=Path("models/translate-en-de-fr-es"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora; without them sentences are generated")
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", default="de")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    arguments = parser.parse_args(words)
    artifact = read_artifact(arguments.artifact)
    columns = ["en", arguments.target if arguments.source == "en" else arguments.source]
    found = sentences(arguments.data, EVERYDAY, columns, arguments.source, 2 * SENTENCES)
    lines = fitting(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)[:SENTENCES]
    with ours([arguments.artifact]) as contender:
        client = Client(contender.port, {"source": arguments.source, "target": arguments.target})
        told = report(measure(client, lines, arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return int(told["faster"] < FASTER or told["share"] > SOONER)


if __name__ == "__main__":
    sys.exit(main())
