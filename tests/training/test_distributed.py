"""Two processes under torchrun train like one process that accumulates twice as many batches."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.run import get_args_parser

import training
from tests.training.toys import REVERSE, changed, history, losses
from training.__main__ import parser
from training.config import RecipeError, load_recipe, parse_recipe
from training.runs import checkpoint
from training.runs.run import RunFolder
from training.trainer import fit

ROOT = Path(training.__file__).parent.parent
SHARED = {"model.dropout": 0.0, "training.batch_tokens": 64}  # no dropout: processes draw different masks
# A softmax ignores what all its scores share, so the true gradient of a bias of keys is zero; the optimiser scales the
# rounding error that is left up to a whole step, which differs with the order of a sum, and so from machine to machine.
WIDTH: int = REVERSE["model"]["width"]
HALF = WIDTH // 2  # one head of keys for two heads of queries
PARTS_BUT_KEYS = {"query_key_value": [slice(0, WIDTH), slice(WIDTH + HALF, None)], "key_value": [slice(HALF, None)]}
# Only process 1 gets the signal, in the last update. Without agreement, process 0 would validate and wait for it.
STOPPED = """
import os, signal, sys
from torch.nn.modules.module import register_module_forward_pre_hook
from training.__main__ import main
from training.loss import TrainingLoss

updates = 0

def stop(module, _):
    global updates
    updates += isinstance(module, TrainingLoss)
    if updates == 15 and os.environ["RANK"] == "1":
        signal.raise_signal(signal.SIGTERM)

register_module_forward_pre_hook(stop)
sys.exit(main() != 1)
"""


def torchrun(*words: object) -> str:
    """Run two processes successfully and return their standard error."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            _, errors = running.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            running.terminate()  # torchrun ends its processes, which a kill would leave behind
            _, errors = running.communicate()
    assert running.returncode == 0, errors
    return errors


def toml(table: dict[str, Any]) -> str:
    """Return a recipe's table as TOML, which writes strings, numbers and lists as JSON does."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, section in table.items():
        if isinstance(section, dict):
            plain += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(plain)


@pytest.fixture(scope="module")
def alone(reverse_data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of one process that accumulates two micro-batches."""
    run = RunFolder(tmp_path_factory.mktemp("alone"))
    recipe = parse_recipe(changed(REVERSE, {**SHARED, "training.accumulate": 2}), "alone.toml")
    fit(recipe, reverse_data, run, resume=False)
    return run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe of two processes."""
    (tmp_path / "shared.toml").write_text(toml(changed(REVERSE, SHARED)))
    return tmp_path / "shared.toml"


def assert_same_training(run: RunFolder, other: RunFolder) -> None:
    assert losses(run) == pytest.approx(losses(other), rel=1e-4)
    rates = [[r["learning_rate"] for r in history(either) if "loss" in r] for either in (run, other)]
    assert rates[0] == rates[1]
    weights = [checkpoint.read(either.checkpoint("last"))[0] for either in (run, other)]
    for name, tensor in weights[0].items():
        compared = [*PARTS_BUT_KEYS.get(name.split(".")[-2], [slice(None)])] if tensor.dim() == 1 else [...]
        for part in compared:
            torch.testing.assert_close(tensor[part], weights[1][name][part], rtol=1e-3, atol=1e-4)


def test_two_processes_equal_one_that_accumulates(
    recipe: Path, reverse_data: Path, tmp_path: Path, alone: RunFolder
) -> None:
    torchrun("-m", "training", "fit", recipe, "--data", reverse_data, "--run-folder", tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert_same_training(run, alone)
    assert json.loads(run.report.read_text())["updates"] == json.loads(alone.report.read_text())["updates"]


def test_no_option_of_fit_abbreviates_one_of_torchrun() -> None:
    """torchrun reads `--run X` as its own `--run-path` or refuses it as ambiguous, even behind the module's name."""
    with pytest.raises(SystemExit) as help_printed, contextlib.redirect_stdout(io.StringIO()) as output:
        parser().parse_args(["fit", "--help"])
    assert help_printed.value.code == 0
    options = set(re.findall(r"--[a-z-]+", output.getvalue())) - {"--help"}
    of_tables = {"--minutes", "--text-column", "--label-column", "--label-separator"}
    assert options == {"--run-folder", "--resume", "--initialise-from", "--data"} | of_tables
    for option in options:
        arguments = get_args_parser().parse_args(["-m", "training", "fit", "recipe.toml", option, "value"])
        assert arguments.training_script_args == ["fit", "recipe.toml", option, "value"]


def test_processes_stop_after_the_same_update(
    recipe: Path, reverse_data: Path, tmp_path: Path, alone: RunFolder
) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED)
    errors = torchrun(tmp_path / "stopped.py", "fit", recipe, "--data", reverse_data, "--run-folder", tmp_path / "run")
    assert errors.count("error: stopped at update 15; add --resume (with make: RESUME=1) to continue") == 2
    assert_same_training(RunFolder(tmp_path / "run"), alone)
    with pytest.raises(RecipeError, match="was trained by 2 processes .* with 1; resume it with 2"):
        fit(load_recipe(recipe), reverse_data, RunFolder(tmp_path / "run"), resume=True)
