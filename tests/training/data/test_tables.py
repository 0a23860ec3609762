"""Tables in every format and encoding, and the message for each file that cannot be read."""

import gzip
import re
from pathlib import Path

import pytest

from tests.training.spreadsheets import write_spreadsheet
from training.data.files import CorpusError
from training.data.tables import Table, read_table

CELLS = [["text", "label"], ["Wo ist, bitte, die Karte?", "1"], ['Ein "Zitat"', "2"]]
CSV = 'text,label\n"Wo ist, bitte, die Karte?",1\n"Ein ""Zitat""",2\n'


def cells(table: Table) -> list[list[str]]:
    header = [] if table.header is None else [table.header]
    return header + [record.cells for record in table.records]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", CSV.encode(), "CSV"),
        ("a.CSV", CSV.encode(), "CSV"),
        ("a.csv.gz", gzip.compress(CSV.encode()), "CSV"),
        ("a.csv", CSV.replace("\n", "\r\n").encode("utf-8-sig"), "CSV"),
        ("a.csv", CSV.encode("utf-16"), "CSV, UTF-16-LE"),
        ("a.csv", b"\xfe\xff" + CSV.encode("utf-16-be"), "CSV, UTF-16-BE"),
        ("a.csv", CSV.replace(",1", ";1").replace(",2", ";2").replace("text,", "text;").encode(),
         "CSV, semicolon-separated"),
        ("a.csv", (CSV + "\n,\n").encode(), "CSV"),
        ("a.tsv", b'text\tlabel\nWo ist, bitte, die Karte?\t1\nEin "Zitat"\t2\n', "TSV"),
        ("a.jsonl", b'{"text": "Wo ist, bitte, die Karte?", "label": 1}\n\n{"label": 2.0, "text": "Ein \\"Zitat\\""}\n',
         "JSON lines"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_table_is_read_alike_in_every_form(tmp_path: Path, name: str, content: bytes, form: str) -> None:
    (tmp_path / name).write_bytes(content)
    table = read_table(tmp_path / name)
    assert cells(table) == CELLS
    assert table.form == form


def test_parquet_and_spreadsheets_are_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": [row[0] for row in CELLS[1:]], "label": [1, 2]}), tmp_path / "a.parquet")
    assert cells(read_table(tmp_path / "a.parquet")) == CELLS
    write_spreadsheet(tmp_path / "a.xlsx", [CELLS[0], *((text, float(label)) for text, label in CELLS[1:])])
    table = read_table(tmp_path / "a.xlsx")
    assert cells(table) == CELLS
    assert table.form == "spreadsheet, sheet 'Rows'"


def test_records_know_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"two\nlines",x\n\nlast,y\n')
    assert [record.line for record in read_table(tmp_path / "a.csv").records] == [1, 2, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"a,b\nx,y\nx,y,z\n", 'a.csv:3: expected 2 comma-separated fields, found 3; put a text that contains '
         'a comma in quotation marks: "..."'),
        ("a.csv", b'a,b\n"x,y\nx,y\n', "a.csv:2: not CSV: unexpected end of data; look for a quotation mark without"),
        ("a.csv", b'a,b\n"x" x,y\n', "a.csv:2: not CSV: ',' expected after '\"'"),
        ("a.tsv", b"a\tb\nx\n", "a.tsv:2: expected 2 tab-separated fields, found 1"),
        ("a.csv", b"a,b\nf\xfcnf,y\n", "a.csv:2: not UTF-8: 'utf-8' codec can't decode byte 0xfc in position 1: "
         "invalid start byte; save it as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`"),
        ("a.csv", "a,b\n".encode("utf-16-le"), "a.csv:1: NUL bytes: UTF-16 without a byte order mark"),
        ("a.csv", b"\xff\xfea\x00\n\x00x\x00\x00", "a.csv:2: not UTF-16-LE: truncated data; save it as UTF-8"),
        ("a.csv", b"", "a.csv: the corpus is empty"),
        ("a.csv", b"\n\n", "a.csv: the corpus is empty"),
        ("a.csv.gz", b"a,b\n", "a.csv.gz:1: damaged gzip file"),
        ("a.jsonl", b'{"a": 1}\n{"b": 1}\n', "a.jsonl:2: no key 'a', which the first line has; write null or ''"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl:2: expected a JSON object, found [1]"),
        ("a.jsonl", b'{"a": {"b": 1}}\n', "a.jsonl:1: expected a text or a number, found {'b': 1}"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', "a.jsonl:1: a lone surrogate, which is not a character"),
        ("a.xlsx", b"a,b\n", "a.xlsx: not a spreadsheet: "),
        ("a.parquet", b"a,b\n", "a.parquet: not a Parquet file: "),
        ("a.docx", b"", "a.docx: the suffix '.docx' is not that of a table; use one of .csv, .tsv, "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_bad_table_is_refused_by_file_line_and_remedy(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=re.escape(message)):
        read_table(tmp_path / name)


def test_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none.csv: no such file"):
        read_table(tmp_path / "none.csv")
