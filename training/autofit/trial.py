"""Choose the kind of a classifier by cross-validation on a part of the corpus, within a limit of time."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from training.autofit.defaults import Plan
from training.config import DataConfig, Recipe
from training.data.corpus import Row, duplicate_groups
from training.data.hold_out import choose_rows
from training.data.tokenizer import TokenizerError
from training.pretrained.start import PretrainedEncoder
from training.runs.run import RunFolder
from training.trainer import Interrupted, OutOfTime, TrainingError, fit

MOST_ROWS = 6000  # of the corpus that a trial uses
LEAST_ROWS = 200  # below, the folds say nothing
FOLDS = 3
HOPELESS = 4.0  # points of accuracy behind the best after the first fold: no second one is spent on it
CLOSE = 0.5  # points of accuracy within which the earlier, cheaper candidate is preferred

Planner = Callable[[dict[str, Any], list[Row]], Plan]


@dataclass
class Candidate:
    """One kind of model in the trial."""

    planner: Planner
    kind: str
    accuracies: list[float] = field(default_factory=list)  # of the folds, in per cent
    seconds: list[float] = field(default_factory=list)  # of training on a fold
    failed: str = ""  # why it is out of the trial

    @property
    def accuracy(self) -> float:
        return fmean(self.accuracies)

    def __str__(self) -> str:
        if not self.accuracies:
            return f"{self.kind}: {self.failed}"
        folds = f"{len(self.accuracies)} fold{'s' if len(self.accuracies) > 1 else ''}"
        return f"{self.kind}: {self.accuracy:.1f} % right ({folds}), {fmean(self.seconds):.0f} s a fold"


@dataclass(frozen=True)
class Trial:
    """The result of a trial: the candidates in the order tried, and the best of them if any was measured."""

    candidates: list[Candidate]
    best: Candidate | None
    rows: int  # that a fold was trained on


def run_trial(
    planners: Sequence[Planner], base: dict[str, Any], rows: list[Row], seconds: float, log: Callable[[str], None]
) -> Trial:
    """Train every candidate on folds of the rows and return their accuracies.

    All candidates are tried on the first fold, each within its share of the time; then the best ones on the further
    folds while time is left.

    Raises:
        Interrupted: a signal stopped the trial.
    """
    started = time.monotonic()
    end = started + seconds
    candidates = [Candidate(planner, planner(base, rows[:100]).kind) for planner in planners]
    trained = 0
    for number, (training, held) in enumerate(_folds(base, rows)):
        trained = len(training)
        for place, candidate in enumerate(candidates):
            left = end - time.monotonic()
            share = left / (len(candidates) - place) if number == 0 else left
            if not _is_worth_it(candidate, candidates, number, left):
                continue
            try:
                _try(candidate, base, training, held, share)
            except OutOfTime:
                candidate.failed = candidate.failed or f"not done within {max(0, share):.0f} s"
            except Interrupted:
                raise Interrupted("interrupted before the run began; nothing was written") from None
            except (TokenizerError, TrainingError) as error:
                candidate.failed = f"failed: {error}"
            if number == 0:
                log(f"  {candidate}")
    measured = [candidate for candidate in candidates if candidate.accuracies]
    if not measured:
        return Trial(candidates, None, trained)
    top = max(candidate.accuracy for candidate in measured)
    best = next(candidate for candidate in measured if candidate.accuracy >= top - CLOSE)
    return Trial(candidates, best, trained)


def _is_worth_it(candidate: Candidate, candidates: list[Candidate], fold: int, left: float) -> bool:
    if fold == 0:
        return True
    if candidate.failed or not candidate.accuracies or candidate.seconds[0] > left:
        return False
    rivals = [other for other in candidates if other.accuracies]
    top = max(other.accuracies[0] for other in rivals)
    return len(rivals) > 1 and candidate.accuracies[0] > top - HOPELESS


def _folds(base: dict[str, Any], rows: list[Row]) -> Iterator[tuple[list[Row], list[Row]]]:
    """Yield training and held-out rows of each fold; duplicates are on one side, labels in proportion."""
    data = DataConfig.model_validate(base["data"])
    chosen = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]]
    groups, labels = duplicate_groups(chosen, data)
    for fold in range(FOLDS):
        held = choose_rows(groups, labels, len(chosen) // FOLDS, seed=fold)
        out = set(held)
        yield [row for i, row in enumerate(chosen) if i not in out], [chosen[i] for i in held]


def _try(candidate: Candidate, base: dict[str, Any], training: list[Row], held: list[Row], seconds: float) -> None:
    """Train the candidate on a fold.

    Raises:
        OutOfTime: it takes longer than `seconds`.
    """
    started = time.monotonic()
    recipe = candidate.planner(base, training).recipe()
    with TemporaryDirectory(prefix="attendant-trial-") as folder:
        for name, part in (("train", training), ("valid", held)):
            _write(Path(folder) / f"{name}.jsonl", recipe.data.columns, part)
        report = fit(
            fold_recipe(recipe), Path(folder), RunFolder(Path(folder) / "run"), resume=False, quiet=True,
            deadline=started + seconds,
        )  # fmt: skip
    metrics: Any = report["valid"]
    candidate.accuracies.append(float(metrics["labels"]["accuracy"]))
    candidate.seconds.append(time.monotonic() - started)


def seconds_per_update(
    recipe: Recipe, rows: list[Row], seconds: float, start: PretrainedEncoder | None = None
) -> float | None:
    """Train for some seconds and return how many each update took; None if the run was done before.

    Raises:
        Interrupted: a signal stopped it.
    """
    with TemporaryDirectory(prefix="attendant-trial-") as folder:
        for name, part in (("train", rows), ("valid", rows[:1])):
            _write(Path(folder) / f"{name}.jsonl", recipe.data.columns, part)
        try:
            fit(
                fold_recipe(recipe), Path(folder), RunFolder(Path(folder) / "run"), resume=False, start=start,
                quiet=True, training_seconds=seconds,
            )  # fmt: skip
        except OutOfTime as error:
            return error.seconds
    return None


def fold_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe for files of a fold, validated at the end only."""
    data = {"train": ["train.jsonl"], "valid": ["valid.jsonl"], "hold_out": 0, "names": {}}
    training = {"validate_every": recipe.training.epochs, "keep_last": 1}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=data),
            "training": recipe.training.model_copy(update=training),
        }
    )


def _write(path: Path, columns: list[str], rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
