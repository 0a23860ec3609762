"""Distillation: a teacher's corpus, which a student can be trained on."""

import gzip
from pathlib import Path

from tests.training.toys import CPU
from training.data.corpus import read_corpus
from training.decoding.beam import BeamOptions
from training.runs.run import RunFolder
from training.tasks import TranslateTask
from training.tools.distillation import Teacher, one_line, write_tsv

ROWS = [("red house", "unread"), ("two dog", "unread"), ("red house", "other"), ("bird " * 60, "too long"), (" ", "-")]


def teacher(run: RunFolder, source: str, target: str) -> Teacher:
    task, model = run.open(CPU)
    assert isinstance(task, TranslateTask)
    return Teacher(task, model, CPU, source, target, BeamOptions(3))


def test_a_teacher_rewrites_each_source_once(toy_translation_run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "new" / "distilled.tsv.gz"
    assert write_tsv(path, teacher(toy_translation_run, "a", "b").rewrite(ROWS)) == 2
    assert gzip.decompress(path.read_bytes()).decode() == "red house\trot Haus\ntwo dog\tzwei Hund\n"
    assert read_corpus([path.name], ["a", "b"], path.parent) == [("red house", "rot Haus"), ("two dog", "zwei Hund")]
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no partial file is left


def test_the_columns_keep_their_order_in_the_other_direction(toy_translation_run: RunFolder) -> None:
    rows = [("unread", "rot Haus"), ("unread", "drei")]
    assert list(teacher(toy_translation_run, "b", "a").rewrite(rows)) == [("red house", "rot Haus"), ("three", "drei")]


def test_a_text_is_fit_for_a_field() -> None:
    assert one_line(" a\tb\r\nc  d\n") == "a b c  d"
