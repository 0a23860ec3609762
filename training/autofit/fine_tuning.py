"""From a table and a trained run to a recipe: `python -m training fit DATA.csv --initialise-from RUN`."""

from collections.abc import Callable, Sequence
from typing import Any

from training.autofit.columns import Columns, choose_columns
from training.autofit.defaults import validation_rows
from training.autofit.label_separator import NONE
from training.autofit.request import Request
from training.config import Recipe, RecipeError, parse_recipe, recipe_table
from training.data.corpus import Row, read_corpus
from training.data.files import CorpusError
from training.data.labels import row_labels
from training.data.tables import read_table
from training.runs.run import RunFolder
from training.tasks import ClassifyTask, load_task

EPOCHS = 3
LEARNING_RATE = 0.25  # of that of the first training: what is known shall not be forgotten
UPDATES = 30  # of an epoch, at least, if there are rows enough
TOKENS = 25  # of a usual row; only sizes batches


def plan_fine_tuning(request: Request, start: RunFolder, log: Callable[[str], None]) -> Recipe:
    """Return a recipe that trains the model of `start` further on a table.

    Raises:
        CorpusError: the table cannot be used, or has labels that the model lacks.
        RecipeError: `start` is not a run folder, or has other languages.
    """
    recipe = start.recipe()
    table = read_table(request.file)
    several = bool(recipe.data.label_separator)
    if request.label_separator and request.label_separator != NONE and not several:
        raise RecipeError(
            f"{start.path} gives each text one label; leave out --label-separator {request.label_separator}"
        )
    separator = request.label_separator if several else NONE
    columns = choose_columns(table, request.text_column, request.label_column, separator)
    log(f"{request.file}: {table.form}, {len(table.records):,} rows")
    for note in columns.notes:
        log(f"  {note}")
    if columns.task != recipe.task:
        raise RecipeError(f"{start.path} is a {recipe.task} run, but {request.file} has columns to {columns.task}")
    source = _source(request.file.name, recipe, columns, start)
    separator = columns.label_separator or recipe.data.label_separator
    rows = read_corpus([source], recipe.data.columns, request.file.parent, columns.names, separator)
    _check_labels(request, recipe, rows, start)
    held = validation_rows(len(rows))
    log(f"validation: {held:,} rows, held out")
    found: dict[str, Any] = recipe_table(recipe)
    found["name"] = request.name
    found["description"] = f"{recipe.description or recipe.name}; trained further on {request.file.name}"
    found["data"] = {
        "train": [source], "columns": recipe.data.columns, "names": columns.names, "hold_out": held,
        "directions": recipe.data.directions, "max_length": recipe.data.max_length, "max_ratio": recipe.data.max_ratio,
        "label_separator": separator,
    }  # fmt: skip
    batch = max(recipe.data.max_length, min(recipe.training.batch_tokens, len(rows) * TOKENS // UPDATES))
    updates = max(1, len(rows) * TOKENS // batch)
    rate = LEARNING_RATE * recipe.training.learning_rate
    found["training"] |= {
        "epochs": EPOCHS, "updates": 0, "batch_tokens": batch, "accumulate": 1, "learning_rate": rate,
        "schedule": "cosine", "warmup": max(1, min(100, EPOCHS * updates // 20)), "keep_last": 1,
    }  # fmt: skip
    log(f"fine-tuning: {EPOCHS} epochs, training.learning_rate {rate:g}, a quarter of the first training's")
    return parse_recipe(found, f"{request.name}.toml")


def _source(file: str, recipe: Recipe, columns: Columns, start: RunFolder) -> str:
    """Return the corpus as a recipe names it, with its columns if it has not all of them."""
    given: Sequence[str] = list(columns.names)
    if unknown := sorted(set(given) - set(recipe.data.columns)):
        raise RecipeError(
            f"{start.path} has the columns {', '.join(recipe.data.columns)}, not {', '.join(unknown)}; rename them"
        )
    return file if set(given) == set(recipe.data.columns) else f"{file} as {', '.join(given)}"


def _check_labels(request: Request, recipe: Recipe, rows: list[Row], start: RunFolder) -> None:
    task = load_task(recipe, start.path)
    if not isinstance(task, ClassifyTask):
        return
    if unknown := sorted({label for row in rows for label in row_labels(recipe.data, row)} - {"", *task.labels}):
        raise CorpusError(
            f"{request.file}: {len(unknown)} labels that {start.path} does not have ({', '.join(unknown[:5])}); it has "
            f"{', '.join(task.labels[:5])}{', ...' if len(task.labels) > 5 else ''}; rename them, or train without "
            "--initialise-from"
        )
