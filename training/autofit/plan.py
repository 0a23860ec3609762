"""From a table to a recipe: `python -m training fit DATA.csv`."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.autofit.columns import Columns, choose_columns
from training.autofit.defaults import (
    CLASSIFIERS,
    Plan,
    character_ngrams,
    small_translator,
    validation_rows,
    word_ngrams,
)
from training.autofit.request import Request, name_of
from training.autofit.trial import LEAST_ROWS, run_trial, seconds_per_update
from training.config import DataConfig, Recipe
from training.data.corpus import FilterReport, Row, clean, hold_out_rows, read_files
from training.data.files import CorpusError
from training.data.labels import row_labels
from training.data.language_names import language_name
from training.data.tables import read_table, suffix_of

TRIAL_SHARE = 0.5  # of the time limit; the rest is for the run
TRANSLATOR_SHARE = 0.8  # of the time limit; the rest is for the translation of the validation rows
MEASURE_SECONDS = 5.0
LEAST_PAIRS = 50
MAX_VALID_PAIRS = 300  # each is translated after each epoch
MAX_LABEL_SHARE = 0.5  # of the rows: a column with more different values has no labels


def plan_run(request: Request, log: Callable[[str], None]) -> Recipe:
    """Read the table, choose columns, kind of model and sizes, say all of it, and return the recipe.

    Raises:
        CorpusError: the table cannot be used.
        RecipeError, TokenizerError, TrainingError: see `fit`.
    """
    started = time.monotonic()
    table = read_table(request.file)
    columns = choose_columns(table, request.text_column, request.label_column, request.label_separator)
    log(f"{request.file}: {table.form}, {columns.rows:,} rows")
    for note in columns.notes:
        log(f"  {note}")
    base = base_table(request, columns)
    rows = read_table_rows(request, base, distinct=columns.task == "translate")
    if columns.task == "translate":
        return _plan_translator(request, base, rows, started, log)
    return _plan_classifier(request, base, rows, started, log)


def read_table_rows(request: Request, base: dict[str, Any], distinct: bool) -> list[Row]:
    """Return the complete rows of the table; `base` is what `base_table` returns."""
    data = DataConfig.model_construct(**base["data"])  # not checked: it has no validation rows yet
    return clean(read_files(data, data.train, request.file.parent), FilterReport(), distinct=distinct)


def base_table(request: Request, columns: Columns) -> dict[str, Any]:
    """Return what a recipe says regardless of sizes."""
    name, training = request.name or name_of(request.file), dict[str, Any]()
    data: dict[str, Any] = {
        "train": [request.file.name],
        "columns": list(columns.names),
        "names": {column: found for column, found in columns.names.items() if found != column},
    }
    if columns.label_separator:
        data["label_separator"] = columns.label_separator
        training = {"label_smoothing": 0.0}  # it would keep the probability of rare labels away from 0
    if not data["names"] and suffix_of(request.file) == ".tsv":
        data["names"] = dict(columns.names)  # a TSV file without names has no header
    if columns.task == "translate":
        source, target = columns.names
        data["directions"] = [f"{source}-{target}"]
        what = f"{language_name(source)} to {language_name(target)}"
    else:
        what = "a classifier"
    what += " of texts that can have several labels" if columns.label_separator else ""
    found = {"name": name, "task": columns.task, "description": f"{what}, trained on {request.file.name}", "data": data}
    return found | ({"training": training} if training else {})


def _plan_translator(
    request: Request, base: dict[str, Any], rows: list[Row], started: float, log: Callable[[str], None]
) -> Recipe:
    if len(rows) < LEAST_PAIRS:
        raise CorpusError(
            f"{request.file}: {len(rows)} different pairs with both sides, but a translator needs {LEAST_PAIRS} to "
            "learn anything; add rows, or train a model further that knows the languages: --initialise-from"
        )
    plan = small_translator(base, rows)
    held = min(MAX_VALID_PAIRS, validation_rows(len(rows)))
    plan.set("data.hold_out", held)
    log(f"validation: {held:,} pairs, held out")
    each = seconds_per_update(plan.recipe(), rows, MEASURE_SECONDS)
    if each is not None:
        left = 60 * request.minutes - (time.monotonic() - started)
        limit_updates(plan, each, TRANSLATOR_SHARE * left)
    _log_plan(plan, log)
    return plan.recipe()


def limit_updates(plan: Plan, each: float, seconds: float) -> None:
    """Set the number of updates that fit the seconds, at `each` seconds, and warm up for a tenth of them."""
    updates = max(10, int(seconds / each))
    if updates < plan.updates:
        wanted = plan.updates * each / 60
        plan.set("training.updates", updates, f"all epochs would take {wanted:.0f} minutes; raise --minutes")
        plan.set("training.warmup", max(1, min(100, updates // 10)), "a tenth of the updates, at most 100")


def _plan_classifier(
    request: Request, base: dict[str, Any], rows: list[Row], started: float, log: Callable[[str], None]
) -> Recipe:
    held = validation_rows(len(rows))
    base["data"]["hold_out"] = held
    data = DataConfig.model_validate(base["data"])
    labels = check_labels(request.file, data, rows)
    training, _ = hold_out_rows(rows, data, held, seed=1)
    log(f"  {len(labels)} labels: {describe_labels(labels)}")
    log(f"validation: {held:,} rows, held out")
    budget = 60 * request.minutes
    if len(training) < LEAST_ROWS:
        log(f"model: n-grams of characters; a trial needs {LEAST_ROWS} rows")
        plan = character_ngrams(base, training)
    else:
        log(f"trial: kinds of models, by cross-validation, up to {TRIAL_SHARE * request.minutes:g} minutes")
        trial = run_trial(CLASSIFIERS, base, training, TRIAL_SHARE * budget, log)
        if trial.best is None:
            log("model: n-grams of words, the fastest kind; the trial was not done in time: raise --minutes")
            plan = word_ngrams(base, training)
        else:
            log(f"model: {trial.best}")
            plan = trial.best.planner(base, training)
            expected = trial.best.seconds[0] * len(training) / trial.rows
            _fit_time(plan, expected, budget - (time.monotonic() - started))
    _log_plan(plan, log)
    return plan.recipe()


def check_labels(file: Path, data: DataConfig, rows: list[Row]) -> Counter[str]:
    """Check that the label column has labels, and return how many rows have each.

    Raises:
        CorpusError: it has one value only, or almost as many values as rows.
    """
    labels = Counter(label for row in rows for label in row_labels(data, row))
    if not labels:
        raise CorpusError(f"{file}: no row has both a text and a label")
    if len(labels) < 2:
        raise CorpusError(f"{file}: every row has the label {next(iter(labels))!r}; a classifier needs at least two")
    if len(labels) > max(2, MAX_LABEL_SHARE * len(rows)):
        few = ", ".join(repr(label[:20]) for label in list(labels)[:3])
        raise CorpusError(
            f"{file}: the label column has {len(labels):,} different values in {len(rows):,} rows ({few}, ...), so "
            "there is nothing to learn from repetition; name another with --label-column, or group its values"
        )
    return labels


def describe_labels(labels: Counter[str]) -> str:
    """Return how many rows the most and the least frequent label have."""
    (most, many), (least, few) = labels.most_common(1)[0], labels.most_common()[-1]
    text = f"{many:,} rows of {most!r} to {few:,} of {least!r}"
    if once := sum(count == 1 for count in labels.values()):
        text += f"; {once} with one row, which is trained on and cannot be validated"
    return text


def _fit_time(plan: Plan, expected: float, seconds: float) -> None:
    """Lower the epochs if the run would take longer than the seconds that are left."""
    if expected <= seconds:
        return
    epochs, warmup = plan.table["training"]["epochs"], plan.table["training"]["warmup"]
    fitting = max(1, int(epochs * max(seconds, 1) / expected))
    plan.set("training.epochs", fitting, f"{epochs} would take {expected / 60:.1f} minutes; raise --minutes")
    plan.set("training.warmup", max(1, warmup * fitting // epochs), "a tenth of the updates, at most 100")


def _log_plan(plan: Plan, log: Callable[[str], None]) -> None:
    log("sizes, for this corpus:")
    for line in plan.lines():
        log(f"  {line}")
