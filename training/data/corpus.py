"""Read corpora: rows of strings from tables, parallel text files or the Hugging Face hub.

A source is one string:
  "train.tsv", "train.tsv.gz"    tab-separated, one row per line
  "train.csv", "train.xlsx"      a table whose first row names its columns, see training/data/tables.py
  "train.de + train.en"          two parallel text files (.gz allowed): a row is a line of each
  "train.jsonl"                  one object per line; the columns name its keys
  "hf:name-or-folder#split"      a dataset of the hub or a local folder, through `datasets`
  "train.en-fr.tsv as en, fr"    any of these with columns of its own, a subset of the recipe's
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.config import DataConfig, NegativesConfig, RecipeError
from training.data.corpus_checks import check_columns
from training.data.corpus_rows import FilterReport, Row, clean
from training.data.files import CorpusError, read_lines
from training.data.hold_out import choose_rows, group_duplicates
from training.data.labels import LIST, LIST_SEPARATOR, encode_labels, row_labels, split_labels
from training.data.tables import (
    KEYED,
    SUFFIXES,
    Table,
    cell_text,
    parse_object,
    read_table,
    suffix_of,
)

__all__ = [
    "CorpusError", "FilterReport", "Row", "clean", "read_corpus", "read_files", "sample_negatives",
    "split_corpus",
]  # fmt: skip

# Words that name the columns of a classifier's table in a header line.
LABEL_WORDS = {
    "answer", "categories", "category", "class", "classification", "department", "emotion", "group", "intent", "kind",
    "label", "label_text", "labels", "output", "rating", "sentiment", "tag", "tags", "target", "topic", "type", "y",
}  # fmt: skip
TEXT_WORDS = {
    "body", "comment", "comments", "content", "description", "document", "email", "feedback", "headline", "input",
    "message", "news", "post", "prompt", "query", "question", "review", "sentence", "subject", "summary", "text",
    "texts", "title", "tweet", "utterance", "x",
}  # fmt: skip


def read_corpus(
    sources: list[str],
    columns: list[str],
    root: Path,
    names: Mapping[str, str] | None = None,
    label_separator: str = "",
) -> list[Row]:
    """Return all rows of the sources, in order, each with a string for every column.

    `names` are the columns' names in the files, as in `data.names` of a recipe. With `label_separator`, as in
    `data.label_separator`, a row can have several labels; see `labels.row_labels`.

    Raises:
        CorpusError: a file is missing, empty, misaligned, malformed or not text, or has other columns.
    """
    reader = _Reader(root, names or {}, label_separator)
    return [row for source in sources for row in reader.read_named(source, columns)]


def read_files(data: DataConfig, sources: list[str], root: Path) -> list[Row]:
    """Return all rows of the sources, with the columns of a recipe; see `read_corpus`."""
    return read_corpus(sources, data.columns, root, data.names, data.label_separator)


def split_corpus(data: DataConfig, seed: int, root: Path) -> tuple[list[Row], list[Row]]:
    """Return training and validation rows; without validation files, `hold_out` rows drawn by the seed validate.

    Labels are held out in their proportions, no label loses its last row, and rows with the same text (apart from case
    and punctuation) stay together. Fewer rows than `hold_out` are drawn if that leaves no choice.

    Raises:
        CorpusError: see `read_corpus`; or label and text are swapped.
        RecipeError: `hold_out` leaves no training rows, or none can be held out.
    """
    rows = read_files(data, data.train, root)
    check_columns(rows, data)
    if not data.hold_out:
        return rows, read_files(data, data.valid, root)
    if data.hold_out >= len(rows):
        raise RecipeError(
            f"data.hold_out {data.hold_out} leaves none of the corpus's {len(rows)} rows to train on; lower it"
        )
    return hold_out_rows(rows, data, data.hold_out, seed)


def hold_out_rows(rows: list[Row], data: DataConfig, count: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Return the rows without up to `count` of them, and these; see `split_corpus`.

    Raises:
        RecipeError: no row can be held out.
    """
    groups, labels = duplicate_groups(rows, data)
    held = choose_rows(groups, labels, count, seed)
    if not held:
        raise RecipeError(
            f"data.hold_out {count}: no row of {', '.join(data.train)} can be held out: each is a label's last row, a "
            "duplicate of the others, or empty; add rows, or give validation rows as data.valid"
        )
    out = set(held)
    return [row for i, row in enumerate(rows) if i not in out], [rows[i] for i in held]


