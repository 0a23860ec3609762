"""Distillation: the corpus that a teacher writes for a student."""

import gzip
from pathlib import Path

from tests.training.toys import CPU
from training.data.corpus import Row, read_corpus
from training.decoding.beam import BeamOptions
from training.runs.run import RunFolder
from training.tasks import TranslateTask
from training.tools.distillation import Teacher, one_line, write_tsv

ROWS: list[Row] = [
    ("red house", "unread"),
    ("two dog", "unread"),
    ("red house", "other"),
    ("bird " * 60, "too long"),
    (" ", "-"),
]


def teacher(run: RunFolder, source: str, target: str) -> Teacher:
    task, model = run.open(CPU)
    assert isinstance(task, TranslateTask)
    return Teacher(task, model, CPU, source, target, BeamOptions(3))


def test_teacher_translates_each_source_once(toy_translation_run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "new" / "distilled.tsv.gz"
    assert write_tsv(path, teacher(toy_translation_run, "a", "b").translate_corpus(ROWS)) == 2
    assert gzip.decompress(path.read_bytes()).decode() == "red house\trot Haus\ntwo dog\tzwei Hund\n"
    assert read_corpus([path.name], ["a", "b"], path.parent) == [("red house", "rot Haus"), ("two dog", "zwei Hund")]
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no partial file is left


def test_reverse_direction_keeps_column_order(toy_translation_run: RunFolder) -> None:
    rows: list[Row] = [("unread", "rot Haus"), ("unread", "drei")]
    assert list(teacher(toy_translation_run, "b", "a").translate_corpus(rows)) == [
        ("red house", "rot Haus"),
        ("three", "drei"),
    ]


def test_one_line_removes_tabs_and_line_breaks() -> None:
    assert one_line(" a\tb\r\nc  d\n") == "a b c  d"
