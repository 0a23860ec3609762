"""Offline translation, ours and others', on the same weights and sentences: one table.

    python -m benchmarks.offline.translate [--shape base] [--lengths news] [--artifact A ...]
    python -m benchmarks.offline.translate --shape shipped --data DATA [--run RUN] [--artifact A ...] [--file F]
        [--direction D]

Every system lives in a process of its own with the same number of threads, and one works at a time. A system with
several ways of running a mode (how batches are cut, how cores are divided) is tuned for the mode first. Then all take
turns, round after round; the figures are medians of the rounds, and a ratio is the median of the rounds' ratios. The
clock runs from source ids to target ids. Slow systems may get fewer of the same sentences; the table says how many.

The base shape has weights that nobody trained and that stop by themselves, see
benchmarks/synthetic/stopping_weights.py; its run
folder and its artifacts, float32 and int8, are made if they are missing. So is the run folder of the artifact that
ships, from the artifact.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.systems import MODES
from benchmarks.offline.cases import Case, base_case, export_missing, trained_case
from benchmarks.offline.results import Contender, Result, results_of, table
from benchmarks.offline.system_process import ROOT, SystemFailed, SystemProcess
from benchmarks.synthetic.lengths import QUANTILES
from export.import_artifact import run_of
from service.engine.cores import available_cores

SYSTEMS = ("attendant", "ctranslate2", "transformers", "optimum")
SLOW = ("transformers", "optimum")
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
TUNING = {"greedy": 192, "beam4": 128, "single": 8}  # sentences
PAUSE = 0.5  # seconds until the idle threads of the last system sleep
SHAPES = {  # run folder, artifacts
    "base": (Path("runs/bench-base"), [Path("artifacts/bench-base"), Path("artifacts/bench-base-int8")]),
    "shipped": (Path("runs/translate-en-de-fr-es"), [Path("models/translate-en-de-fr-es")]),
}


def start(case: Case, arguments: argparse.Namespace, stack: ExitStack) -> list[Contender]:
    """Start every system asked for."""
    cores = arguments.threads

    def process(kind: str, **options: object) -> SystemProcess:
        python = BENCH_PYTHON if kind in SLOW else Path(sys.executable)
        return stack.enter_context(SystemProcess(python, kind, {"limit": case.limit, **options}))

    def divisions(kind: str, **options: object) -> list[SystemProcess]:
        """One worker with every core, and a worker for each core."""
        return [process(kind, workers=w, threads=cores // w, **options) for w in sorted({1, cores})]

    found = []
    for kind in arguments.systems:
        if kind == "attendant":
            found += [Contender(kind, divisions(kind, artifact=str(path.resolve()))) for path in arguments.artifact]
        elif kind == "ctranslate2":
            folder = str(case.peer("ctranslate2").resolve())
            found += [Contender(kind, divisions(kind, folder=folder, compute_type=c)) for c in ("float32", "int8")]
        else:
            folder = str(case.peer("transformers").resolve())
            found.append(Contender(kind, [process(kind, folder=folder, threads=cores)]))
    return found


def tune(contender: Contender, mode: str, sources: list[list[int]]) -> None:
    """Choose the fastest way of running a mode, on some of the sentences; this also warms every process up."""
    sample = sources[: TUNING[mode]]
    best = float("inf")
    for process in contender.processes:
        settings = process.introduction()["settings"]
        for setting in settings[:1] if mode == "single" else settings:  # one sentence is one batch however it is cut
            process.translate(sample[:2], mode, setting)
            seconds, _ = process.translate(sample, mode, setting)
            if seconds < best:
                best = seconds
                contender.chosen[mode] = process, setting


def measure(contenders: list[Contender], arguments: argparse.Namespace, sources: list[list[int]]) -> list[Result]:
    """Tune, then take turns, every second round in the opposite order."""
    for contender in contenders:
        for mode in filter(contender.has, arguments.modes):
            tune(contender, mode, sources)
            note(f"{contender.name}, {MODES[mode]}: {contender.chosen[mode][1]}")
    for number in range(arguments.alternations):
        for mode in arguments.modes:
            for contender in contenders[:: -1 if number % 2 else 1]:
                if contender.has(mode):
                    process, setting = contender.chosen[mode]
                    count = sentences_of(contender, mode, arguments)
                    time.sleep(PAUSE)
                    seconds, contender.answers[mode] = process.translate(sources[:count], mode, setting)
                    contender.seconds.setdefault(mode, []).append(seconds)
        note(f"round {number + 1} of {arguments.alternations}")
    return [result for mode in arguments.modes for result in results_of(contenders, mode)]


def sentences_of(contender: Contender, mode: str, arguments: argparse.Namespace) -> int:
    """How many of the sentences a system gets in a mode."""
    count = min(arguments.sentences, arguments.single_sentences if mode == "single" else arguments.sentences)
    return min(count, arguments.slow_sentences) if contender.kind in SLOW else count


def note(line: str) -> None:
    """Progress goes where the table does not."""
    sys.stderr.write(line + "\n")


def prepare(arguments: argparse.Namespace) -> Case:
    """Weights and sentences; makes what is missing of the base shape, and fills in what the command line left out."""
    run, artifacts = SHAPES[arguments.shape]
    run, made = arguments.run or run, not arguments.artifact
    arguments.artifact = arguments.artifact or artifacts
    if arguments.shape == "shipped":
        run = run_of(arguments.artifact[0], run)
        return trained_case(run, arguments.data, arguments.file, arguments.direction, arguments.sentences)
    case = base_case(run, arguments.lengths, arguments.sentences)
    if "attendant" in arguments.systems and made:
        for path in artifacts:
            export_missing(case.run.path, path)
    return case


def several(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """A command line argument of names between commas."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return names

    return parse


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--shape", choices=SHAPES, default="base")
    top.add_argument("--run", type=Path, help="run folder of the weights (default: the shape's)")
    top.add_argument("--artifact", type=Path, action="append", help="ours, once for each precision")
    top.add_argument("--systems", type=several(SYSTEMS), default=list(SYSTEMS), help="between commas (default: all)")
    top.add_argument("--modes", type=several(tuple(MODES)), default=list(MODES), help="between commas (default: all)")
    top.add_argument("--sentences", type=int, default=512)
    top.add_argument("--single-sentences", type=int, default=64, help="of them, one at a time (default: 64)")
    top.add_argument("--slow-sentences", type=int, default=256, help="of them, for " + " and ".join(SLOW))
    top.add_argument("--alternations", type=int, default=5)
    top.add_argument("--threads", type=int, default=available_cores(), help="of each system (default: all cores)")
    top.add_argument("--lengths", choices=QUANTILES, default="news", help="of the base shape's sentences")
    top.add_argument("--data", type=Path, default=Path("data"), help="folder of --file")
    top.add_argument("--file", default="tatoeba/test.en-de.tsv.gz as en, de", help="sentences for the shipped shape")
    top.add_argument("--direction", default="en-de")
    top.add_argument("--json", type=Path, help="also write every figure there")
    return top


def main() -> int:
    top = parser()
    arguments = top.parse_args()
    if set(arguments.systems) & set(SLOW) and not BENCH_PYTHON.is_file():
        top.error(f"{BENCH_PYTHON} is missing, which {' and '.join(SLOW)} need: make it with `make .venv-bench/.ready`")
    try:
        case = prepare(arguments)
        with ExitStack() as stack:
            results = measure(start(case, arguments, stack), arguments, case.sources)
    except (ValueError, SystemFailed, subprocess.CalledProcessError) as error:
        note(f"error: {error}")
        return 1
    sys.stdout.write(table(results))
    if arguments.json:
        machine = {"cores": os.cpu_count(), "threads": arguments.threads, "platform": platform.platform()}
        figures = [dataclasses.asdict(result) for result in results]
        arguments.json.write_text(
            json.dumps({"machine": machine, "shape": arguments.shape, "results": figures}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