def duplicate_groups(rows: list[Row], data: DataConfig) -> tuple[list[int], list[list[str]]]:
    """Return the group (see `hold_out.group_duplicates`), or -1 for an incomplete row, and the labels of each row."""
    complete = [sum(map(bool, map(str.strip, row))) > 1 for row in rows]
    if "label" not in data.columns:
        found, labels = group_duplicates(rows), [[] for _ in rows]  # type: tuple[list[int], list[list[str]]]
    else:
        text = data.columns.index("text")
        found = group_duplicates([(row[text],) for row in rows])
        labels = [row_labels(data, row) for row in rows]
    return [group if whole else -1 for group, whole in zip(found, complete, strict=True)], labels


def sample_negatives(config: NegativesConfig, columns: list[str], seed: int, root: Path) -> list[Row]:
    """Return rows with the negatives' label, in the order of `columns`; texts are lower-cased, without punctuation.

    Raises:
        CorpusError: see `read_corpus`; or the files hold too few such texts.
    """
    read = read_corpus(config.files, config.columns, root)
    texts = sorted({row[config.columns.index("text")] for row in read})
    texts = [strip_punctuation(text) for text in texts if text.endswith(config.ending)]
    if len(texts) < config.rows:
        raise CorpusError(
            f"data.negatives.rows is {config.rows}, but its files hold only {len(texts)} such texts; lower it"
        )
    chosen = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[: config.rows]]
    return [(config.label, text) if columns[0] == "label" else (text, config.label) for text in chosen]


def strip_punctuation(text: str) -> str:
    """Return the text lower-cased, with only letters, digits, apostrophes and spaces; unchanged if none are left."""
    left = "".join(c for c in text.lower() if c.isalnum() or c.isspace() or c == "'")
    return left if left.strip() else text


@dataclass(frozen=True)
class _Reader:
    """Reads sources in any form, with the columns' names in the files."""

    root: Path
    names: Mapping[str, str]
    label_separator: str

    def read_named(self, source: str, columns: list[str]) -> list[Row]:
        """Return the rows of a source, which has all columns or names its own."""
        name, separator, own = source.rpartition(" as ")
        if not separator or (self.root / source).is_file():
            return self._read_labelled(source, columns)
        given = [column.strip() for column in own.split(",")]
        if len(given) < 2 or len(set(given)) < len(given) or not set(given) <= set(columns):
            raise CorpusError(f"{source}: name two or more different columns after 'as', out of {', '.join(columns)}")
        places = [given.index(column) if column in given else None for column in columns]
        rows = self._read_labelled(name, given)
        return [tuple("" if place is None else row[place] for place in places) for row in rows]

    def _read_labelled(self, source: str, columns: list[str]) -> list[Row]:
        """Return the rows of a source; the labels of a row that can have several are written by `encode_labels`."""
        rows = self._read(source, columns)
        if not self.label_separator or "label" not in columns:
            return rows
        place = columns.index("label")
        lists = [encode_labels(split_labels(row[place], self.label_separator)) for row in rows]
        return [(*row[:place], cell, *row[place + 1 :]) for row, cell in zip(rows, lists, strict=True)]

    def _read(self, source: str, columns: list[str]) -> list[Row]:
        path = self.root / source
        if source.startswith("hf:"):
            rows = list(self._read_hub(source.removeprefix("hf:"), columns))
        elif " + " in source and not path.is_file():
            rows = list(_read_parallel([self.root / part.strip() for part in source.split(" + ")], len(columns)))
        elif suffix_of(path) in KEYED:
            rows = list(self._read_json_lines(path, columns))
        elif suffix_of(path) in SUFFIXES and (self.names or suffix_of(path) != ".tsv"):
            rows = self.select(read_table(path), columns)
        else:
            rows = _read_tsv(path, columns)
        if not rows:
            raise CorpusError(f"{source}: the corpus is empty")
        return rows

    def select(self, table: Table, columns: list[str]) -> list[Row]:
        """Return the columns of a table, by the names in its header, or by number if the names are "#1", "#2", ..."""
        wanted = [self.names.get(column, column) for column in columns]
        records, width = table.records, len(table.records[0].cells)
        if table.header is None and all(re.fullmatch(r"#[0-9]+", name) for name in wanted):
            places = [int(name[1:]) - 1 for name in wanted]
            if beyond := [f"#{place + 1}" for place in places if not 0 <= place < width]:
                raise CorpusError(f"{table.path}: data.names has the column {beyond[0]}, but there are {width} columns")
        else:
            header, line = table.header, 1
            if header is None:
                (line, cells), records = records[0], records[1:]
                header = [cell.strip() for cell in cells]
            if missing := [name for name in wanted if name not in header]:
                raise CorpusError(
                    f"{table.path}:{line}: no column {missing[0]!r}; the header has {', '.join(map(repr, header))}; "
                    "say which is which in [data.names] of the recipe"
                )
            places = [header.index(name) for name in wanted]
        return [self._values([r.cells[place] for place in places], columns, f"{table.path}:{r.line}") for r in records]

    def _read_json_lines(self, path: Path, columns: list[str]) -> Iterator[Row]:
        for number, line in read_lines(path):
            yield self._row_of(parse_object(line, f"{path}:{number}"), columns, f"{path}:{number}")

    def _read_hub(self, name: str, columns: list[str]) -> Iterator[Row]:
        try:
            import datasets
        except ImportError:
            raise CorpusError(f"hf:{name}: needs the package datasets: install the extra `hub`") from None

        name, _, split = name.partition("#")
        local = self.root / name
        try:
            loaded = datasets.load_dataset(str(local) if local.exists() else name, split=split or "train")
        except Exception as error:  # not found, no such split, damaged, no network: different classes
            raise CorpusError(f"hf:{name}: {error}") from None
        # A label column usually has integers, which index the names that the dataset declares.
        names = {c: f.names for c, f in loaded.features.items() if isinstance(f, datasets.ClassLabel)}
        for number, record in enumerate(loaded, start=1):
            if unnamed := [f"{c} {record[c]}" for c in names if record[c] not in range(len(names[c]))]:
                raise CorpusError(f"hf:{name}:{number}: no label: {', '.join(unnamed)}; test splits often come without")
            named = {c: names[c][value] if c in names else value for c, value in record.items()}
            yield self._row_of(named.get("translation", named), columns, f"hf:{name}:{number}")

    def _row_of(self, record: object, columns: list[str], where: str) -> Row:
        """Return the columns of an object; numbers become text, null the empty text."""
        wanted = [self.names.get(column, column) for column in columns]
        if not isinstance(record, dict) or not all(name in record for name in wanted):
            keys = f"keys {', '.join(map(repr, record))}" if isinstance(record, dict) else repr(record)[:40]
            raise CorpusError(
                f"{where}: expected an object with {' and '.join(wanted)}, found {keys}; say which is which in "
                "[data.names] of the recipe"
            )
        return self._values([cell_text(record[name], where) for name in wanted], columns, where)

    def _values(self, cells: list[str], columns: list[str], where: str) -> Row:
        """Return the cells of a row, of which only labels may be lists."""
        for cell, column in zip(cells, columns, strict=True):
            if LIST_SEPARATOR in cell and not (column == "label" and self.label_separator == LIST):
                remedy = f'set data.label_separator = "{LIST}" in the recipe, or ' if column == "label" else ""
                raise CorpusError(f"{where}: a list, where one value was expected; {remedy}write a row for each value")
        return tuple(cells)


