"""Faulty artifacts beside good ones: the good ones are served, and every place says what is wrong with the others."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.artifact import ArtifactError
from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.registry import Registry
from service.settings import Settings
from tests.service.conftest import (
    CLASSIFY,
    TRANSLATE,
    Service,
    Start,
    assert_problem,
    corrupt,
    serving,
)
from tests.service.fakes import TIMEOUT

Load = Callable[..., Registry]
FAULTS = {
    "no-graph": "no-graph/classify.onnx: onnxruntime cannot load it",
    "no-tokenizer": "no-tokenizer/tokenizer.json: not a tokenizer file",
    "no-weights": "no-weights: weights.bin is missing",
    "notes": "notes: not an artifact (no manifest.json)",
    "twin": "twin: its name 'toy-classifier' and version '1' are also those of toy-classifier, which is served;",
    "wrong-ids": "wrong-ids: a trial request fails",
}


def change(artifact: Path, **changes: Any) -> Path:
    """Change members of a manifest."""
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    (artifact / "manifest.json").write_text(json.dumps(manifest | changes), "utf-8")
    return artifact


def copy(artifact: Path, to: Path) -> Path:
    """Copy an artifact, and name it like its folder."""
    return change(shutil.copytree(artifact, to), name=to.name)


@pytest.fixture(scope="module")
def mixed_models(toy_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with two good artifacts, and one for each of FAULTS."""
    models = shutil.copytree(toy_models, tmp_path_factory.mktemp("mixed") / "models")
    translator, classifier = models / "toy-translator", models / "toy-classifier"
    corrupt(copy(classifier, models / "no-graph"), "classify.onnx", b"not a graph")
    corrupt(copy(translator, models / "no-tokenizer"), "tokenizer.json", b"[]")
    (copy(translator, models / "no-weights") / "weights.bin").unlink()
    shutil.copytree(classifier, models / "twin")
    change(copy(translator, models / "wrong-ids"), special_tokens={"pad": 0, "unk": 1, "bos": 2, "eos": 1_000_000})
    (models / "notes").mkdir()
    (models / ".hidden").mkdir()
    (models / "readme.txt").write_text("hello", "utf-8")
    return models


@pytest.fixture(scope="module")
def mixed(mixed_models: Path) -> Iterator[Service]:
    """A service with the mixed models."""
    settings, metrics = Settings(models=mixed_models, workers=1, threads=1), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running


@pytest.fixture
def load() -> Iterator[Load]:
    """Return a function that loads the models of a folder; their workers stop when the test ends."""
    loaded: list[Registry] = []

    def load(models: Path, **settings: Any) -> Registry:
        loaded.append(load_models(Settings(models=models, workers=1, **settings), Metrics(), start_pools))
        return loaded[-1]

    yield load
    for registry in loaded:
        registry.drain(TIMEOUT)


def test_good_artifacts_are_served(mixed: Service) -> None:
    translation = mixed.post("/v1/translate", TRANSLATE).json()["translations"][0]["text"]
    assert translation == "rot Haus"
    assert mixed.post("/v1/classify", CLASSIFY).json()["results"][0]["labels"][0]["label"] == "warm"


def test_faulty_artifacts_are_listed_with_the_reason(mixed: Service) -> None:
    models = mixed.client.get("/v1/models").json()["models"]
    assert {model["name"]: model["state"] for model in models} == {
        "toy-classifier": "ready", "toy-translator": "ready", **dict.fromkeys(FAULTS, "faulty"),
    }  # fmt: skip
    for model in models[2:]:
        assert FAULTS[model["name"]] in model["reason"]
        assert str(mixed.settings.models) not in model["reason"]
    index = mixed.post("/v2/repository/index", {}).json()
    assert {one["name"]: one["state"] for one in index} == {
        "toy-classifier": "READY", "toy-translator": "READY", **dict.fromkeys(FAULTS, "UNAVAILABLE"),
    }  # fmt: skip
    assert mixed.post("/v2/repository/index", {"ready": True}).json() == index[:2]


