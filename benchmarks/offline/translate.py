"""Offline translation by this engine and by other systems, on the same weights and sentences: one table.

    python -m benchmarks.offline.translate [--shape base] [--lengths news] [--artifact A ...]
    python -m benchmarks.offline.translate --shape shipped --data DATA [--run RUN] [--artifact A ...] [--file F]
        [--direction D]

Every system runs in a process of its own with the same number of threads, one at a time. A system with several settings
for a mode (how batches are cut, how cores are divided) is tuned for the mode first. Then all systems take turns, round
after round; results are medians of the rounds, and a ratio is the median of the rounds' ratios. Time is measured from
source ids to target ids. Slow systems may get fewer of the same sentences; the table says how many.

The base shape has untrained weights that stop by construction (benchmarks/synthetic/stopping_weights.py); its run
folder
and its artifacts, float32 and int8, are created if missing, and so is the run folder of the shipped artifact.
"""

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.figures import write_figures
from benchmarks.common.systems import MODES
from benchmarks.offline.cases import Case, base_case, export_missing, trained_case
from benchmarks.offline.results import MeasuredSystem, Result, results_of, table
from benchmarks.offline.system_process import ROOT, SystemProcess, SystemProcessError
from benchmarks.synthetic.lengths import QUANTILES
from export.import_artifact import ensure_run
from service.engine.cores import available_cores

SYSTEMS = ("attendant", "ctranslate2", "transformers", "optimum")
SLOW = ("transformers", "optimum")
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
TUNING = {"greedy": 192, "beam4": 128, "single": 8}  # sentences
PAUSE = 0.5  # seconds, until the threads of the last system are idle
SHAPES = {  # run folder, artifacts
    "base": (Path("runs/bench-base"), [Path("artifacts/bench-base"), Path("artifacts/bench-base-int8")]),
    "shipped": (Path("runs/translate-en-de-fr-es"), [Path("models/translate-en-de-fr-es")]),
}


