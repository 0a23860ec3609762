"""Classification over HTTP: our service against transformers behind FastAPI, and against the bare session.

    python -m benchmarks.http.classify [--artifact ARTIFACT --run RUN] [--backend optimum] [--tune]
        [--data data] [--clients 64] [--rounds 5] [--seconds 8] [--json FILE]

CLIENTS keep one request of one text each under way. The sides are measured in turn in every round, the others idle
meanwhile; figures are medians of the rounds. The bare side calls `session.run` on the same texts, sorted by length and
64 in a batch: once with ids that are ready, once with the tokenising counted in.

The rival runs in .venv-bench. It knows Transformers alone: without --artifact all sides have the weights of
benchmarks/synthetic/classifier.py, made if they are missing.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.baselines.transformers.convert_classifier import convert_run
from benchmarks.common.rounds import alternate, ratio, table
from benchmarks.common.texts import LABELLED, fitting, sentences
from benchmarks.http import harness
from benchmarks.http.engine_rates import Direct
from benchmarks.http.load_generator import Traffic
from benchmarks.http.servers import Course, Flags, agreement, batching, division, machine, ours, rival, splitting, tune
from benchmarks.offline.cases import export_missing
from benchmarks.synthetic.classifier import write_classifier
from service.artifact import read_artifact
from service.engine.cores import available_cores
from service.text.tokenizer import TextCodec
from training.runs.run import RunFolder

TEXTS = 4096
ARTIFACT = Path("artifacts/bench-classifier-int8")
FIGURES = {
    "per_second": "texts/s", "with_text": "texts/s, tokenising too", "p50_ms": "p50, ms", "p95_ms": "p95, ms",
    "p99_ms": "p99, ms", "server_cpu_ms": "server CPU, ms a text", "client_cpu_ms": "client CPU, ms a text",
}  # fmt: skip
TUNED: Flags = {"workers": 1, "threads": 2, "max-wait-ms": 2, "max-batch": 64, "sub-batch": 16}


def parser() -> argparse.ArgumentParser:
    top = harness.parser(__doc__, ARTIFACT, Path("runs/bench-classifier"), TUNED)
    top.add_argument("--backend", choices=["torch", "optimum"], default="torch")
    top.add_argument("--python", type=Path, default=Path(".venv-bench/bin/python"), help="that has transformers")
    return top


def prepare(arguments: argparse.Namespace) -> None:
    """Make what is missing of the classifier that nobody trained."""
    if arguments.artifact == ARTIFACT:
        if not RunFolder(arguments.run).weights.is_file():
            write_classifier(arguments.run, sentences(arguments.data, LABELLED, ["label", "text"], "text", TEXTS))
        export_missing(arguments.run, ARTIFACT)


def measure(arguments: argparse.Namespace, model: Path, traffic: Traffic) -> harness.Measured:
    """All rounds, the rival's flags, and how many answers agree."""
    artifact = read_artifact(arguments.artifact)
    found = sentences(arguments.data, LABELLED, ["label", "text"], "text", TEXTS)
    texts = fitting(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)
    bodies = [("/v1/classify", json.dumps({"text": text})) for text in texts]
    course = Course(traffic, bodies, arguments.clients, arguments.seconds)
    command = [
        str(arguments.python), "-W", "ignore", "-m", "benchmarks.baselines.transformers.server",
        str(model), str(arguments.artifact), f"--backend={arguments.backend}",
    ]  # fmt: skip
    grid = [division(available_cores()), batching((0, 2, 5), (16, 32, 64)), splitting((0, 8, 16, 32))]
    flags = tune(command, grid, course) if arguments.tune else arguments.rival
    with ExitStack() as stack:
        mine = stack.enter_context(ours([arguments.artifact]))
        other = stack.enter_context(rival(command, flags))
        direct = stack.enter_context(Direct(["classify", str(arguments.artifact)], texts))
        alike = agreement(mine, other, bodies)
        sides = {
            "rival": lambda: course.figures(other),
            "ours": lambda: course.figures(mine),
            "session.run": lambda: direct.measure(course.warm_up, course.seconds),
        }
        return alternate(sides, arguments.rounds), flags, alike


def report(arguments: argparse.Namespace, measured: harness.Measured) -> dict[str, Any]:
    """Print the table; the ratios and conditions for --json."""
    rounds, flags, alike = measured
    for one in rounds:
        one["ours"]["with_text"] = one["ours"]["per_second"]  # a service always tokenises
    ratios = {
        "texts/s, ours to the rival's": ratio(rounds, "ours", "rival", "per_second"),
        "p95, ours to the rival's": ratio(rounds, "ours", "rival", "p95_ms"),
        "texts/s, HTTP to bare session.run": ratio(rounds, "ours", "session.run", "per_second"),
        "texts/s, HTTP to tokenising and session.run": ratio(rounds, "ours", "session.run", "with_text"),
    }
    sys.stdout.write(table(rounds, FIGURES))
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    sys.stdout.write(f"rival: transformers ({arguments.backend}), {flags}; {alike:.0%} of its labels are ours\n")
    return {"machine": machine(), "rival": flags, "alike": alike, "ratios": ratios, "rounds": rounds}


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    prepare(arguments)
    return harness.run(arguments, convert_run, measure, report)


if __name__ == "__main__":
    sys.exit(main())