def _read_tsv(path: Path, columns: list[str]) -> list[Row]:
    """Read rows whose fields are the columns in order; a first line that names the columns is not a row."""
    rows: list[Row] = []
    for number, line in read_lines(path):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != len(columns):
            raise CorpusError(f"{path}:{number}: expected {len(columns)} tab-separated fields, found {len(fields)}")
        rows.append(tuple(fields))
    return rows[1:] if rows and _is_header(path, rows[0], columns) else rows


def _is_header(path: Path, first: Row, columns: list[str]) -> bool:
    """Return whether the first row of a file names its columns.

    Raises:
        CorpusError: it does so in another order, or by other names.
    """
    names = [field.strip().casefold() for field in first]
    if names == [column.casefold() for column in columns]:
        return True
    renamed = sorted(columns) == ["label", "text"] and (
        (names[0] in LABEL_WORDS and names[1] in TEXT_WORDS) or (names[0] in TEXT_WORDS and names[1] in LABEL_WORDS)
    )
    if renamed or sorted(names) == sorted(map(str.casefold, columns)):
        raise CorpusError(
            f"{path}:1: {', '.join(first)} is a header, not a row; remove the line, or give the columns' names in "
            "[data.names] of the recipe"
        )
    return False


def _read_parallel(paths: list[Path], width: int) -> Iterator[Row]:
    """Read text files that correspond line by line, one for each column."""
    if len(paths) != width:
        raise CorpusError(f"expected {width} parallel files, found {len(paths)}: {', '.join(map(str, paths))}")
    texts = [[line.rstrip("\r\n") for _, line in read_lines(path)] for path in paths]
    lengths = list(map(len, texts))
    if min(lengths) != max(lengths):
        found = ", ".join(f"{path} has {length}" for path, length in zip(paths, lengths, strict=True))
        raise CorpusError(f"{paths[lengths.index(min(lengths))]}:{min(lengths) + 1}: missing line: {found}")
    yield from zip(*texts, strict=True)
