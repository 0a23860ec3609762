"""Classification over HTTP: this service against transformers behind FastAPI, and against the bare session.

    python -m benchmarks.http.classify [--artifact ARTIFACT --run RUN] [--backend optimum] [--tune]
        [--data data] [--clients 64] [--rounds 5] [--seconds 8] [--json FILE]

Each of CLIENTS connections always has one request with one text in flight. Every round measures one side after the
other while the rest are idle; results are medians of the rounds. The bare side calls `session.run` on the same texts,
sorted by length, 64 in a batch: once with token ids prepared, once including tokenisation.

The baseline runs in .venv-bench and supports Transformers only. Without --artifact all sides use the weights of
benchmarks/synthetic/classifier.py, created if missing.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.baselines.transformers.convert_classifier import convert_run
from benchmarks.common.figures import medians
from benchmarks.common.rounds import alternate, ratio, table
from benchmarks.common.texts import LABELLED, sentences, within_limit
from benchmarks.http import harness
from benchmarks.http.engine_rates import EngineRates
from benchmarks.http.load_generator import Traffic
from benchmarks.http.servers import (
    Flags,
    LoadPlan,
    agreement,
    attendant_server,
    baseline_server,
    batching,
    division,
    splitting,
    tune,
)
from benchmarks.offline.cases import export_missing
from benchmarks.synthetic.classifier import write_classifier
from service.artifact import read_artifact
from service.engine.cores import available_cores
from service.text.tokenizer import TextCodec
from training.runs.run import RunFolder

TEXTS = 4096
ARTIFACT = Path("artifacts/bench-classifier-int8")
COLUMNS = {
    "per_second": "texts/s", "with_text": "texts/s, tokenising too", "p50_ms": "p50, ms", "p95_ms": "p95, ms",
    "p99_ms": "p99, ms", "server_cpu_ms": "server CPU, ms a text", "client_cpu_ms": "client CPU, ms a text",
}  # fmt: skip
TUNED: Flags = {"workers": 1, "threads": 2, "max-wait-ms": 2, "max-batch": 64, "sub-batch": 16}


def parser() -> argparse.ArgumentParser:
    top = harness.parser(__doc__, ARTIFACT, Path("runs/bench-classifier"), TUNED)
    top.add_argument("--backend", choices=["torch", "optimum"], default="torch")
    top.add_argument(
        "--python", type=Path, default=Path(".venv-bench/bin/python"), help="interpreter that has transformers"
    )
    return top


def prepare(arguments: argparse.Namespace) -> None:
    """Create the untrained classifier if it is missing."""
    if arguments.artifact == ARTIFACT:
        if not RunFolder(arguments.run).weights.is_file():
            write_classifier(arguments.run, sentences(arguments.data, LABELLED, ["label", "text"], "text", TEXTS))
        export_missing(arguments.run, ARTIFACT)


def measure(arguments: argparse.Namespace, model: Path, traffic: Traffic) -> harness.Measured:
    """Return all rounds, the baseline's options, and the share of equal answers."""
    artifact = read_artifact(arguments.artifact)
    found = sentences(arguments.data, LABELLED, ["label", "text"], "text", TEXTS)
    texts = within_limit(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)
    bodies = [("/v1/classify", json.dumps({"text": text})) for text in texts]
    plan = LoadPlan(traffic, bodies, arguments.clients, arguments.seconds)
    command = [
        str(arguments.python), "-W", "ignore", "-m", "benchmarks.baselines.transformers.server",
        str(model), str(arguments.artifact), f"--backend={arguments.backend}",
    ]  # fmt: skip
    grid = [division(available_cores()), batching((0, 2, 5), (16, 32, 64)), splitting((0, 8, 16, 32))]
    flags = tune(command, grid, plan) if arguments.tune else arguments.baseline
    with ExitStack() as stack:
        mine = stack.enter_context(attendant_server([arguments.artifact]))
        other = stack.enter_context(baseline_server(command, flags))
        offline = stack.enter_context(EngineRates(["classify", str(arguments.artifact)], texts))
        agreement_share = agreement(mine, other, bodies)
        sides = {
            "baseline": lambda: plan.metrics(other),
            "ours": lambda: plan.metrics(mine),
            "session.run": lambda: offline.measure(plan.warm_up, plan.seconds),
        }
        return alternate(sides, arguments.rounds), flags, agreement_share


def report(arguments: argparse.Namespace, measured: harness.Measured) -> dict[str, Any]:
    """Print the table; return ratios and conditions for --json."""
    rounds, flags, agreement_share = measured
    for one in rounds:
        one["ours"]["with_text"] = one["ours"]["per_second"]  # the service always tokenises
    ratios = {
        "texts/s, ours to baseline": ratio(rounds, "ours", "baseline", "per_second"),
        "p95, ours to baseline": ratio(rounds, "ours", "baseline", "p95_ms"),
        "texts/s, HTTP to bare session.run": ratio(rounds, "ours", "session.run", "per_second"),
        "texts/s, HTTP to tokenising and session.run": ratio(rounds, "ours", "session.run", "with_text"),
    }
    sys.stdout.write(table(rounds, COLUMNS))
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    sys.stdout.write(
        f"baseline: transformers ({arguments.backend}), {flags}; {agreement_share:.0%} of its labels equal ours\n"
    )
    return {
        "what": "Classification over HTTP: one text a request",
        "rows": medians(rounds),
        "ratios": ratios,
        "notes": harness.conditions(arguments),
        "baseline": flags,
        "equal_answers": agreement_share,
        "rounds": rounds,
    }


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    prepare(arguments)
    return harness.run(arguments, convert_run, measure, report)


if __name__ == "__main__":
    sys.exit(main())
