"""An imported run has the weights of its artifact: exact from fp32, rounded from int8."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import export
from export.import_artifact import ensure_run, main
from service.artifact import ArtifactError
from training.config import AugmentConfig, parse_recipe, recipe_table
from training.runs.run import RunFolder
from training.trainer import fit

RUNS = {"translator": "toy_translation_run", "classifier": "toy_classification_run"}


def parameters(run: Path) -> dict[str, nn.Parameter]:
    return dict(RunFolder(run).open(torch.device("cpu"))[1].named_parameters())


@pytest.mark.parametrize("name", RUNS)
def test_weights_imported_from_fp32_are_the_trained_ones(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    trained: RunFolder = request.getfixturevalue(RUNS[name])
    rebuilt = parameters(ensure_run(request.getfixturevalue(f"toy_{name}"), tmp_path / "run"))
    for key, weight in parameters(trained.path).items():
        assert torch.equal(weight, rebuilt[key]), key


@pytest.mark.parametrize("name", RUNS)
def test_weights_imported_from_int8_are_rounded(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    trained: RunFolder = request.getfixturevalue(RUNS[name])
    rebuilt = parameters(ensure_run(request.getfixturevalue(f"toy_{name}_int8"), tmp_path / "run"))
    for key, weight in parameters(trained.path).items():
        assert (weight - rebuilt[key]).abs().max() <= weight.abs().max() / 10, key
        assert (weight - rebuilt[key]).square().mean() <= weight.square().mean() / 1000, key


def test_artifact_of_an_earlier_version_is_read_with_its_old_recipe_keys(toy_classifier: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_classifier, tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "manifest.json").read_text())
    manifest["provenance"]["recipe"]["augment"] = {"cut": 0.25, "ended": 0.0, "copied": 0.0, "joined": 0.0}
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest))
    run = ensure_run(tmp_path / "old", tmp_path / "run")
    assert RunFolder(run).recipe().augment == AugmentConfig(word_crop=0.25)
    RunFolder(run).open(torch.device("cpu"))


@pytest.mark.parametrize("name", ["intents", "langid", "translate-en-de-fr-es"])
def test_shipped_artifact_becomes_a_run(name: str, tmp_path: Path) -> None:
    run = ensure_run(Path(export.__file__).parent.parent / "models" / name, tmp_path / "run")
    assert RunFolder(run).recipe().name == name
    assert parameters(run)


def test_existing_run_is_not_changed(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    assert ensure_run(tmp_path / "no artifact", toy_classification_run.path) == toy_classification_run.path
    with pytest.raises(ArtifactError, match="not an artifact"):
        ensure_run(tmp_path / "no artifact", tmp_path / "run")


def test_training_starts_from_an_imported_artifact(
    toy_translation_run: RunFolder, toy_translator_int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like the commands: import, then fit with --initialise-from."""
    data, imported = toy_translation_run.path.parent, tmp_path / "imported"
    monkeypatch.setattr("sys.argv", ["import_artifact", str(toy_translator_int8), str(imported)])
    assert main() == 0
    assert main() == 1  # the run exists now
    table = recipe_table(toy_translation_run.recipe())
    table["training"] |= {"epochs": 1, "learning_rate": 1e-9, "warmup": 1, "validate_every": 1}
    run = tmp_path / "run"
    fit(parse_recipe(table, "toy.toml"), data, RunFolder(run), resume=False, start=RunFolder(imported))
    reports = [json.loads(one.report.read_text())["valid"] for one in (toy_translation_run, RunFolder(run))]
    first, again = ([part["bleu"] for part in report.values()] for report in reports)
    assert again == pytest.approx(first, abs=3)


def test_folder_that_is_not_an_artifact_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["import_artifact", str(tmp_path / "nothing"), str(tmp_path / "run")])
    assert main() == 1
    assert "not an artifact" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
