"""Translation over HTTP: our service against CTranslate2 behind FastAPI, and against our own engine without HTTP.

    python -m benchmarks.http.translate [--shape shipped|base] [--artifact ARTIFACT] [--run RUN] [--tune]
        [--data data] [--source en] [--target de] [--clients 64] [--rounds 5] [--seconds 8] [--json FILE]

CLIENTS keep one request of one sentence each under way. The sides are measured in turn in every round, the others idle
meanwhile; figures are medians of the rounds. With --tune the rival's knobs are tried first and the fastest kept, else
--rival gives them. Ours is measured as it is, and without the guard (ATTENDANT_GUARD=0), when a translation is what the
model says first, as the rival's and the offline side's is. The offline side runs the same sentences, as many together
as there are clients, and always has the next ones waiting.

The base shape is that of benchmarks/offline/translate.py, made if it is missing; its sentences are as long as news.
Its random
weights say little but loops, so that a guard would have to do with every one: it is measured without alone.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.baselines.ctranslate2.convert import convert_run
from benchmarks.common.rounds import alternate, ratio, table
from benchmarks.common.texts import PARALLEL, fitting, sentences
from benchmarks.http import harness
from benchmarks.http.engine_rates import Direct
from benchmarks.http.load_generator import Traffic
from benchmarks.http.servers import Course, Flags, agreement, batching, division, machine, ours, rival, splitting, tune
from benchmarks.offline.cases import SEED, base_case, export_missing
from benchmarks.offline.translate import SHAPES
from benchmarks.synthetic.base_shape import VOCABULARY, made_up, made_up_words
from benchmarks.synthetic.lengths import sample_lengths
from service.artifact import read_artifact
from service.engine.cores import available_cores
from service.text.tokenizer import TextCodec
from training.data.tokenizer import SPECIAL_TOKENS

TEXTS = 4000
FIGURES = {
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
    """Fill in what the command line left out, and make what is missing of the base shape.

    Raises:
        subprocess.CalledProcessError: the export failed.
    """
    run, artifacts = SHAPES[arguments.shape]
    arguments.run, arguments.artifact = arguments.run or run, arguments.artifact or artifacts[-1]
    if arguments.shape == "base":
        base_case(arguments.run, "news", 1)
        export_missing(arguments.run, arguments.artifact)


def requests(arguments: argparse.Namespace) -> tuple[list[str], list[tuple[str, str]]]:
    """The sentences, and the request of each."""
    artifact = read_artifact(arguments.artifact)
    if arguments.shape == "base":
        found = made_up(made_up_words(VOCABULARY - len(SPECIAL_TOKENS)), sample_lengths("news", TEXTS, SEED), SEED)
    else:
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


def measure(arguments: argparse.Namespace, model: Path, traffic: Traffic) -> harness.Measured:
    """All rounds, the rival's flags, and how many answers agree."""
    texts, bodies = requests(arguments)
    course = Course(traffic, bodies, arguments.clients, arguments.seconds)
    command = [sys.executable, "-m", "benchmarks.baselines.ctranslate2.server", str(model), str(arguments.artifact)]
    flags = tune(command, grid(available_cores()), course) if arguments.tune else arguments.rival
    options = ["translate", str(arguments.artifact), "--source", arguments.source, "--target", arguments.target]
    with ExitStack() as stack:
        unguarded = stack.enter_context(ours([arguments.artifact], ATTENDANT_GUARD="0"))
        other = stack.enter_context(rival(command, flags))
        direct = stack.enter_context(Direct([*options, "--rows", str(arguments.clients)], texts))
        alike = agreement(unguarded, other, bodies)
        sides = {
            "rival": lambda: course.figures(other),
            "unguarded": lambda: course.figures(unguarded),
            "offline": lambda: direct.measure(course.warm_up, course.seconds),
        }
        if arguments.shape == "shipped":
            guarded = stack.enter_context(ours([arguments.artifact]))
            sides["guarded"] = lambda: course.figures(guarded)
        return alternate(sides, arguments.rounds), flags, alike


def report(_: argparse.Namespace, measured: harness.Measured) -> dict[str, Any]:
    """Print the table; the ratios and conditions for --json."""
    rounds, flags, alike = measured
    ratios = {}
    for side in ("unguarded", "guarded"):
        if side in rounds[0]:
            ratios[f"sentences/s, {side} to the rival's"] = ratio(rounds, side, "rival", "per_second")
            ratios[f"p95, {side} to the rival's"] = ratio(rounds, side, "rival", "p95_ms")
            ratios[f"sentences/s, {side} to offline"] = ratio(rounds, side, "offline", "per_second")
    sys.stdout.write(table(rounds, FIGURES))
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    sys.stdout.write(f"rival: CTranslate2, {flags}; {alike:.0%} of its answers are ours\n")
    return {"machine": machine(), "rival": flags, "alike": alike, "ratios": ratios, "rounds": rounds}


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    prepare(arguments)
    return harness.run(arguments, convert_run, measure, report)


if __name__ == "__main__":
    sys.exit(main())
