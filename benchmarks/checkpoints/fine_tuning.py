"""A fine-tuned encoder beside n-grams and a small Transformer on the same table: accuracy, size, time of a text.

    python -m benchmarks.checkpoints.fine_tuning TABLE.csv [--encoder-run RUN] [--kinds ...] [--json FILE]

trains the kinds of models that `fit TABLE.csv` chooses from, in the sizes that it would choose and without a limit of
time, and takes the run of the encoder as it is (it was trained by `fit TABLE.csv --initialise-from CHECKPOINT`). All
hold out the same rows. Each run is exported in fp32 and int8; the time of a text is that of one text at a time on one
thread of the service's engine, the median over held-out rows.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.common.figures import busy_note, write_figures
from export.checks.local_engine import run_requests
from export.checks.quality_gate import QualityError
from export.publish import ExportOptions, export_run
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from training.autofit.columns import choose_columns
from training.autofit.defaults import CLASSIFIERS, validation_rows
from training.autofit.plan import base_table
from training.autofit.request import Request
from training.config import DataConfig
from training.data.corpus import FilterReport, clean, hold_out_rows, read_corpus, split_corpus
from training.data.tables import read_table
from training.runs.run import RunFolder
from training.tasks import ClassifyTask
from training.trainer import fit

TEXTS = 200  # whose time is measured


def train_kind(number: int, table: Path, run: RunFolder) -> float:
    """Train one of `fit`'s kinds on a table; return the minutes."""
    columns = choose_columns(read_table(table), None, None)
    base = base_table(Request(table, name=f"kind-{number}"), columns)
    found = read_corpus([table.name], base["data"]["columns"], table.parent, columns.names)
    rows = clean(found, FilterReport(), distinct=False)
    base["data"]["hold_out"] = validation_rows(len(rows))
    training, _ = hold_out_rows(rows, DataConfig.model_validate(base["data"]), base["data"]["hold_out"], seed=1)
    started = time.monotonic()
    fit(CLASSIFIERS[number](base, training).recipe(), table.parent, run, resume=False)
    return (time.monotonic() - started) / 60


def measure(name: str, run: RunFolder, data: Path, minutes: float | None, folder: Path) -> list[dict[str, Any]]:
    """Export a run in both precisions; return a row for each."""
    rows = []
    for precision in ("fp32", "int8"):
        try:
            path = folder / f"{name}-{precision}".replace(" ", "-")
            export_run(run, path, data, ExportOptions(sentences=50, int8=precision == "int8", name="fine-tuning"))
        except QualityError as error:
            sys.stdout.write(f"{name}: {error}\n")
            continue
        artifact = read_artifact(path)
        task, _ = run.open(torch.device("cpu"))
        assert isinstance(task, ClassifyTask)
        held = split_corpus(task.recipe.data, task.recipe.seed, data)[1]
        texts = [row[task.recipe.data.columns.index("text")] for row in held[:TEXTS]]
        engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), 1))
        rows.append({
            "model": name, "precision": precision, "minutes": minutes,
            "accuracy": next(e.value for e in reversed(artifact.manifest.evaluation) if e.precision == precision
                             and e.metric == "accuracy" and not e.split.startswith("test")),
            "megabytes": sum(file.stat().st_size for file in path.iterdir()) / 1e6,
            "ms": median(_milliseconds(engine, ids) for ids in task.source_ids(texts)),
        })  # fmt: skip
        sys.stdout.write(f"{rows[-1]}\n")
    return rows


def _milliseconds(engine: ClassifyEngine, ids: list[int]) -> float:
    [result] = run_requests([engine], [EngineRequest(ids)])
    return result.compute_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--encoder-run", type=Path)
    parser.add_argument("--minutes", type=float, help="that the encoder was trained for")
    parser.add_argument("--kinds", type=int, nargs="*", default=[0, 1, 2], help="which of fit's kinds to train")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    notes, rows = busy_note(), list[dict[str, Any]]()
    names = ["n-grams of words", "n-grams of characters", "small Transformer"]
    with tempfile.TemporaryDirectory() as folder:
        if options.encoder_run:
            run = RunFolder(options.encoder_run)
            rows += measure("fine-tuned encoder", run, options.table.parent, options.minutes, Path(folder))
        for number in options.kinds:
            run = RunFolder(Path(folder) / f"run-{number}")
            minutes = train_kind(number, options.table, run)
            rows += measure(names[number], run, options.table.parent, minutes, Path(folder))
    if options.json:
        write_figures(options.json, f"kinds of classifiers on {options.table.name}", rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
