"""Runs that start with the weights of another run, and what they cannot start from."""

from pathlib import Path

import pytest
import torch

from tests.conftest import write_rows
from tests.training.toys import CPU, REVERSE, changed, losses, reverse
from training.config import RecipeError, parse_recipe
from training.data.corpus import CorpusError
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder
from training.tasks import TranslateTask
from training.trainer import fit


def test_initialised_run_starts_with_the_weights_of_the_other(
    reverse_data: Path, reverse_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    fit(reverse(epochs=1, learning_rate=1e-9), reverse_data, run, resume=False, start=reverse_run)
    assert losses(run)[0] < losses(reverse_run)[0] - 0.5
    assert (run.path / "tokenizer.json").read_bytes() == (reverse_run.path / "tokenizer.json").read_bytes()
    before, after = (dict(one.open(CPU)[1].named_parameters()) for one in (reverse_run, run))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_vocabulary_of_start_run_is_kept(reverse_data: Path, reverse_run: RunFolder, tmp_path: Path) -> None:
    write_rows(tmp_path / "train.tsv", [(f"1 {word} 2", f"2 {word} 1") for word in ("a", "b", "c", "d")] * 3)
    write_rows(tmp_path / "valid.tsv", [("1 2", "2 1")])
    run = RunFolder(tmp_path / "run")
    recipe = parse_recipe(
        changed(REVERSE, {"model.dropout": 0.3, "training.epochs": 1, "training.warmup": 1}), "a.toml"
    )
    fit(recipe, tmp_path, run, resume=False, start=reverse_run)
    assert (run.path / "tokenizer.json").read_bytes() == (reverse_run.path / "tokenizer.json").read_bytes()
    fit(recipe, tmp_path, run, resume=True)  # without the run it started from


def test_start_run_with_another_model_is_rejected(reverse_data: Path, reverse_run: RunFolder, tmp_path: Path) -> None:
    other = changed(REVERSE, {"model.width": 32, "tokenizer.vocabulary": 13, "data.directions": ["back-forth"]})
    with pytest.raises(RecipeError, match="differing in data.directions, tokenizer.vocabulary, model.width; copy"):
        fit(parse_recipe(other, "a.toml"), reverse_data, RunFolder(tmp_path / "run"), resume=False, start=reverse_run)
    assert not (tmp_path / "run").exists()


def test_start_folder_without_a_run_is_rejected(reverse_data: Path, reverse_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"empty: not a run folder"):
        fit(reverse(), reverse_data, RunFolder(tmp_path / "run"), resume=False, start=RunFolder(tmp_path / "empty"))
    broken = RunFolder(tmp_path / "broken")
    broken.save_recipe(reverse_run.recipe())
    (broken.path / "tokenizer.json").write_bytes((reverse_run.path / "tokenizer.json").read_bytes())
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        fit(reverse(), reverse_data, RunFolder(tmp_path / "run"), resume=False, start=broken)


def test_placeholder_tokens_are_added_to_the_vocabulary_of_the_start_run(tmp_path: Path) -> None:
    rows = [(f"see {word} there", f"schau {word} dort") for word in ("tom", "ann", "bob", "eve")] * 8
    write_rows(tmp_path / "train.tsv", rows)
    write_rows(tmp_path / "valid.tsv", rows[:2])
    table = changed(
        REVERSE, {"tokenizer": {"kind": "bpe", "vocabulary": 270}, "training.epochs": 1, "training.warmup": 1}
    )
    start, run, third = (RunFolder(tmp_path / name) for name in ("start", "run", "third"))
    fit(parse_recipe(table, "a.toml"), tmp_path, start, resume=False)
    more = changed(table, {"tokenizer.placeholders": 8, "augment": {"placeholders": 0.5}})
    still = parse_recipe(changed(more, {"training.learning_rate": 1e-9}), "a.toml")
    fit(still, tmp_path, run, resume=False, start=start)
    (before, old), (after, new) = start.open(CPU), run.open(CPU)
    assert isinstance(before, TranslateTask)
    assert isinstance(after, TranslateTask)
    size = before.codec.target.get_vocab_size()
    assert after.codec.target.get_vocab_size() == size + 9
    assert after.translate(new, ["see tom there"], "back", CPU) == before.translate(old, ["see tom there"], "back", CPU)
    short, grown = (one.get_parameter("embedding.token.weight") for one in (old, new))
    assert torch.allclose(grown[:size], short, atol=1e-6)
    assert 0 < grown[size:].std() < 2 * short.std()
    fit(still, tmp_path, third, resume=False, start=run)
    assert (third.path / "tokenizer.json").read_bytes() == (run.path / "tokenizer.json").read_bytes()
    fewer = parse_recipe(changed(more, {"tokenizer.placeholders": 4}), "a.toml")
    with pytest.raises(RecipeError, match=r"run has tokenizer.placeholders 8, this recipe 4; only a run without any"):
        fit(fewer, tmp_path, RunFolder(tmp_path / "fourth"), resume=False, start=run)


def test_labels_of_start_run_are_kept_and_unknown_ones_rejected(
    toy_classification_run: RunFolder, tmp_path: Path
) -> None:
    recipe = toy_classification_run.recipe()
    rows = [row for i in range(80) for row in (("warm", f"red red {i}"), ("cold", f"blue sky {i}"))]
    write_rows(tmp_path / "train.tsv", rows)
    run = RunFolder(tmp_path / "run")
    fit(recipe, tmp_path, run, resume=False, start=toy_classification_run)
    assert (run.path / "labels.json").read_bytes() == (toy_classification_run.path / "labels.json").read_bytes()
    write_rows(tmp_path / "train.tsv", [*rows, ("lukewarm", "pink")])
    with pytest.raises(CorpusError, match="1 label .* not in the training data .*: lukewarm;"):
        fit(recipe, tmp_path, RunFolder(tmp_path / "other"), resume=False, start=toy_classification_run)
