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
from training.data.labels import LIST, row_labels
from training.data.tokenizer import TokenizerError
from training.pretrained.start import PretrainedEncoder
from training.runs.run import RunFolder
from training.tasks import primary_label_metric
from training.trainer import Interrupted, OutOfTime, TrainingError, fit

MOST_ROWS = 6000  # of the corpus that a trial uses
LEAST_ROWS = 200  # below, the folds say nothing
FOLDS = 3
HOPELESS = 4.0  # points of the score behind the best after the first fold: no second one is spent on it
CLOSE = 0.5  # points of the score within which the earlier, cheaper candidate is preferred

Planner = Callable[[dict[str, Any], list[Row]], Plan]


@dataclass
class Candidate:
    """One kind of model in the trial."""

    planner: Planner
    kind: str
    unit: str  # of the scores: accuracy, or micro-F1 of several labels a text
    scores: list[float] = field(default_factory=list)  # of the folds, in per cent
    seconds: list[float] = field(default_factory=list)  # of training on a fold
    failed: str = ""  # why it is out of the trial

    @property
    def score(self) -> float:
        return fmean(self.scores)

    def __str__(self) -> str:
        if not self.scores:
            return f"{self.kind}: {self.failed}"
        folds = f"{len(self.scores)} fold{'s' if len(self.scores) > 1 else ''}"
        return f"{self.kind}: {self.score:.1f} {self.unit} ({folds}), {fmean(self.seconds):.0f} s a fold"


@dataclass(frozen=True)
class Trial:
    """The result of a trial: the candidates in the order tried, and the best of them if any was measured."""

    candidates: list[Candidate]
    best: Candidate | None
    rows: int  # that a fold was trained on


def run_trial(
    planners: Sequence[Planner], base: dict[str, Any], rows: list[Row], seconds: float, log: Callable[[str], None]
) -> Trial:
    """Train every candidate on folds of the rows and return their scores.

    All candidates are tried on the first fold, each within its share of the time; then the best ones on the further
    folds while time is left.

    Raises:
        Interrupted: a signal stopped the trial.
    """
    started = time.monotonic()
    end = started + seconds
    unit = "micro-F1" if base["data"].get("label_separator") else "% right"
    candidates = [Candidate(planner, planner(base, rows[:100]).kind, unit) for planner in planners]
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
    measured = [candidate for candidate in candidates if candidate.scores]
    if not measured:
        return Trial(candidates, None, trained)
    top = max(candidate.score for candidate in measured)
    best = next(candidate for candidate in measured if candidate.score >= top - CLOSE)
    return Trial(candidates, best, trained)


def _is_worth_it(candidate: Candidate, candidates: list[Candidate], fold: int, left: float) -> bool:
    if fold == 0:
        return True
    if candidate.failed or not candidate.scores or candidate.seconds[0] > left:
        return False
    rivals = [other for other in candidates if other.scores]
    top = max(other.scores[0] for other in rivals)
    return len(rivals) > 1 and candidate.scores[0] > top - HOPELESS


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
            _write(Path(folder) / f"{name}.jsonl", recipe.data, part)
        report = fit(
            fold_recipe(recipe), Path(folder), RunFolder(Path(folder) / "run"), resume=False, quiet=True,
            deadline=started + seconds,
        )  # fmt: skip
    metrics: Any = report["valid"]
    candidate.scores.append(float(metrics["labels"][primary_label_metric(recipe)]))
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
            _write(Path(folder) / f"{name}.jsonl", recipe.data, part)
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
    data: dict[str, Any] = {"train": ["train.jsonl"], "valid": ["valid.jsonl"], "hold_out": 0, "names": {}}
    if recipe.data.label_separator:
        data["label_separator"] = LIST
    training = {"validate_every": recipe.training.epochs, "keep_last": 1}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=data),
            "training": recipe.training.model_copy(update=training),
        }
    )


def _write(path: Path, data: DataConfig, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            found: dict[str, object] = dict(zip(data.columns, row, strict=True))
            if data.label_separator:
                found["label"] = row_labels(data, row)
            file.write(json.dumps(found, ensure_ascii=False) + "\n")