def start(case: Case, arguments: argparse.Namespace, stack: ExitStack) -> list[MeasuredSystem]:
    """Start the chosen systems."""
    cores = arguments.threads

    def process(kind: str, **options: object) -> SystemProcess:
        python = BENCH_PYTHON if kind in SLOW else Path(sys.executable)
        return stack.enter_context(SystemProcess(python, kind, {"limit": case.limit, **options}))

    def divisions(kind: str, **options: object) -> list[SystemProcess]:
        """Return one worker with all cores, and one worker per core."""
        return [process(kind, workers=w, threads=cores // w, **options) for w in sorted({1, cores})]

    found = []
    for kind in arguments.systems:
        if kind == "attendant":
            found += [
                MeasuredSystem(kind, divisions(kind, artifact=str(path.resolve()))) for path in arguments.artifact
            ]
        elif kind == "ctranslate2":
            folder = str(case.converted("ctranslate2").resolve())
            found += [MeasuredSystem(kind, divisions(kind, folder=folder, compute_type=c)) for c in ("float32", "int8")]
        else:
            folder = str(case.converted("transformers").resolve())
            found.append(MeasuredSystem(kind, [process(kind, folder=folder, threads=cores)]))
    return found


def tune(measured: MeasuredSystem, mode: str, sources: list[list[int]]) -> None:
    """Choose the fastest setting of a mode on some of the sentences; this also warms up every process."""
    sample = sources[: TUNING[mode]]
    best = float("inf")
    for process in measured.processes:
        settings = process.description()["settings"]
        for setting in (
            settings[:1] if mode == "single" else settings
        ):  # batching settings do not matter for one sentence
            process.translate(sample[:2], mode, setting)
            seconds, _ = process.translate(sample, mode, setting)
            if seconds < best:
                best = seconds
                measured.chosen[mode] = process, setting


def measure(systems: list[MeasuredSystem], arguments: argparse.Namespace, sources: list[list[int]]) -> list[Result]:
    """Tune, then measure in turn; every second round runs in reverse order."""
    for measured in systems:
        for mode in filter(measured.supports, arguments.modes):
            tune(measured, mode, sources)
            log(f"{measured.name}, {MODES[mode]}: {measured.chosen[mode][1]}")
    for number in range(arguments.alternations):
        for mode in arguments.modes:
            for measured in systems[:: -1 if number % 2 else 1]:
                if measured.supports(mode):
                    process, setting = measured.chosen[mode]
                    count = sentence_count(measured, mode, arguments)
                    time.sleep(PAUSE)
                    seconds, measured.answers[mode] = process.translate(sources[:count], mode, setting)
                    measured.seconds.setdefault(mode, []).append(seconds)
        log(f"round {number + 1} of {arguments.alternations}")
    return [result for mode in arguments.modes for result in results_of(systems, mode)]


def sentence_count(measured: MeasuredSystem, mode: str, arguments: argparse.Namespace) -> int:
    """Return how many of the sentences a system gets in a mode."""
    count: int = min(arguments.sentences, arguments.single_sentences if mode == "single" else arguments.sentences)
    slow: int = arguments.slow_sentences
    return min(count, slow) if measured.kind in SLOW else count


def log(line: str) -> None:
    """Write progress to stderr; the table goes to stdout."""
    sys.stderr.write(line + "\n")


def prepare(arguments: argparse.Namespace) -> Case:
    """Return weights and sentences; fills in missing arguments and creates the base shape if missing."""
    run, artifacts = SHAPES[arguments.shape]
    run, made = arguments.run or run, not arguments.artifact
    arguments.artifact = arguments.artifact or artifacts
    if arguments.shape == "shipped":
        run = ensure_run(arguments.artifact[0], run)
        return trained_case(run, arguments.data, arguments.file, arguments.direction, arguments.sentences)
    case = base_case(run, arguments.lengths, arguments.sentences)
    if "attendant" in arguments.systems and made:
        for path in artifacts:
            export_missing(case.run.path, path)
    return case


def names_argument(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return a parser for a comma-separated list of known names."""

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
    top.add_argument(
        "--artifact", type=Path, action="append", help="artifact of this project; repeat for each precision"
    )
    top.add_argument(
        "--systems", type=names_argument(SYSTEMS), default=list(SYSTEMS), help="comma-separated (default: all)"
    )
    top.add_argument(
        "--modes", type=names_argument(tuple(MODES)), default=list(MODES), help="comma-separated (default: all)"
    )
    top.add_argument("--sentences", type=int, default=512)
    top.add_argument(
        "--single-sentences", type=int, default=64, help="of these, translated one at a time (default: 64)"
    )
    top.add_argument("--slow-sentences", type=int, default=256, help="of these, for " + " and ".join(SLOW))
    top.add_argument("--alternations", type=int, default=5)
    top.add_argument("--threads", type=int, default=available_cores(), help="threads per system (default: all cores)")
    top.add_argument("--lengths", choices=QUANTILES, default="news", help="lengths of the base shape's sentences")
    top.add_argument("--data", type=Path, default=Path("data"), help="folder of --file")
    top.add_argument("--file", default="tatoeba/test.en-de.tsv.gz as en, de", help="sentences for the shipped shape")
    top.add_argument("--direction", default="en-de")
    top.add_argument("--json", type=Path, help="also write the results to this file")
    return top


def main() -> int:
    top = parser()
    arguments = top.parse_args()
    if set(arguments.systems) & set(SLOW) and not BENCH_PYTHON.is_file():
        top.error(f"{BENCH_PYTHON} is missing; {' and '.join(SLOW)} need it: create it with `make .venv-bench/.ready`")
    try:
        case = prepare(arguments)
        with ExitStack() as stack:
            results = measure(start(case, arguments, stack), arguments, case.sources)
    except (ValueError, SystemProcessError, subprocess.CalledProcessError) as error:
        log(f"error: {error}")
        return 1
    sys.stdout.write(table(results))
    if arguments.json:
        rows = [dataclasses.asdict(result) for result in results]
        what = f"Offline translation, {arguments.shape} shape, {arguments.threads} threads per system"
        write_figures(arguments.json, what, rows, notes=f"medians of {arguments.alternations} alternations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
