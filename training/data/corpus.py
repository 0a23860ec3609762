"""Read corpora: rows of strings from TSV, parallel text files, JSONL or the Hugging Face hub.

A source is one string:
  "train.tsv", "train.tsv.gz"    tab-separated, one row per line
  "train.de + train.en"          two parallel text files (.gz allowed): a row is a line of each
  "train.jsonl"                  one object per line; the columns name its keys
  "hf:name-or-folder#split"      a dataset of the hub or a local folder, through `datasets`
  "train.en-fr.tsv as en, fr"    any of these with columns of its own, a subset of the recipe's
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.config import DataConfig, NegativesConfig, RecipeError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell one, UTF-8 cannot encode it

Row = tuple[str, ...]  # a string for each column, empty if its source has no such column


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names file and line."""


@dataclass
class FilterReport:
    """Counts of the rows that were kept, and of those that were filtered out, by reason."""

    kept: int = 0
    empty: int = 0
    too_long: int = 0
    bad_ratio: int = 0
    duplicate: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kept:,} kept; filtered out: {self.empty:,} with an empty side, {self.duplicate:,} duplicates, "
            f"{self.too_long:,} too long, {self.bad_ratio:,} with an unlikely length ratio"
        )


def read_corpus(sources: list[str], columns: list[str], root: Path) -> list[Row]:
    """Return all rows of the sources, in order, each with a string for every column.

    Raises:
        CorpusError: a file is missing, empty, misaligned, malformed or not UTF-8, or has other columns.
    """
    return [row for source in sources for row in _read_named(source, columns, root)]


def split_corpus(data: DataConfig, seed: int, root: Path) -> tuple[list[Row], list[Row]]:
    """Return training and validation rows; without validation files, `hold_out` rows drawn by the seed validate.

    Raises:
        CorpusError: see `read_corpus`.
        RecipeError: `hold_out` leaves no training rows.
    """
    rows = read_corpus(data.train, data.columns, root)
    if not data.hold_out:
        return rows, read_corpus(data.valid, data.columns, root)
    if data.hold_out >= len(rows):
        raise RecipeError(
            f"data.hold_out {data.hold_out} leaves none of the corpus's {len(rows)} rows to train on; lower it"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in sorted(order[data.hold_out :])], [rows[i] for i in order[: data.hold_out]]


def _read_named(source: str, columns: list[str], root: Path) -> list[Row]:
    """Return the rows of a source, which has all columns or names its own."""
    name, separator, own = source.rpartition(" as ")
    if not separator:
        return _read_source(source, columns, root)
    given = [column.strip() for column in own.split(",")]
    if len(given) < 2 or len(set(given)) < len(given) or not set(given) <= set(columns):
        raise CorpusError(f"{source}: name two or more different columns after 'as', out of {', '.join(columns)}")
    places = [given.index(column) if column in given else None for column in columns]
    rows = _read_source(name, given, root)
    return [tuple("" if place is None else row[place] for place in places) for row in rows]


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


def _read_source(source: str, columns: list[str], root: Path) -> list[Row]:
    if source.startswith("hf:"):
        rows = list(_read_hub(source.removeprefix("hf:"), columns, root))
    elif " + " in source:
        rows = list(_read_parallel([root / part.strip() for part in source.split(" + ")], len(columns)))
    elif ".jsonl" in source:
        rows = list(_read_jsonl(root / source, columns))
    else:
        rows = list(_read_tsv(root / source, len(columns)))
    if not rows:
        raise CorpusError(f"{source}: the corpus is empty")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line; lines are decoded one by one, so that an error names its line."""
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rb") as raw, io.BufferedReader(raw) as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; give the data folder with --data") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}:{number}: not UTF-8: {error}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(f"{path}:{number + 1}: damaged gzip file: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None


def _read_tsv(path: Path, width: int) -> Iterator[Row]:
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != width:
            raise CorpusError(f"{path}:{number}: expected {width} tab-separated fields, found {len(fields)}")
        yield tuple(fields)


def _read_parallel(paths: list[Path], width: int) -> Iterator[Row]:
    """Read text files that correspond line by line, one for each column."""
    if len(paths) != width:
        raise CorpusError(f"expected {width} parallel files, found {len(paths)}: {', '.join(map(str, paths))}")
    texts = [[line for _, line in _lines(path)] for path in paths]
    lengths = list(map(len, texts))
    if min(lengths) != max(lengths):
        found = ", ".join(f"{path} has {length}" for path, length in zip(paths, lengths, strict=True))
        raise CorpusError(f"{paths[lengths.index(min(lengths))]}:{min(lengths) + 1}: missing line: {found}")
    yield from zip(*texts, strict=True)


def _read_jsonl(path: Path, columns: list[str]) -> Iterator[Row]:
    for number, line in _lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{path}:{number}: not JSON: {error}") from None
        yield _row_of(record, columns, f"{path}:{number}")


def _read_hub(name: str, columns: list[str], root: Path) -> Iterator[Row]:
    import datasets

    name, _, split = name.partition("#")
    local = root / name
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
        yield _row_of(named.get("translation", named), columns, f"hf:{name}:{number}")


def _row_of(record: object, columns: list[str], where: str) -> Row:
    if not isinstance(record, dict) or not all(isinstance(record.get(column), str) for column in columns):
        raise CorpusError(f"{where}: expected an object with the strings {' and '.join(columns)}")
    row = tuple(record[column] for column in columns)
    if _LONE_SURROGATE.search("".join(row)):
        raise CorpusError(f"{where}: a lone surrogate, which is not a character")
    return row


def clean(rows: list[Row], report: FilterReport, distinct: bool = True) -> list[Row]:
    """Strip all texts; drop and count rows with fewer than two sides and, if `distinct`, duplicates."""
    kept: dict[Row, None] | list[Row] = {} if distinct else []
    for given in rows:
        row = tuple(text.strip() for text in given)
        if sum(map(bool, row)) < 2:
            report.empty += 1
        elif isinstance(kept, list):
            kept.append(row)
        elif row in kept:
            report.duplicate += 1
        else:
            kept[row] = None
    return list(kept)
