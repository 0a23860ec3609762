"""Rows with several labels: how each form of a corpus writes them, and what is refused."""

import re
from pathlib import Path

import pytest

from training.config import DataConfig
from training.data.corpus import CorpusError, read_files
from training.data.labels import encode_labels, row_labels, split_labels

EXPECTED = [["sport", "news"], [], ["sport"]]
FORMS = {
    "rows.csv": ("|", "text,label\none,sport| news\ntwo,\nthree,sport|sport\n"),
    "rows.tsv": (";", "one\tsport;news\ntwo\t;\nthree\tsport\n"),
    "rows.jsonl": ("list", '{"text": "one", "label": ["sport", "news"]}\n{"text": "two", "label": []}\n'
                   '{"text": "three", "label": "sport"}\n'),
}  # fmt: skip


def data(file: str, separator: str) -> DataConfig:
    return DataConfig(train=[file], columns=["text", "label"], hold_out=1, label_separator=separator)


@pytest.mark.parametrize("file", FORMS)
def test_labels_are_read(tmp_path: Path, file: str) -> None:
    separator, content = FORMS[file]
    (tmp_path / file).write_text(content, "utf-8")
    config = data(file, separator)
    rows = read_files(config, [file], tmp_path)
    assert [row[0] for row in rows] == ["one", "two", "three"]
    assert [row_labels(config, row) for row in rows] == EXPECTED


def test_cell_of_labels_is_read_back() -> None:
    labels = ['with "quotes"', "a|b", "grün"]
    assert row_labels(data("x.csv", "|"), ("text", encode_labels(labels))) == labels
    assert row_labels(data("x.csv", ""), ("text", " a|b ")) == ["a|b"]
    assert split_labels("a, b,,a", ",") == ["a", "b"]


@pytest.mark.parametrize("separator", ["", "|"])
def test_list_is_refused_where_one_label_is_expected(tmp_path: Path, separator: str) -> None:
    (tmp_path / "rows.jsonl").write_text(FORMS["rows.jsonl"][1], "utf-8")
    message = 'rows.jsonl:1: a list, where one value was expected; set data.label_separator = "list" in the recipe'
    with pytest.raises(CorpusError, match=re.escape(message)):
        read_files(data("rows.jsonl", separator), ["rows.jsonl"], tmp_path)
