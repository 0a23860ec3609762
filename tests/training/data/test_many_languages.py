"""One model for several language pairs, trained on corpora of two languages each."""

import json
from pathlib import Path

import pytest

from tests.conftest import write_rows
from tests.training.toys import REVERSE, changed
from training.config import Recipe, parse_recipe
from training.data.corpus import CorpusError, FilterReport, read_corpus
from training.runs.run import RunFolder
from training.tasks import TranslateTask, create_task
from training.trainer import fit

DIRECTIONS = ["en-de", "de-en", "fr-en"]


def recipe(**changes: object) -> Recipe:
    data = {
        "data.columns": ["en", "de", "fr"], "data.directions": DIRECTIONS, "tokenizer.vocabulary": 20,
        "data.train": ["de.tsv as en, de", "fr.tsv as en, fr"], "data.valid": ["dev.tsv as fr, en"],
        "training.epochs": 1, "training.warmup": 1,
    }  # fmt: skip
    return parse_recipe(changed(REVERSE, data | changes), "toy.toml")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_rows(tmp_path / "de.tsv", [(f"one {i}", f"eins {i}") for i in range(20)])
    write_rows(tmp_path / "fr.tsv", [(f"two {i}", f"deux {i}") for i in range(10)])
    write_rows(tmp_path / "dev.tsv", [("trois 3", "three 3"), ("deux 1", "two 1")])
    return tmp_path


def test_each_direction_uses_rows_with_both_its_sides(corpus: Path) -> None:
    toy = recipe()
    rows = read_corpus(toy.data.train, toy.data.columns, corpus)
    task = create_task(toy, rows)
    assert isinstance(task, TranslateTask)
    assert set(task.codec.source.get_vocab()) > {"one", "eins", "two", "deux", "<2de>", "<2en>"}
    assert "<2fr>" not in task.codec.source.get_vocab()
    assert task.parallel_texts(rows, "fr", "en")[0][:2] == ["deux 0", "deux 1"]
    examples = task.examples(rows, report := FilterReport())
    assert len(examples) == report.kept == 20 + 20 + 10


def test_report_has_the_directions_with_validation_rows(corpus: Path) -> None:
    run = RunFolder(corpus / "run")
    fit(recipe(), corpus, run, resume=False)
    assert json.loads(run.report.read_text())["valid"].keys() == {"fr-en"}


def test_direction_without_rows_is_rejected_before_training(corpus: Path) -> None:
    toy = recipe(**{"data.directions": ["en-de", "de-fr"]})
    with pytest.raises(CorpusError, match="no training row has both sides of de-fr; see data.train and data.columns"):
        fit(toy, corpus, RunFolder(corpus / "run"), resume=False)


def test_validation_rows_without_any_direction_are_rejected(corpus: Path) -> None:
    toy = recipe(**{"data.directions": ["en-de"]})
    with pytest.raises(CorpusError, match="no row has both sides of en-de"):
        fit(toy, corpus, RunFolder(corpus / "run"), resume=False)
