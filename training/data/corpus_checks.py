"""Checks of a corpus before a run: swapped columns are an error, doubtful rows a warning."""

from collections import Counter
from collections.abc import Iterator

from training.config import DataConfig, Recipe
from training.data.corpus_rows import FilterReport, Row
from training.data.files import CorpusError
from training.data.hold_out import normalise
from training.data.labels import row_labels

MANY_LABELS = 50  # below, a corpus is too small to tell that label and text are swapped
MUCH_TOO_LONG = 0.01  # of the rows
FEW_ROWS, RARE = 10, 0.1  # a label is rare with fewer rows, and less than this share of the mean
UNITS = {"word": "words", "character": "characters"}  # by kind of tokenizer


def check_columns(rows: list[Row], data: DataConfig) -> None:
    """Check that a classifier's label and text are not swapped.

    Raises:
        CorpusError: there are more labels than half of the rows, and more than texts.
    """
    if "label" not in data.columns:
        return
    texts = {row[data.columns.index("text")].strip() for row in rows}
    labels = {label for row in rows for label in row_labels(data, row)}
    if len(labels) > max(MANY_LABELS, len(rows) / 2, len(texts)):
        raise CorpusError(
            f"{', '.join(data.train)}: {len(labels):,} different labels in {len(rows):,} rows, more than different "
            f"texts; the columns are probably swapped: data.columns is {', '.join(data.columns)}"
        )


def corpus_warnings(recipe: Recipe, rows: list[Row], valid: list[Row], filters: FilterReport) -> Iterator[str]:
    """Yield what is doubtful about training and validation rows; `filters` says which were filtered out."""
    data = recipe.data
    if data.valid and (again := count_repeated(valid, rows, data)):
        yield (
            f"{again:,} of {len(valid):,} validation rows are in the training data too (apart from case and "
            "punctuation), so the results are too good; remove them from either"
        )
    total = filters.kept + filters.too_long
    if filters.too_long > MUCH_TOO_LONG * total:
        unit, limit = UNITS.get(recipe.tokenizer.kind, "tokens"), recipe.model.max_source_length
        remedy = f"raise data.max_length; the model reads {limit}" if data.max_length < limit else "split them"
        yield (
            f"{filters.too_long:,} of {total:,} rows ({filters.too_long / total:.1%}) are longer than data.max_length, "
            f"{data.max_length} {unit}, and not trained on: {remedy}"
        )
    if "label" in data.columns:
        counts = Counter(label for row in rows for label in row_labels(data, row))
        usual = counts.total() / max(1, len(counts))
        rare = sorted((n, label) for label, n in counts.items() if n < min(FEW_ROWS, RARE * usual))
        if rare:
            yield (
                f"{len(rare)} of {len(counts)} labels are rare, such as {rare[0][1]!r} with {rare[0][0]} of "
                f"{len(rows):,} rows; expect them to be mistaken for others, or add rows"
            )


def count_repeated(rows: list[Row], training: list[Row], data: DataConfig) -> int:
    """Return how many rows have a text (a translator's: all sides) that training rows have too, normalised."""

    def key(row: Row) -> tuple[str, ...]:
        return (normalise(row[data.columns.index("text")]),) if "text" in data.columns else tuple(map(normalise, row))

    known = set(map(key, training))
    return sum(key(row) in known for row in rows)
