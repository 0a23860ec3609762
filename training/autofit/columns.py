"""Decide which columns of a table a model is to learn from: text and label, or two languages."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from training.autofit.label_separator import NONE, choose_separator, guess_separator
from training.data.corpus import LABEL_WORDS, TEXT_WORDS
from training.data.files import CorpusError
from training.data.labels import split_labels
from training.data.language_names import language_of
from training.data.tables import Table

SAMPLE = 2000  # rows that decide
LONGEST_NAME = 80  # characters of a column's name
MAX_LABEL_SHARE = 0.5  # of the rows; a column with more different values has no labels


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a model learns from.

    `names` maps a recipe's columns (text and label, or two languages) to the header's names, or to "#1", "#2", ... in a
    file without a header. `notes` says what was guessed, and why; `rows` counts the rows without a header.
    `label_separator` is that of a recipe's [data].
    """

    task: str
    names: dict[str, str]
    notes: list[str]
    rows: int
    label_separator: str = ""


def choose_columns(
    table: Table, text: str | None = None, label: str | None = None, label_separator: str | None = None
) -> Columns:
    """Choose the columns by the given names, or by the header, or by what is in them.

    `text` and `label` are names in the header, or numbers from 1; see `choose_separator` for `label_separator`.

    Raises:
        CorpusError: there is no such column, or it is not clear which columns are meant.
    """
    sample = _Sample.of(table, [name for name in (text, label) if name])
    if not (text or label) and label_separator in (None, NONE) and (languages := _languages(sample)):
        return languages
    if sample.width < 2:
        raise CorpusError(
            f"{table.path}: only one column ({sample.reference(0)}); a classifier needs a text and a label a row, "
            "a translator two languages"
        )
    notes = [] if sample.header else [f"no header in line {table.records[0].line}: columns are counted from #1"]
    label_place = sample.place(label) if label else None
    text_place = sample.place(text) if text else None
    if label_place is not None and label_place == text_place:
        raise CorpusError(f"{table.path}: --text-column and --label-column are both {text!r}; name two columns")
    if label_place is None:
        label_place, why = _guess_label(sample, text_place, label_separator)
        notes.append(f"label: {sample.title(label_place)} ({why})")
    if text_place is None:
        text_place, why = _guess_text(sample, label_place)
        notes.append(f"text: {sample.title(text_place)} ({why})")
    names = {"text": sample.reference(text_place), "label": sample.reference(label_place)}
    separator, note = choose_separator(sample.cells(label_place), label_separator, sample.title(label_place))
    notes += [note] if note else []
    return Columns("classify", names, notes, sample.rows, separator)


@dataclass(frozen=True)
class _Sample:
    """The header of a table, if it has one, and the cells of its first rows by column."""

    table: Table
    header: list[str] | None
    columns: list[list[str]]
    rows: int  # of the whole table, without the header
    first: int  # record that is no header

    @staticmethod
    def of(table: Table, wanted: Sequence[str]) -> "_Sample":
        header, records = table.header, table.records
        if header is None and _has_header(table, wanted):
            header, records = [cell.strip() for cell in records[0].cells], records[1:]
        if not records:
            raise CorpusError(f"{table.path}: only a header, no rows")
        if header and len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise CorpusError(f"{table.path}:1: two columns are named {twice!r}; rename one")
        rows = records[:SAMPLE]
        columns = [[row.cells[i].strip() for row in rows] for i in range(len(rows[0].cells))]
        return _Sample(table, header, columns, len(records), len(table.records) - len(records))

    def cells(self, place: int) -> list[str]:
        """Return all cells of a column, those behind the sample too."""
        return [record.cells[place] for record in self.table.records[self.first :]]

    @property
    def width(self) -> int:
        return len(self.columns)

    def reference(self, place: int) -> str:
        """Return a column's name as a recipe gives it."""
        return self.header[place] if self.header else f"#{place + 1}"

    def title(self, place: int) -> str:
        return f"column {self.reference(place)!r}" if self.header else f"column #{place + 1}"

    def place(self, name: str) -> int:
        """Return the index of a column that the command line names."""
        if self.header and name in self.header:
            return self.header.index(name)
        number = name.removeprefix("#")
        if number.isascii() and number.isdigit() and 0 < int(number) <= self.width:
            return int(number) - 1
        have = ", ".join(map(repr, self.header)) if self.header else f"no header, and columns 1 to {self.width}"
        raise CorpusError(f"{self.table.path}: no column {name!r}; the file has {have}")


