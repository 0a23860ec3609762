"""A run folder from an artifact has the weights that the artifact was exported from, as exactly as it holds them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.peers.rebuilt import run_of
from service.artifact import ArtifactError
from training.run import RunFolder

RUNS = {"translator": "toy_translation_run", "classifier": "toy_classification_run"}


def parameters(run: Path) -> dict[str, nn.Parameter]:
    return dict(RunFolder(run).open(torch.device("cpu"))[1].named_parameters())


@pytest.mark.parametrize("name", RUNS)
def test_fp32_weights_are_the_trained_ones(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    trained: RunFolder = request.getfixturevalue(RUNS[name])
    rebuilt = parameters(run_of(request.getfixturevalue(f"toy_{name}"), tmp_path / "run"))
    for key, weight in parameters(trained.path).items():
        assert torch.equal(weight, rebuilt[key]), key


@pytest.mark.parametrize("name", RUNS)
def test_int8_weights_are_the_trained_ones_rounded(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    trained: RunFolder = request.getfixturevalue(RUNS[name])
    rebuilt = parameters(run_of(request.getfixturevalue(f"toy_{name}_int8"), tmp_path / "run"))
    for key, weight in parameters(trained.path).items():
        assert (weight - rebuilt[key]).abs().max() <= weight.abs().max() / 10, key
        assert (weight - rebuilt[key]).square().mean() <= weight.square().mean() / 1000, key


def test_a_run_that_is_there_is_left_alone(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    assert run_of(tmp_path / "no artifact", toy_classification_run.path) == toy_classification_run.path
    with pytest.raises(ArtifactError, match="not an artifact"):
        run_of(tmp_path / "no artifact", tmp_path / "run")
