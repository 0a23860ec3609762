"""A bag of n-grams from its recipe to its answers: it learns, its artifact equals it, no neighbour changes it."""

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
from training.trainer import fit

CPU = torch.device("cpu")
TEXTS = ["red", "  blue  grey ", "", "GREY blue orange", "x", "orange " * 30]


@pytest.fixture(scope="module")
def run(toy_classification_run: RunFolder) -> RunFolder:
    """The toy classifier's corpus, by n-grams of characters."""
    table = recipe_table(toy_classification_run.recipe())
    table |= {
        "name": "toy-ngrams",
        "tokenizer": {"kind": "character", "vocabulary": 22, "lowercase": True, "min_frequency": 1},
        "model": {"architecture": "ngrams", "order": 4, "buckets": 2000, "width": 16, "max_source_length": 2000},
    }
    table["data"] |= {"max_length": 200}  # type: ignore[operator]
    table["training"] |= {"epochs": 6, "learning_rate": 0.05}  # type: ignore[operator]
    data = toy_classification_run.path.parent
    made = RunFolder(data / "ngrams")
    fit(parse_recipe(table, "toy-ngrams.toml"), data, made, resume=False)
    return made


@pytest.fixture(scope="module", params=["fp32", "int8"])
def artifact(
    request: pytest.FixtureRequest,
    run: RunFolder,
    export_toy_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    options = {"int8": True, "bound": 100} if request.param == "int8" else {}
    return export_toy_run(run, tmp_path_factory.mktemp("a") / f"ngrams-{request.param}", **options)


def test_it_learns(run: RunFolder) -> None:
    task, model = run.open(CPU)
    rows = [("warm", "orange red"), ("cold", "blue")]
    assert model(*padded(task.source_ids([text for _, text in rows]))).argmax(-1).tolist() == [  # type: ignore[call-arg]
        task.labels.index(label)
        for label, _ in rows  # type: ignore[union-attr]
    ]


def padded(sources: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.tensor(ids) for ids in sources]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(ids) for ids in sources])


def test_the_service_answers_as_the_model_does(run: RunFolder, artifact: Path) -> None:
    task, model = run.open(CPU)
    sources = task.source_ids(TEXTS)  # type: ignore[call-arg]
    opened = read_artifact(artifact)
    engine = ClassifyEngine(opened, Session(opened.graph("classify"), threads=1))
    results = run_requests([engine], [EngineRequest(ids) for ids in sources])
    found = np.array([result.probabilities for result in results])
    near = 1e-5 if opened.manifest.precision == "fp32" else 0.05
    assert np.abs(found - class_probabilities(model, sources, CPU)).max() < near


def test_an_answer_does_not_depend_on_its_neighbours(artifact: Path) -> None:
    check(read_artifact(artifact), 24)


def test_the_table_is_in_the_artifacts_precision_and_comes_back(run: RunFolder, artifact: Path, tmp_path: Path) -> None:
    weights = dict(run.open(CPU)[1].named_parameters())
    restored = dict(RunFolder(ensure_run(artifact, tmp_path / "run")).open(CPU)[1].named_parameters())
    table = weights["table.weight"]
    exact = read_artifact(artifact).manifest.precision == "fp32"
    assert (artifact / "weights.bin").stat().st_size < table.numel() * (4.1 if exact else 1.1) + 4000
    lost = (restored["table.weight"] - table).square().mean()
    assert lost <= (0 if exact else table.square().mean() / 1000)