def test_service_is_ready_and_names_the_faulty_artifacts(mixed: Service) -> None:
    response = mixed.client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "faulty": sorted(FAULTS)})
    assert mixed.client.get("/v2/health/ready").status_code == 200
    assert mixed.sample("faulty_artifacts") == len(FAULTS)


def test_request_that_names_a_faulty_model_gets_the_reason(mixed: Service) -> None:
    for path, body in (("/v1/translate", TRANSLATE), ("/v1/score", {**TRANSLATE, "translation": "rot Haus"})):
        problem = assert_problem(mixed.post(path, {**body, "model": "no-weights"}), 503, "faulty_model")
        assert problem["detail"] == "model 'no-weights' is not served: no-weights: weights.bin is missing"
    assert_problem(mixed.post("/v1/classify", {**CLASSIFY, "model": "no-graph"}), 503, "faulty_model")
    assert_problem(mixed.post("/v1/classify", {**CLASSIFY, "model": "no-such"}), 404, "unknown_model")
    for path in ("/v2/models/no-graph", "/v2/models/no-graph/ready"):
        response = mixed.client.get(path)
        assert response.status_code == 503
        assert "no-graph/classify.onnx" in response.json()["error"]


def test_direction_that_only_a_faulty_model_may_have_is_an_error_that_says_so(
    load: Load, tmp_path: Path, toy_models: Path
) -> None:
    shutil.copytree(toy_models / "toy-classifier", tmp_path / "toy-classifier")
    (copy(toy_models / "toy-translator", tmp_path / "en-de") / "manifest.json").write_text("{", "utf-8")
    with pytest.raises(Exception, match="no model translates en to de; faulty and not served, .*: en-de"):
        load(tmp_path).direct_step(None, "en", "de")


def test_strict_setting_makes_every_fault_an_error(load: Load, mixed_models: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        load(mixed_models, strict=True)
    *reasons, last = str(caught.value).splitlines()
    assert len(reasons) == len(FAULTS)
    for fault in FAULTS.values():
        assert fault in str(caught.value)
    assert last == f"{mixed_models}: 6 artifacts are faulty and ATTENDANT_STRICT is set"


def test_strict_setting_accepts_good_artifacts(load: Load, toy_models: Path) -> None:
    assert [model.name for model in load(toy_models, strict=True)] == ["toy-classifier", "toy-translator"]


def test_without_a_good_artifact_every_reason_is_an_error(load: Load, mixed_models: Path, tmp_path: Path) -> None:
    for name in ("no-graph", "no-weights", "notes"):
        shutil.copytree(mixed_models / name, tmp_path / name)
    with pytest.raises(ArtifactError) as caught:
        load(tmp_path)
    assert len(str(caught.value).splitlines()) == 4
    assert f"{tmp_path}: no artifact can be served" in str(caught.value)


@pytest.mark.parametrize("folders", [("a", "toy-classifier"), ("toy-classifier", "z")])
def test_of_two_artifacts_of_a_version_the_one_in_the_folder_of_their_name_is_served(
    load: Load, toy_models: Path, tmp_path: Path, folders: tuple[str, str]
) -> None:
    for folder in folders:
        shutil.copytree(toy_models / "toy-classifier", tmp_path / folder)
    registry = load(tmp_path)
    assert [model.artifact.path.name for model in registry] == ["toy-classifier"]
    assert [artifact.name for artifact in registry.faulty] == [name for name in folders if name != "toy-classifier"]


def test_faulty_default_classifier_is_no_error_at_start_but_for_requests(
    load: Load, toy_models: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_models / "toy-translator", tmp_path / "toy-translator")
    shutil.copytree(toy_models / "toy-classifier", tmp_path / "toy-classifier")
    (tmp_path / "toy-classifier" / "tokenizer.json").unlink()
    registry = load(tmp_path, classifier="toy-classifier")
    with pytest.raises(Exception, match=r"tokenizer\.json is missing"):
        registry.classifier(None)


def test_process_serves_the_good_artifacts_and_logs_the_others(start: Start, mixed_models: Path) -> None:
    service = start(models=mixed_models, workers=1)
    log = "".join(service.log)
    for fault in FAULTS.values():
        assert f"not served: {fault}" in log
    assert "Traceback" not in log
    assert service.stop() == 0