def _has_header(table: Table, wanted: Sequence[str]) -> bool:
    """Return whether the first record names the columns.

    It does if it has a name given on the command line, a usual name or a language; or if each of its cells is short and
    occurs in no other record, though a column repeats its values.
    """
    first = [cell.strip() for cell in table.records[0].cells]
    if any(name in first for name in wanted):
        return True
    if not all(first) or len(set(first)) < len(first) or max(map(len, first)) > LONGEST_NAME:
        return False
    if sum(_is_usual(cell) for cell in first) > 1:
        return True
    rows = [record.cells for record in table.records[1:SAMPLE]]
    columns = [[row[i].strip() for row in rows] for i in range(len(first))]
    if any(cell in column for cell, column in zip(first, columns, strict=True)):
        return False
    return any(len(set(column)) <= MAX_LABEL_SHARE * len(column) for column in columns if column)


def _is_usual(cell: str) -> bool:
    name = cell.casefold()
    return name in TEXT_WORDS or name in LABEL_WORDS or language_of(cell) is not None


def _languages(sample: _Sample) -> Columns | None:
    """Return the columns of a translator if the header names two languages, and no label."""
    found = {i: language for i, name in enumerate(sample.header or []) if (language := language_of(name))}
    if len(found) < 2 or any(name.casefold() in LABEL_WORDS for name in sample.header or []):
        return None
    if len(found) > 2 or len(set(found.values())) < 2:
        titles = ", ".join(repr(sample.reference(i)) for i in found)
        raise CorpusError(
            f"{sample.table.path}: the columns {titles} are languages; leave two different ones in the file, or write "
            "a recipe (docs/training.md)"
        )
    (one, source), (other, target) = found.items()
    names = {source: sample.reference(one), target: sample.reference(other)}
    notes = [f"from {source} ({sample.title(one)}) to {target} ({sample.title(other)}), in the order of the columns"]
    return Columns("translate", names, notes, sample.rows)


def _guess_label(sample: _Sample, text: int | None, separator: str | None) -> tuple[int, str]:
    places = [i for i in range(sample.width) if i != text]
    named = [i for i in places if sample.header and sample.header[i].casefold() in LABEL_WORDS]
    if len(named) == 1:
        return named[0], "by its name"
    candidates = [i for i in named or places if _may_be_label(sample.columns[i], separator)]
    if len(candidates) == 1:
        return candidates[0], "its values repeat"
    if len(candidates) == 2 and text is None and sample.width == 2:
        # Both columns repeat their values; labels are shorter.
        shorter = min(candidates, key=lambda i: (len(set(sample.columns[i])), _length(sample.columns[i])))
        return shorter, "it has fewer different values"
    found = ", ".join(f"{sample.reference(i)!r}" for i in candidates) or "none"
    raise CorpusError(
        f"{sample.table.path}: which column has the labels? Their values should repeat; possible: {found}. Name it "
        f"with --label-column; the file has {_describe(sample)}"
    )


def _guess_text(sample: _Sample, label: int) -> tuple[int, str]:
    places = [i for i in range(sample.width) if i != label]
    named = [i for i in places if sample.header and sample.header[i].casefold() in TEXT_WORDS]
    if len(named) == 1:
        return named[0], "by its name"
    if len(places) == 1:
        return places[0], "the other column"
    ranked = sorted(named or places, key=lambda i: _length(sample.columns[i]), reverse=True)
    if _length(sample.columns[ranked[0]]) >= 2 * _length(sample.columns[ranked[1]]) and " " in "".join(
        sample.columns[ranked[0]]
    ):
        return ranked[0], "by far the longest"
    raise CorpusError(
        f"{sample.table.path}: which column has the texts? Name it with --text-column; the file has {_describe(sample)}"
    )


def _describe(sample: _Sample) -> str:
    examples = (
        f"{sample.reference(i)} ({next(filter(None, cells), '')[:20]!r})" for i, cells in enumerate(sample.columns)
    )
    return ", ".join(examples)


def _may_be_label(cells: list[str], separator: str | None) -> bool:
    filled = [cell for cell in cells if cell]
    if (of := guess_separator(filled) if separator is None else separator) and of != NONE:
        filled = [label for cell in filled for label in split_labels(cell, of)]
    different = len(set(filled))
    return different > 1 and different <= max(2, MAX_LABEL_SHARE * len(filled))


def _length(cells: list[str]) -> float:
    return fmean(map(len, cells)) if cells else 0.0
