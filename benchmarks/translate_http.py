"""Translation over HTTP: our service against CTranslate2 behind FastAPI, and against our own engine without HTTP.

    python -m benchmarks.translate_http [--artifact ARTIFACT] [--run RUN] [--tune]
        [--data data] [--source en] [--target de] [--clients 64] [--rounds 5] [--seconds 8] [--json FILE]

CLIENTS keep one request of one sentence each under way. The sides are measured in turn in every round, the others idle
meanwhile; figures are medians of the rounds. With --tune the rival's knobs are tried first and the fastest kept, else
--rival gives them. The offline side runs the same sentences, as many together as there are clients, and always has the
next ones waiting.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import versus
from benchmarks.contenders import Course, Flags, agreement, batching, division, machine, ours, rival, splitting, tune
from benchmarks.direct import Direct
from benchmarks.peers.ctranslate2 import convert_run
from benchmarks.rounds import alternate, ratio, table
from benchmarks.texts import PARALLEL, fitting, sentences
from benchmarks.traffic import Traffic
from service.artifact import read_artifact
from service.engine.session import available_cores
from service.text.tokenizer import TextCodec

TEXTS = 4000
FIGURES = {
    "per_second": "sentences/s", "p50_ms": "p50, ms", "p95_ms": "p95, ms", "p99_ms": "p99, ms",
    "server_cpu_ms": "server CPU, ms a sentence", "client_cpu_ms": "client CPU, ms a sentence",
}  # fmt: skip
TUNED: Flags = {
    "compute-type": "int8", "workers": 2, "threads": 1, "max-wait-ms": 10, "max-batch": 32, "sub-batch": 16,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = versus.parser(__doc__, Path("models/translate-en-de-fr-es"), Path("runs/translate-en-de-fr-es"), TUNED)
    top.add_argument("--source", default="en")
    top.add_argument("--target", default="de")
    return top


def requests(arguments: argparse.Namespace) -> tuple[list[str], list[tuple[str, str]]]:
    """The sentences, and the request of each."""
    artifact = read_artifact(arguments.artifact)
    columns = ["en", arguments.target if arguments.source == "en" else arguments.source]
    found = sentences(arguments.data, PARALLEL, columns, arguments.source, TEXTS)
    texts = fitting(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)
    fields = {"source": arguments.source, "target": arguments.target}
    return texts, [("/v1/translate", json.dumps({"text": text, **fields})) for text in texts]


def grid(cores: int) -> list[list[Flags]]:
    """What is tried: compute type and division of the cores, then the batcher, then batches split by length, and the
    compute type again, for in small batches it made no difference."""
    kinds: list[Flags] = [{"compute-type": kind, **part} for kind in ("int8", "float32") for part in division(cores)]
    again: list[Flags] = [{"compute-type": kind} for kind in ("int8", "float32")]
    return [kinds, batching((0, 2, 5, 10), (16, 32, 64)), splitting((0, 16, 32)), again]


def measure(arguments: argparse.Namespace, model: Path, traffic: Traffic) -> versus.Measured:
    """All rounds, the rival's flags, and how many answers agree."""
    texts, bodies = requests(arguments)
    course = Course(traffic, bodies, arguments.clients, arguments.seconds)
    command = [sys.executable, "-m", "benchmarks.rivals.translate_server", str(model), str(arguments.artifact)]
    flags = tune(command, grid(available_cores()), course) if arguments.tune else arguments.rival
    options = ["translate", str(arguments.artifact), "--source", arguments.source, "--target", arguments.target]
    with ExitStack() as stack:
        mine = stack.enter_context(ours([arguments.artifact]))
        other = stack.enter_context(rival(command, flags))
        direct = stack.enter_context(Direct([*options, "--rows", str(arguments.clients)], texts))
        alike = agreement(mine, other, bodies)
        sides = {
            "rival": lambda: course.figures(other),
            "ours": lambda: course.figures(mine),
            "ours offline": lambda: direct.measure(course.warm_up, course.seconds),
        }
        return alternate(sides, arguments.rounds), flags, alike


def report(_: argparse.Namespace, measured: versus.Measured) -> dict[str, Any]:
    """Print the table; the ratios and conditions for --json."""
    rounds, flags, alike = measured
    ratios = {
        "sentences/s, ours to the rival's": ratio(rounds, "ours", "rival", "per_second"),
        "p95, ours to the rival's": ratio(rounds, "ours", "rival", "p95_ms"),
        "sentences/s, HTTP to offline": ratio(rounds, "ours", "ours offline", "per_second"),
    }
    sys.stdout.write(table(rounds, FIGURES))
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    sys.stdout.write(f"rival: CTranslate2, {flags}; {alike:.0%} of its answers are ours\n")
    return {"machine": machine(), "rival": flags, "alike": alike, "ratios": ratios, "rounds": rounds}


def main(words: Sequence[str] | None = None) -> int:
    return versus.run(parser().parse_args(words), convert_run, measure, report)


if __name__ == "__main__":
    sys.exit(main())
