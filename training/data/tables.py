"""Read tables of cells: CSV, TSV, JSON lines, Parquet and spreadsheets, each cell as a string.

Every record knows its line in the file (its row in a spreadsheet), so that errors can name it.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, NamedTuple

from training.data.files import CorpusError, encoding_of, read_lines
from training.data.labels import LIST_SEPARATOR

DELIMITED = {".csv": ",", ".tsv": "\t"}  # by suffix; a CSV may also have another delimiter, see `guess_delimiter`
KEYED = (".jsonl", ".ndjson")
SPREADSHEETS = (".xlsx", ".xls", ".xlsb", ".ods")
PARQUET = ".parquet"
SUFFIXES = (*DELIMITED, *KEYED, PARQUET, *SPREADSHEETS)
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
SAMPLE = 50  # records that decide the delimiter

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell one, UTF-8 cannot encode it


class Record(NamedTuple):
    """One record of a table."""

    line: int  # in the file, from 1
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """The records of a file; `header` is None for a format without names: the first record may then be a header."""

    path: Path
    header: list[str] | None
    records: list[Record]
    form: str  # for messages, such as "CSV, semicolons, UTF-16"


def suffix_of(path: Path) -> str:
    """Return the suffix that decides the format, in lower case, without `.gz`."""
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def read_table(path: Path) -> Table:
    """Read a table; its format is decided by the suffix.

    Raises:
        CorpusError: the file is missing, empty, damaged or of another format; or its reader is not installed.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise CorpusError(f"{path}: the suffix {suffix!r} is not that of a table; use one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; give the data folder with --data")
    if suffix in DELIMITED:
        table = _read_delimited(path, suffix)
    elif suffix in KEYED:
        table = _read_json_lines(path)
    elif suffix == PARQUET:
        table = _read_parquet(path)
    else:
        table = _read_spreadsheet(path)
    if not table.records:
        raise CorpusError(f"{path}: the corpus is empty")
    return table


def _read_delimited(path: Path, suffix: str) -> Table:
    """Read CSV with quotation marks as in RFC 4180, or TSV, in which a quotation mark is a character like any other."""
    delimiter, quoting = DELIMITED[suffix], csv.QUOTE_NONE
    if suffix == ".csv":
        delimiter, quoting = guess_delimiter(path), csv.QUOTE_MINIMAL
    records: list[Record] = []
    for record in _delimited_records(path, delimiter, quoting):
        if records and len(record.cells) != len(records[0].cells):
            raise CorpusError(_width_problem(path, record, len(records[0].cells), delimiter, quoting))
        records.append(record)
    encoding = encoding_of(path)
    words = [suffix[1:].upper()]
    words += [f"{DELIMITERS[delimiter]}-separated"] if suffix == ".csv" and delimiter != "," else []
    words += [encoding.upper()] if encoding != "utf-8" else []
    return Table(path, None, records, ", ".join(words))


def _width_problem(path: Path, record: Record, width: int, delimiter: str, quoting: int) -> str:
    name = DELIMITERS[delimiter]
    remedy = f'; put a text that contains a {name} in quotation marks: "..."' if quoting == csv.QUOTE_MINIMAL else ""
    return f"{path}:{record.line}: expected {width} {name}-separated fields, found {len(record.cells)}{remedy}"


def guess_delimiter(path: Path) -> str:
    """Return the delimiter of a CSV file that splits its first records into the most fields, alike in each."""
    best, best_width = ",", 1
    for delimiter in DELIMITERS:
        widths = set()
        try:
            for count, record in enumerate(_delimited_records(path, delimiter, csv.QUOTE_MINIMAL)):
                widths.add(len(record.cells))
                if count == SAMPLE or len(widths) > 1:
                    break
        except CorpusError:
            continue
        if len(widths) == 1 and (width := widths.pop()) > best_width:
            best, best_width = delimiter, width
    return best


def _delimited_records(path: Path, delimiter: str, quoting: int) -> Iterator[Record]:
    lines = (line for _, line in read_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):  # blank lines are skipped
                yield Record(line, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{path}:{line}: not CSV: {error}; look for a quotation mark without its partner (inside a quoted text it "
            'is doubled: "")'
        ) from None


def _read_json_lines(path: Path) -> Table:
    """Read one JSON object a line; the first one's keys are the columns."""
    header: list[str] = []
    records = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        found = parse_object(line, f"{path}:{number}")
        header = header or list(found)
        if missing := [name for name in header if name not in found]:
            raise CorpusError(f"{path}:{number}: no key {missing[0]!r}, which the first line has; write null or ''")
        records.append(Record(number, [cell_text(found[name], f"{path}:{number}") for name in header]))
    return Table(path, header, records, "JSON lines")


def parse_object(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a line.

    Raises:
        CorpusError: it is not JSON, or no object.
    """
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CorpusError(f"{where}: expected a JSON object, found {line.strip()[:40]}")
    return found


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise CorpusError(
            f"{path}: reading Parquet needs the package pyarrow (170 MB): install the extra `hub`, or save it as CSV"
        ) from None
    try:
        columns = parquet.read_table(path).to_pydict()
    except (ArrowException, OSError) as error:
        raise CorpusError(f"{path}: not a Parquet file: {error}") from None
    rows = zip(*columns.values(), strict=True)
    records = [
        Record(number, [cell_text(cell, f"{path}:{number}") for cell in row]) for number, row in enumerate(rows, 1)
    ]
    return Table(path, list(columns), records, "Parquet")


def _read_spreadsheet(path: Path) -> Table:
    """Read the first sheet that has any cells."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets = {
            name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in workbook.sheet_names
        }
    except (CalamineError, OSError) as error:
        raise CorpusError(f"{path}: not a spreadsheet: {error}") from None
    for name, rows in sheets.items():
        cells = [Record(n, [cell_text(cell, f"{path}:{n}") for cell in row]) for n, row in enumerate(rows, 1)]
        records = [record for record in cells if any(map(str.strip, record.cells))]
        if records:
            others = f" of {len(sheets)}" if len(sheets) > 1 else ""
            return Table(path, None, records, f"spreadsheet, sheet {name!r}{others}")
    return Table(path, None, [], "spreadsheet")


def cell_text(value: object, where: str) -> str:
    """Return a value as the text of a cell: integers without a point, lists joined by `LIST_SEPARATOR`, null empty.

    Raises:
        CorpusError: it is an object, or not a character.
    """
    if isinstance(value, list | tuple):
        return LIST_SEPARATOR.join(cell_text(one, where) for one in value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int | float | date | time):
        raise CorpusError(f"{where}: expected a text or a number, found {value!r:.60}")
    if isinstance(value, str) and _LONE_SURROGATE.search(value):
        raise CorpusError(f"{where}: a lone surrogate, which is not a character")
    return str(value)
