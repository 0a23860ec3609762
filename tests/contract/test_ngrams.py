"""An n-gram classifier from recipe to results: it learns, its artifact agrees with it, batches do not matter."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checks.local_engine import run_requests
from export.import_artifact import ensure_run
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from tests.contract.test_invariance import check
from training.config import parse_recipe, recipe_table
from training.metrics import class_probabilities
from training.runs.run import RunFolder
from training.tasks import ClassifyTask
from training.trainer import fit

CPU = torch.device("cpu")
TEXTS = ["red", "  blue  grey ", "", "GREY blue orange", "x", "orange " * 30]


@pytest.fixture(scope="module")
def run(toy_classification_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An n-gram classifier over characters, trained on the toy classifier's corpus."""
    table = recipe_table(toy_classification_run.recipe())
    table |= {
        "name": "toy-ngrams",
        "tokenizer": {"kind": "character", "vocabulary": 22, "lowercase": True, "min_frequency": 1},
        "model": {"architecture": "ngrams", "order": 4, "buckets": 2000, "width": 16, "max_source_length": 2000},
    }
    table["data"] |= {"max_length": 200}
    table["training"] |= {"epochs": 6, "learning_rate": 0.05}
    data = shutil.copytree(toy_classification_run.path.parent, tmp_path_factory.mktemp("ngrams") / "data")
    run = RunFolder(data / "ngrams")
    fit(parse_recipe(table, "toy-ngrams.toml"), data, run, resume=False)
    return run


@pytest.fixture(scope="module", params=["fp32", "int8"])
def artifact(
    request: pytest.FixtureRequest,
    run: RunFolder,
    export_toy_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    options = {"int8": True, "bound": 100} if request.param == "int8" else {}
    return export_toy_run(run, tmp_path_factory.mktemp("a") / f"ngrams-{request.param}", **options)


def test_trained_classifier_labels_its_colours(run: RunFolder) -> None:
    task, model = run.open(CPU)
    rows = [("warm", "orange red"), ("cold", "blue")]
    assert isinstance(task, ClassifyTask)
    expected = [task.labels.index(label) for label, _ in rows]
    assert model(*padded(task.source_ids([text for _, text in rows]))).argmax(-1).tolist() == expected


def padded(sources: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.tensor(ids) for ids in sources]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(ids) for ids in sources])


def test_engine_gives_the_probabilities_of_the_model(run: RunFolder, artifact: Path) -> None:
    task, model = run.open(CPU)
    sources = task.source_ids(TEXTS)  # type: ignore[call-arg]
    opened = read_artifact(artifact)
    engine = ClassifyEngine(opened, Session(opened.graph("classify"), threads=1))
    results = run_requests([engine], [EngineRequest(ids) for ids in sources])
    found = np.array([result.probabilities for result in results])
    near = 1e-5 if opened.manifest.precision == "fp32" else 0.05
    assert np.abs(found - class_probabilities(model, sources, CPU)).max() < near


def test_results_do_not_depend_on_the_batch(artifact: Path) -> None:
    check(read_artifact(artifact), 24)


def test_table_is_stored_in_the_artifacts_precision_and_imported(
    run: RunFolder, artifact: Path, tmp_path: Path
) -> None:
    weights = dict(run.open(CPU)[1].named_parameters())
    restored = dict(RunFolder(ensure_run(artifact, tmp_path / "run")).open(CPU)[1].named_parameters())
    table = weights["table.weight"]
    exact = read_artifact(artifact).manifest.precision == "fp32"
    assert (artifact / "weights.bin").stat().st_size < table.numel() * (4.1 if exact else 1.1) + 4000
    lost = (restored["table.weight"] - table).square().mean()
    assert lost <= (0 if exact else table.square().mean() / 1000)
