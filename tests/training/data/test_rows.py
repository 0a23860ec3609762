"""Which rows a run trains on and holds out, and what is rejected before any compute is spent."""

from pathlib import Path

import pytest
import torch

from tests.training.toys import REVERSE, changed, prepared
from training.config import RecipeError, parse_recipe
from training.data.corpus import CorpusError
from training.data.tokenizer import TokenizerError
from training.runs.run import RunFolder
from training.tasks import ClassifyTask
from training.trainer import fit

TO_CLASSIFY = {
    "task": "classify",
    "data.columns": ["label", "text"],
    "data.directions": None,
    "tokenizer.vocabulary": 6,
}

UNSEEN = (
    r"valid.tsv: 1 label of validation or test rows not in the training data \(train.tsv\): ugly; the first is that of "
    "'poor'"
)


def test_held_out_rows_are_not_trained_on(reverse_data: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(changed(REVERSE, {"data.valid": None, "data.hold_out": 30}), "held.toml")
    with prepared(recipe, reverse_data, RunFolder(tmp_path)) as trainer:
        assert (len(trainer.valid), len(trainer.examples)) == (30, 70)
        ids = [trainer.task.codec.target_ids([target])[0] for _, target in trainer.valid]
        trained = [trainer.examples.targets[i].tolist() for i in range(70)]
        assert not [target for target in ids if target in trained]
    everything = parse_recipe(changed(REVERSE, {"data.valid": None, "data.hold_out": 100}), "held.toml")
    with pytest.raises(RecipeError, match="data.hold_out 100 leaves none of the corpus's 100 rows"):
        fit(everything, reverse_data, RunFolder(tmp_path / "other"), resume=False)


def test_filtered_training_rows_are_counted(tmp_path: Path) -> None:
    lines = ["1 2\t2 1", "1 2\t2 1", " \t2", "1 " * 20 + "\t1", "1\t" + "1 " * 14, "3\t3"]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    table = changed(REVERSE, {"data.valid": ["train.tsv"], "data.max_ratio": 1, "training.batch_tokens": 8,
                              "tokenizer.vocabulary": 7})  # fmt: skip
    with prepared(parse_recipe(table, "toy.toml"), tmp_path, RunFolder(tmp_path / "run")) as trainer:
        report = trainer.filters
    assert (report.kept, report.empty, report.duplicate, report.too_long, report.bad_ratio) == (2, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("rows", "changes", "error", "words"),
    [
        (
            " \t1\n",
            {"tokenizer.vocabulary": 5},
            CorpusError,
            "no rows are left to train on: 0 kept; filtered out: 1 with an empty side",
        ),
        ("1 " * 17 + "\t1\n", {"tokenizer.vocabulary": 5}, CorpusError, "no rows are left to train on"),
        (
            "1 2\t2 1\n",
            {"training.accumulate": 2, "tokenizer.vocabulary": 6},
            RecipeError,
            "the corpus fills 1 batches, but an update takes 2 x 1",
        ),
    ],
)
def test_corpus_too_small_to_train_is_rejected(
    tmp_path: Path, rows: str, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    (tmp_path / "train.tsv").write_text(rows)
    recipe = parse_recipe(changed(REVERSE, {"data.valid": ["train.tsv"], **changes}), "toy.toml")
    with pytest.raises(error, match=words):
        fit(recipe, tmp_path, RunFolder(tmp_path / "run"), resume=False)


def test_label_missing_in_training_data_is_rejected_before_training(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("good\tfine\nbad\tpoor\n")
    (tmp_path / "valid.tsv").write_text("good\tfine\nugly\tpoor\n")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(
        CorpusError,
        match=UNSEEN,
    ):
        fit(parse_recipe(changed(REVERSE, TO_CLASSIFY), "toy.toml"), tmp_path, run, resume=False)
    assert not run.path.exists()
    table = changed(REVERSE, {**TO_CLASSIFY, "data.valid": ["train.tsv"], "data.test": ["valid.tsv"]})
    with pytest.raises(
        CorpusError,
        match=UNSEEN,
    ):  # also in a test file
        fit(parse_recipe(table, "toy.toml"), tmp_path, run, resume=False)
    assert not run.path.exists()


def test_labels_are_stripped_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("good \tfine\n bad\tpoor\ngood\tfine\n\tnothing\nlost\t \n")
    (tmp_path / "valid.tsv").write_text(" good\tfine\nbad \tpoor\n")
    recipe = parse_recipe(changed(REVERSE, {**TO_CLASSIFY, "tokenizer.vocabulary": 6}), "toy.toml")
    with prepared(recipe, tmp_path, RunFolder(tmp_path / "run")) as trainer:
        assert isinstance(trainer.task, ClassifyTask)
        assert trainer.task.labels == ["bad", "good"]
        assert len(trainer.examples) == 3
        trainer.task.evaluate(trainer.model.eval(), trainer.valid, torch.device("cpu"))
    (tmp_path / "train.tsv").write_text("\tfine\n")
    with pytest.raises(CorpusError, match="no training row has both a label and a text"):
        fit(recipe, tmp_path, RunFolder(tmp_path / "other"), resume=False)


def test_warmup_longer_than_run_is_rejected(reverse_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"training.warmup 1000 is more than all \d+ updates of the run"):
        fit(parse_recipe(changed(REVERSE, {"training.warmup": 1000}), "toy.toml"), reverse_data, run, resume=False)
    assert not run.path.exists()


def test_vocabulary_too_large_for_corpus_is_rejected_before_training(reverse_data: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(changed(REVERSE, {"tokenizer.vocabulary": 900}), "toy.toml")
    with pytest.raises(TokenizerError, match="vocabulary is 900, but the corpus supports no more than 14; lower it"):
        fit(recipe, reverse_data, RunFolder(tmp_path / "run"), resume=False)
    assert not (tmp_path / "run").exists()


def test_single_label_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("good\tfine\ngood\tpoor\n")
    with pytest.raises(CorpusError, match="every training row has the label good; a classifier needs at least two"):
        fit(parse_recipe(changed(REVERSE, {**TO_CLASSIFY, "data.valid": ["train.tsv"]}), "toy.toml"), tmp_path,
            RunFolder(tmp_path / "run"), resume=False)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_swapped_columns_of_a_classifier_are_noticed(tmp_path: Path) -> None:
    rows = [f"I have question number {i}\t{'card' if i % 2 else 'money'}" for i in range(100)]
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    recipe = parse_recipe(changed(REVERSE, {**TO_CLASSIFY, "data.valid": None, "data.hold_out": 9}), "toy.toml")
    with pytest.raises(
        CorpusError, match=r"train.tsv: 100 different labels in 100 rows, .* data.columns is label, text"
    ):
        fit(recipe, tmp_path, RunFolder(tmp_path / "run"), resume=False)


def test_validation_rows_that_are_trained_on_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.tsv").write_text("good\tfine\nbad\tpoor\n")
    (tmp_path / "valid.tsv").write_text("good\tFine!\nbad\tfine poor\n")
    table = changed(REVERSE, {**TO_CLASSIFY, "training.epochs": 1, "training.warmup": 1, "tokenizer.lowercase": True})
    fit(parse_recipe(table, "toy.toml"), tmp_path, RunFolder(tmp_path / "run"), resume=False)
    assert "warning: 1 of 2 validation rows are in the training data too" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["text\tlabel", "intent\tutterance", "Class\tSentence"])
def test_header_line_never_becomes_a_class(tmp_path: Path, line: str) -> None:
    (tmp_path / "train.tsv").write_text(f"{line}\ngood\tfine\nbad\tpoor\n")
    recipe = parse_recipe(changed(REVERSE, {**TO_CLASSIFY, "data.valid": ["train.tsv"]}), "toy.toml")
    with pytest.raises(CorpusError, match=r"train.tsv:1: .* is a header, not a row; remove the line, or give"):
        fit(recipe, tmp_path, RunFolder(tmp_path / "run"), resume=False)
    (tmp_path / "train.tsv").write_text("Label\tText\ngood\tfine\nbad\tpoor\n")
    with prepared(recipe, tmp_path, RunFolder(tmp_path / "run")) as trainer:
        assert isinstance(trainer.task, ClassifyTask)
        assert trainer.task.labels == ["bad", "good"]


def test_folder_that_was_there_stays_if_the_run_is_refused(reverse_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match=r"training.warmup 1000"):
        fit(parse_recipe(changed(REVERSE, {"training.warmup": 1000}), "toy.toml"), reverse_data,
            RunFolder(tmp_path / "run"), resume=False)  # fmt: skip
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_doubtful_rows_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["good\tfine"] * 70 + ["bad\tpoor"] * 50 + ["ugly\tfine poor"] + ["good\t" + "fine " * 20] * 10
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    (tmp_path / "valid.tsv").write_text("good\tfine\n")
    table = changed(REVERSE, {**TO_CLASSIFY, "training.epochs": 3, "training.updates": 2, "training.warmup": 1})
    fit(parse_recipe(table, "toy.toml"), tmp_path, RunFolder(tmp_path / "run"), resume=False)
    said = capsys.readouterr().err
    assert (
        "warning: 10 of 131 rows (7.6%) are longer than data.max_length, 16 words, and not trained on: raise "
        "data.max_length; the model reads 20"
    ) in said
    assert "warning: 1 of 3 labels are rare, such as 'ugly' with 1 of 131 rows; expect them to be mistaken" in said
    assert "epoch 1/1" in said
    assert "epoch 1/3" not in said
