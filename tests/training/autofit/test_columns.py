"""Which columns are learned from: by name, by content, or refused with what to do."""

import re
from pathlib import Path

import pytest

from training.autofit.columns import choose_columns
from training.data.files import CorpusError
from training.data.tables import read_table

ROWS = [
    ("x1", "pay", "where is my money", "7"), ("x2", "card", "I lost my card", "8"), ("x3", "pay", "I paid twice", "9"),
    ("x4", "card", "my card is gone", "7"), ("x5", "card", "no card came", "3"),
]  # fmt: skip


def choose(path: Path, content: str, **named: str) -> tuple[str, dict[str, str]]:
    file = path / "rows.csv"
    file.write_text(content, "utf-8")
    columns = choose_columns(read_table(file), **named)
    return columns.task, columns.names


def table(*places: int, header: str = "") -> str:
    return header + "".join(",".join(row[i] for i in places) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (table(1, 2, header="label,text\n"), {"text": "text", "label": "label"}),
        (table(2, 1, header="Utterance,Intent\n"), {"text": "Utterance", "label": "Intent"}),
        (table(0, 1, 2, header="id,category,message\n"), {"text": "message", "label": "category"}),
        (table(2, 1, header="Was wollten Sie?,Abteilung\n"), {"text": "Was wollten Sie?", "label": "Abteilung"}),
        (table(1, 2), {"text": "#2", "label": "#1"}),
        (table(2, 1), {"text": "#1", "label": "#2"}),
    ],
    ids=["usual", "other usual names", "three columns", "by content", "no header", "no header, text first"],
)
def test_columns_are_guessed(tmp_path: Path, content: str, names: dict[str, str]) -> None:
    assert choose(tmp_path, content) == ("classify", names)


def test_columns_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    content = table(0, 1, 2, 3, header="a,b,c,d\n")
    assert choose(tmp_path, content, text="c", label="b")[1] == {"text": "c", "label": "b"}
    assert choose(tmp_path, table(0, 1, 2, 3), text="3", label="#2")[1] == {"text": "#3", "label": "#2"}
    assert choose(tmp_path, content, label="d")[1] == {"text": "c", "label": "d"}


@pytest.mark.parametrize(
    ("header", "languages"),
    [("en,de", "en de"), ("English,German", "en de"), ("source_en,target_fr", "en fr"), ("EN-GB,pt_BR", "en pt")],
)
def test_two_languages_make_a_translator(tmp_path: Path, header: str, languages: str) -> None:
    task, names = choose(tmp_path, f"{header}\na house,ein Haus\n")
    assert task == "translate"
    assert names == dict(zip(languages.split(), header.split(","), strict=True))


@pytest.mark.parametrize(
    ("content", "named", "message"),
    [
        (table(1, 2, header="label,text\n"), {"text": "body"}, "no column 'body'; the file has 'label', 'text'"),
        (table(1, 2), {"text": "5"}, "no column '5'; the file has no header, and columns 1 to 2"),
        (table(1, 2, header="label,text\n"), {"text": "text", "label": "text"}, "are both 'text'; name two columns"),
        ("text\nonly\n", {}, "only one column (#1); a classifier needs a text and a label a row"),
        (table(1, 2, 3, header="a,b,c\n").replace("8", "7").replace("9", "3"), {},
         "which column has the labels? Their values should repeat; possible: 'a', 'c'. Name it with --label-column; "
         "the file has a ('pay'), b ('where is my money'), c ('7')"),
        (table(0, 1, 0, header="a,label,c\n"), {}, "which column has the texts? Name it with --text-column"),
        ("label,text\n", {}, "only a header, no rows"),
        ("label,label\nx,y\nx,z\n", {"label": "label"}, "two columns are named 'label'; rename one"),
        ("en,de,fr\na,b,c\n", {}, "the columns 'en', 'de', 'fr' are languages; leave two different ones"),
        ("en,en-GB\na,b\n", {}, "the columns 'en', 'en-GB' are languages; leave two different ones"),
    ],
)  # fmt: skip
def test_unclear_columns_are_refused(tmp_path: Path, content: str, named: dict[str, str], message: str) -> None:
    with pytest.raises(CorpusError, match=re.escape(message)):
        choose(tmp_path, content, **named)
