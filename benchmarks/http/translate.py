"""Translation over HTTP: this service against CTranslate2 behind FastAPI, and against this engine without HTTP.

    python -m benchmarks.http.translate [--shape shipped|base] [--artifact ARTIFACT] [--run RUN] [--tune]
        [--data data] [--source en] [--target de] [--clients 64] [--rounds 5] [--seconds 8] [--json FILE]

Each of CLIENTS connections always has one request with one sentence in flight. Every round measures one side after the
other while the rest are idle; results are medians of the rounds. --tune first searches the baseline's options and keeps
the fastest ones; otherwise --baseline gives them. This service is measured as shipped ("guarded") and without retries
("unguarded", ATTENDANT_GUARD=0): then it returns the model's first answer, as the baseline and the offline side do. The
offline side runs the same sentences, as many at a time as there are clients, and always has the next ones queued.

The base shape is that of benchmarks/offline/translate.py, created if missing, with sentences as long as news. Its
untrained weights mostly produce loops, and each loop would be retried, so it is measured without retries only.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.baselines.ctranslate2.convert import convert_run
from benchmarks.common.figures import medians
from benchmarks.common.rounds import alternate, ratio, table
from benchmarks.common.texts import PARALLEL, sentences, within_limit
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
from benchmarks.offline.cases import SEED, base_case, export_missing
from benchmarks.offline.translate import SHAPES
from benchmarks.synthetic.base_shape import VOCABULARY, synthetic_sentences, synthetic_words
from benchmarks.synthetic.lengths import sample_lengths
from service.artifact import read_artifact
from service.engine.cores import available_cores
from service.text.tokenizer import TextCodec
from training.data.tokenizer import SPECIAL_TOKENS

TEXTS = 4000
COLUMNS = {
    "per_second": "sentences/s", "p50_ms": "p50, ms", "p95_ms": "p95, ms", "p99_ms": "p99, ms",
    "server_cpu_ms": "server CPU, ms a sentence", "client_cpu_ms": "client CPU, ms a sentence",
}  # fmt: skip
TUNED: Flags = {
    "compute-type": "int8", "workers": 2, "threads": 1, "max-wait-ms": 10, "max-batch": 32, "sub-batch": 16,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = harness.parser(__doc__, None, None, TUNED)
    top.add_argument("--shape", choices=SHAPES, default="shipped")
    top.add_argument("--source", default="en")
    top.add_argument("--target", default="de")
    return top


def prepare(arguments: argparse.Namespace) -> None:
    """Fill in missing arguments, and create the base shape if it is missing.

    Raises:
        subprocess.CalledProcessError: the export failed.
    """
    run, artifacts = SHAPES[arguments.shape]
    arguments.run, arguments.artifact = arguments.run or run, arguments.artifact or artifacts[-1]
    if arguments.shape == "base":
        base_case(arguments.run, "news", 1)
        export_missing(arguments.run, arguments.artifact)


def requests(arguments: argparse.Namespace) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the sentences, and one request per sentence."""
    artifact = read_artifact(arguments.artifact)
    if arguments.shape == "base":
        found = synthetic_sentences(
            synthetic_words(VOCABULARY - len(SPECIAL_TOKENS)), sample_lengths("news", TEXTS, SEED), SEED
        )
    else:
        columns = ["en", arguments.target if arguments.source == "en" else arguments.source]
        found = sentences(arguments.data, PARALLEL, columns, arguments.source, TEXTS)
    texts = within_limit(found, TextCodec(artifact.tokenizer, artifact.manifest), artifact.manifest)
    fields = {"source": arguments.source, "target": arguments.target}
    return texts, [("/v1/translate", json.dumps({"text": text, **fields})) for text in texts]


def grid(cores: int) -> list[list[Flags]]:
    """Return the groups of options to try: compute type with division of the cores, batching, splitting by length.

    The compute type is tried again at the end: in small batches it makes no difference.
    """
    kinds: list[Flags] = [{"compute-type": kind, **part} for kind in ("int8", "float32") for part in division(cores)]
    again: list[Flags] = [{"compute-type": kind} for kind in ("int8", "float32")]
    return [kinds, batching((0, 2, 5, 10), (16, 32, 64)), splitting((0, 16, 32)), again]


def measure(arguments: argparse.Namespace, model: Path, traffic: Traffic) -> harness.Measured:
    """Return all rounds, the baseline's options, and the share of equal answers."""
    texts, bodies = requests(arguments)
    plan = LoadPlan(traffic, bodies, arguments.clients, arguments.seconds)
    command = [sys.executable, "-m", "benchmarks.baselines.ctranslate2.server", str(model), str(arguments.artifact)]
    flags = tune(command, grid(available_cores()), plan) if arguments.tune else arguments.baseline
    options = ["translate", str(arguments.artifact), "--source", arguments.source, "--target", arguments.target]
    with ExitStack() as stack:
        unguarded = stack.enter_context(attendant_server([arguments.artifact], ATTENDANT_GUARD="0"))
        other = stack.enter_context(baseline_server(command, flags))
        offline = stack.enter_context(EngineRates([*options, "--rows", str(arguments.clients)], texts))
        agreement_share = agreement(unguarded, other, bodies)
        sides = {
            "baseline": lambda: plan.metrics(other),
            "unguarded": lambda: plan.metrics(unguarded),
            "offline": lambda: offline.measure(plan.warm_up, plan.seconds),
        }
        if arguments.shape == "shipped":
            guarded = stack.enter_context(attendant_server([arguments.artifact]))
            sides["guarded"] = lambda: plan.metrics(guarded)
        return alternate(sides, arguments.rounds), flags, agreement_share


def report(arguments: argparse.Namespace, measured: harness.Measured) -> dict[str, Any]:
    """Print the table; return ratios and conditions for --json."""
    rounds, flags, agreement_share = measured
    ratios = {}
    for side in ("unguarded", "guarded"):
        if side in rounds[0]:
            ratios[f"sentences/s, {side} to baseline"] = ratio(rounds, side, "baseline", "per_second")
            ratios[f"p95, {side} to baseline"] = ratio(rounds, side, "baseline", "p95_ms")
            ratios[f"sentences/s, {side} to offline"] = ratio(rounds, side, "offline", "per_second")
    sys.stdout.write(table(rounds, COLUMNS))
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    sys.stdout.write(f"baseline: CTranslate2, {flags}; {agreement_share:.0%} of its answers equal ours\n")
    return {
        "what": f"Translation over HTTP, {arguments.shape} shape: one sentence a request",
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
