"""From a table and a pretrained encoder to a recipe: `python -m training fit DATA.csv --initialise-from CHECKPOINT`."""

import math
import time
from collections.abc import Callable

from training.autofit.columns import choose_columns
from training.autofit.defaults import Lengths, Plan, validation_rows
from training.autofit.plan import base_table, check_labels, describe_labels, limit_updates, read_table_rows
from training.autofit.request import Request
from training.autofit.trial import seconds_per_update
from training.config import DataConfig, Recipe, RecipeError
from training.data.tables import read_table
from training.pretrained.start import DROPOUT, PretrainedEncoder

RATE_TIMES_WIDTH = 0.08  # the learning rate is 0.0002 at a width of 384: the wider, the smaller
BATCH_TOKENS = 512  # a smaller batch makes more updates of the same computation
EPOCHS, MOST_EPOCHS, LEAST_UPDATES = 3, 20, 400
MEASURE_SECONDS, MEASURE_SHARE = 10.0, 0.1  # to find out how long an update takes
TRAINING_SHARE = 0.85  # of the time limit; the rest is for the validation rows


def plan_pretrained(request: Request, start: PretrainedEncoder, log: Callable[[str], None]) -> Recipe:
    """Return a recipe that trains an encoder further on a table, with a new head for its labels.

    Raises:
        CorpusError: the table cannot be used.
        RecipeError: its columns are those of a translator.
    """
    started = time.monotonic()
    table = read_table(request.file)
    columns = choose_columns(table, request.text_column, request.label_column, request.label_separator)
    log(f"{request.file}: {table.form}, {len(table.records):,} rows")
    for note in columns.notes:
        log(f"  {note}")
    if columns.task != "classify":
        raise RecipeError(f"{start.path} starts a classifier, but {request.file} has columns to {columns.task}")
    base = base_table(request, columns)
    rows = read_table_rows(request, base, distinct=False)
    labels = check_labels(request.file, DataConfig.model_validate(base["data"]), rows)
    held = validation_rows(len(rows))
    log(f"  {len(labels)} labels: {describe_labels(labels)}")
    log(f"validation: {held:,} rows, held out")
    plan = Plan("pretrained encoder", base)
    plan.set("data.hold_out", held)
    _set_sizes(plan, start, [row[0] for row in rows])
    plan.table["description"] = f"a classifier, {start.path.resolve().name} trained further on {request.file.name}"
    adapted = start.adapt(plan.recipe())
    each = seconds_per_update(adapted, rows, min(MEASURE_SECONDS, MEASURE_SHARE * 60 * request.minutes), start)
    if each is not None:
        limit_updates(plan, each, TRAINING_SHARE * (60 * request.minutes - (time.monotonic() - started)))
    log(f"model: {start.path}, {start.config.encoder_layers} layers of width {start.config.width}")
    for line in plan.lines():
        log(f"  {line}")
    return start.adapt(plan.recipe())


def _set_sizes(plan: Plan, start: PretrainedEncoder, texts: list[str]) -> None:
    ids = [encoding.ids[1:] for encoding in start.tokenizer.encode_batch(texts)]
    lengths, limit = Lengths.of(ids), start.config.max_source_length
    accepted = min(limit, lengths.usual)
    plan.set("model.dropout", DROPOUT)
    plan.set("data.max_length", accepted, f"tokens of all but one text in 200; the longest has {lengths.longest:,}")
    batch = max(accepted, min(BATCH_TOKENS, lengths.total // 20))
    updates = max(1, lengths.total // batch)
    epochs = max(EPOCHS, min(MOST_EPOCHS, math.ceil(LEAST_UPDATES / updates)))
    plan.set("training.batch_tokens", batch, f"about {updates:,} updates an epoch")
    plan.set("training.epochs", epochs, f"at least {LEAST_UPDATES} updates, at most {MOST_EPOCHS} epochs")
    plan.updates = epochs * updates
    plan.set("training.warmup", max(1, min(100, plan.updates // 10)), "a tenth of the updates, at most 100")
    rate = float(f"{RATE_TIMES_WIDTH / start.config.width:.1g}")
    plan.set("training.learning_rate", rate, f"for a width of {start.config.width}")
    plan.set("training.weight_decay", 0.01)
    plan.set("training.keep_last", 2)
