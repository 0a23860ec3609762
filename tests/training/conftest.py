"""Corpora and runs that several tests of this room share; none of them writes into a shared one."""

from pathlib import Path

import pytest

from tests.training.toys import changed, reverse, write_reverse
from training.config import parse_recipe, recipe_table
from training.loop import fit
from training.run import RunFolder


@pytest.fixture(scope="session")
def reverse_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the corpus of the toy recipe."""
    folder = tmp_path_factory.mktemp("reverse")
    write_reverse(folder)
    return folder


@pytest.fixture(scope="session")
def reverse_run(reverse_data: Path) -> RunFolder:
    """The toy recipe trained without interruption."""
    run = RunFolder(reverse_data / "run")
    fit(reverse(), reverse_data, run, resume=False)
    return run


@pytest.fixture(scope="session")
def toy_recurrent_run(toy_translation_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The toy translator once more, on the same corpus: an LSTM with attention."""
    model = {
        "architecture": "lstm", "attention": "additive", "width": 32, "encoder_layers": 1, "decoder_layers": 1,
        "dropout": 0.0, "max_source_length": 48, "max_target_length": 40,
    }  # fmt: skip
    slower = {"training.learning_rate": 0.006, "training.warmup": 60, "training.epochs": 24}
    table = changed(recipe_table(toy_translation_run.recipe()), {"model": model, "name": "toy-recurrent", **slower})
    run = RunFolder(tmp_path_factory.mktemp("toy-recurrent") / "run")
    fit(parse_recipe(table, "toy-recurrent.toml"), toy_translation_run.path.parent, run, resume=False)
    return run
