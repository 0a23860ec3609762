"""The entries of a glossary as text: tab-separated, or comma-separated (RFC 4180)."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Literal

from service.errors import InvalidRequest

EntriesFormat = Literal["tsv", "csv"]
MAX_TERM_BYTES = 1024
MAX_COLUMNS = 4  # source term, target term, source language, target language
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def parse_entries(text: str, entries_format: EntriesFormat, languages: tuple[str, str]) -> dict[str, str]:
    """Return the target term of each source term, without the white space around them.

    A row of four columns ends with a source and a target language; it is left out if they are others than `languages`.

    Raises:
        InvalidRequest: there is no entry, or a row has too few columns, an invalid term, or a source term again.
    """
    entries: dict[str, str] = {}
    rows = _tsv_rows(text) if entries_format == "tsv" else _csv_rows(text, languages)
    for number, (source, target) in rows:
        _check_term(number, source)
        _check_term(number, target)
        if source in entries:
            raise _invalid(number, f"the source term {source[:40]!r} occurs twice")
        entries[source] = target
    if not entries:
        raise InvalidRequest("Invalid glossary entries provided: there is none")
    return entries


def format_tsv(entries: Mapping[str, str]) -> str:
    """Return entries as tab-separated lines."""
    return "\n".join(f"{source}\t{target}" for source, target in entries.items())


def _tsv_rows(text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        source, tab, target = line.partition("\t")
        if not tab:
            raise _invalid(number, "it misses the tab separator")
        yield number, (source.strip(), target.strip())


def _csv_rows(text: str, languages: tuple[str, str]) -> Iterator[tuple[int, tuple[str, str]]]:
    reader: Iterable[list[str]] = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        for number, row in enumerate(reader):
            columns = [column.strip() for column in row]
            if not any(columns):
                continue
            if len(columns) not in (2, MAX_COLUMNS):
                raise _invalid(number, f"it has {len(columns)} columns; give 2, or {MAX_COLUMNS} with the languages")
            if columns[2:] and tuple(map(str.lower, columns[2:])) != tuple(map(str.lower, languages)):
                continue
            yield number, (columns[0], columns[1])
    except csv.Error as error:
        raise InvalidRequest(f"Invalid glossary entries provided: {error}") from None


def _check_term(number: int, term: str) -> None:
    if not term:
        raise _invalid(number, "a term is empty")
    if CONTROL.search(term):
        raise _invalid(number, f"the term {term[:40]!r} has a control character or a line break")
    if len(term.encode("utf-8", "surrogatepass")) > MAX_TERM_BYTES:
        raise _invalid(number, f"the term {term[:40]!r} has more than {MAX_TERM_BYTES} bytes")


def _invalid(number: int, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid glossary entries provided: key with the index {number}: {reason}")
