"""RNN, GRU and LSTM artifacts in the same service as Transformers: parity, invariance, and all of them over HTTP."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import torch

from export import import_artifact, publish
from export.checks.local_engine import run_requests
from export.checks.parity import ParityError
from export.graphs import recurrent
from service.app import create_app
from service.artifact import read_artifact
from service.engine.factory import start_pools
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.source import pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.options import default_target_length
from service.settings import Settings
from tests.contract.test_invariance import check, check_scores, engines_of
from tests.contract.test_search import hypotheses, scores
from training.data.tokenizer import BOS, PAD
from training.decoding import beam as reference
from training.decoding.greedy import greedy
from training.metrics import class_probabilities
from training.models.recurrent import RecurrentTranslator
from training.runs.run import RunFolder

CPU = torch.device("cpu")
TEXTS = ["one red dog", "two green bird house", "three", "four five one two", "house house", "dog red", "five"]
COLOURS = ["red", "blue cyan", "grey", "red blue yellow black grey cyan orange"]
LENGTHS = {"max_source_length": 48, "max_target_length": 40}
TRANSLATORS: dict[str, dict[str, Any]] = {  # untrained; a trained LSTM with additive attention completes them
    "rnn": {"attention": "none", "bidirectional": False, "encoder_layers": 1, "decoder_layers": 2},
    "gru": {"attention": "multiplicative", "encoder_layers": 2, "decoder_layers": 1},
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "rnn": {"pooling": "mean"},
    "gru": {"pooling": "last", "bidirectional": False},
    "lstm": {"pooling": "last"},
}
Runs = Callable[[str, str], RunFolder]
Artifacts = Callable[..., Path]


@pytest.fixture(scope="module")
def run_of(untrained_run: Callable[..., RunFolder], toy_recurrent_run: RunFolder) -> Runs:
    """Return the run of a task and an architecture."""

    def run(task: str, architecture: str) -> RunFolder:
        if (task, architecture) == ("translate", "lstm"):
            return toy_recurrent_run
        shape = (TRANSLATORS if task == "translate" else CLASSIFIERS)[architecture]
        return untrained_run(task, {"architecture": architecture, "width": 32, **LENGTHS, **shape})

    return run


@pytest.fixture(scope="module")
def artifact_of(
    run_of: Runs, export_toy_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Artifacts:
    """Return the artifact of a task, an architecture and a precision; each is exported once, parity check included."""
    exported: dict[tuple[str, ...], Path] = {}

    def artifact(task: str, architecture: str, precision: str = "fp32") -> Path:
        key = task, architecture, precision
        if key not in exported:
            options = {"int8": True, "bound": 100} if precision == "int8" else {}
            exported[key] = export_toy_run(
                run_of(task, architecture), tmp_path_factory.mktemp("a") / "-".join(key), **options
            )
        return exported[key]

    return artifact


ARCHITECTURES = [*TRANSLATORS, "lstm"]
VARIANTS = [*((name, "fp32") for name in ARCHITECTURES), ("lstm", "int8")]


@pytest.mark.parametrize(("architecture", "states"), [
    ("rnn", {"hidden_0": "replaced", "hidden_1": "replaced"}),
    ("gru", {"hidden_0": "replaced", "feed": "replaced", "memory_key": "constant", "memory_value": "constant"}),
])  # fmt: skip
def test_states_of_a_row(architecture: str, states: dict[str, str], artifact_of: Artifacts) -> None:
    manifest = read_artifact(artifact_of("translate", architecture)).manifest
    assert {state.input: state.kind for state in manifest.state} == states
    found = {tensor.name for tensor in manifest.graphs["score"].outputs}
    assert found == {"log_probability"} | ({"cross_attention"} if "memory_key" in states else set())


@pytest.mark.parametrize(
    ("task", "architecture"),
    [*(("translate", name) for name in ARCHITECTURES), *(("classify", name) for name in CLASSIFIERS)],
)
def test_imported_run_has_the_weights_of_the_artifact(
    task: str, architecture: str, run_of: Runs, artifact_of: Artifacts, tmp_path: Path
) -> None:
    _, trained = run_of(task, architecture).open(CPU)
    _, rebuilt = RunFolder(import_artifact.ensure_run(artifact_of(task, architecture), tmp_path / "run")).open(CPU)
    for (name, weight), again in zip(trained.named_parameters(), rebuilt.parameters(), strict=True):
        assert torch.equal(weight, again), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("width", [1, 4])
def test_beam_search_agrees_with_the_reference(
    architecture: str, width: int, run_of: Runs, artifact_of: Artifacts
) -> None:
    """Rows of a beam copy each other's cells and share the constants that encode computed."""
    task, model = run_of("translate", architecture).open(CPU)
    sources = task.source_ids(TEXTS, "b")  # type: ignore[call-arg]
    expected = reference.beam_search(model, sources, CPU, reference.BeamOptions(width))
    limits = [default_target_length(len(ids), 40) for ids in sources]
    requests = [
        EngineRequest(ids, DecodingOptions(limit, beam_size=width, n_best=width, log_probabilities=True))
        for ids, limit in zip(sources, limits, strict=True)
    ]
    graphs = TranslateGraphs.load(read_artifact(artifact_of("translate", architecture)), threads=1)
    for answer, best in zip(run_requests([TranslateEngine(graphs, rows=9)], requests, rows=9), expected, strict=True):
        assert hypotheses(answer) == [(h.ids, h.finished) for h in best]
        assert scores(answer) == pytest.approx([h.score for h in best], abs=1e-4)


@pytest.mark.parametrize(("architecture", "precision"), VARIANTS)
def test_score_graph_agrees_with_the_steps(architecture: str, precision: str, artifact_of: Artifacts) -> None:
    """In int8 only approximately: an activation between two levels may be rounded either way."""
    near = 1e-4 if precision == "fp32" else 0.02
    artifact = read_artifact(artifact_of("translate", architecture, precision))
    (engine,) = engines_of(artifact)(1, 8)
    sources = [[5 + i, *range(20, 30 + 3 * i), 3] for i in range(6)]
    options = DecodingOptions(max_length=12, log_probabilities=True, early_stopping=True)
    requests = [EngineRequest(ids, options) for ids in sources]
    answers = [result.hypotheses[0] for result in run_requests([engine], requests)]
    pairs = [EngineRequest(ids, translation=h.ids) for ids, h in zip(sources, answers, strict=True)]
    scored = run_requests([ScoreEngine(artifact, Session(artifact.graph("score"), threads=1))], pairs)
    for one, other in zip(scored, answers, strict=True):
        count = len(other.ids)
        assert one.hypotheses[0].log_probabilities[:count] == pytest.approx(other.log_probabilities[:count], abs=near)


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_attention_of_score_is_that_of_the_model(architecture: str, run_of: Runs, artifact_of: Artifacts) -> None:
    task, model = run_of("translate", architecture).open(CPU)
    assert isinstance(model, RecurrentTranslator)
    inputs = pad(task.source_ids(TEXTS, "b"), PAD)  # type: ignore[call-arg]
    target = np.random.default_rng(1).integers(4, 300, size=(len(TEXTS), 9))
    target[:, 0] = BOS
    score = Session(read_artifact(artifact_of("translate", architecture)).graph("score"), threads=1)
    found = score.run(inputs | {"target": target, "label": target})["cross_attention"]
    seen: list[torch.Tensor] = []

    def look(state: Any) -> Any:
        def record(query: torch.Tensor) -> torch.Tensor:
            seen.append(model.attention_weights(query, state))
            return model.attend_source(state)(query)  # type: ignore[misc]

        return record

    with torch.inference_mode():
        state = model.encode(torch.from_numpy(inputs["source"]), torch.from_numpy(inputs["source_length"]).long())
        model.decode(torch.from_numpy(target), state, look(state))
    assert found.shape == (len(TEXTS), 1, 9, inputs["source"].shape[1])
    np.testing.assert_allclose(found[:, 0], torch.stack(seen, dim=1), atol=1e-5)


@pytest.mark.parametrize(("architecture", "precision"), VARIANTS)
def test_translations_do_not_depend_on_the_batch(architecture: str, precision: str, artifact_of: Artifacts) -> None:
    artifact = read_artifact(artifact_of("translate", architecture, precision))
    check(artifact, 100)
    check_scores(artifact, 60)


@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_classifier_agrees_with_the_model_and_does_not_depend_on_the_batch(
    architecture: str, run_of: Runs, artifact_of: Artifacts
) -> None:
    task, model = run_of("classify", architecture).open(CPU)
    artifact = read_artifact(artifact_of("classify", architecture))
    sources = task.source_ids(COLOURS)  # type: ignore[call-arg]
    answers = run_requests(engines_of(artifact)(1, 4), [EngineRequest(ids) for ids in sources])
    expected = class_probabilities(model, sources, CPU)
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, atol=1e-5)
    check(artifact, 100)


def test_int8_quantises_the_body_of_the_loop(artifact_of: Artifacts) -> None:
    artifact = artifact_of("translate", "lstm", "int8")
    score = onnx.load(artifact / "score.onnx", load_external_data=False).graph
    (loop,) = [node for node in score.node if node.op_type == "Scan"]
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    operators = [node.op_type for node in body.node]
    assert operators.count("MatMulIntegerToFloat") == 4  # the cell's two linear layers, the query, the merge
    assert "Gemm" not in operators


def test_gates_in_the_wrong_order_are_not_published(
    run_of: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recurrent.GATES, "gru", [0, 1, 2])
    run = run_of("classify", "gru")
    with pytest.raises(ParityError, match="probabilities differs from the trained model by"):
        publish.export_run(run, tmp_path / "artifact", run.path.parent, publish.ExportOptions(sentences=8))
    assert list(tmp_path.iterdir()) == []


def test_all_model_families_in_one_service_over_http(
    run_of: Runs, artifact_of: Artifacts, toy_translation_run: RunFolder, toy_translator: Path, tmp_path: Path
) -> None:
    """One process serves a Transformer and three recurrent models: each translates as when served alone, and
    trained ones translate like their torch models."""
    folders = {"toy-translator": toy_translator}
    folders |= {run_of("translate", name).recipe().name: artifact_of("translate", name) for name in ARCHITECTURES}
    for name, folder in folders.items():
        for models in (tmp_path / "all", tmp_path / name):
            shutil.copytree(folder, models / name)
    together = asyncio.run(over_http(tmp_path / "all", list(folders)))
    for name in folders:
        assert asyncio.run(over_http(tmp_path / name, [name])) == {name: together[name]}
    for run in (toy_translation_run, run_of("translate", "lstm")):
        task, model = run.open(CPU)
        expected = task.codec.text(greedy(model, task.source_ids(TEXTS, "b"), CPU))  # type: ignore[call-arg]
        assert together[task.recipe.name] == expected


async def over_http(models: Path, names: list[str]) -> dict[str, list[str]]:
    """Send every text to every model, one text per request and all requests at once."""
    metrics, settings = Metrics(), Settings(models=models, threads=1)
    app = create_app(settings, load_models(settings, metrics, start_pools), metrics)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):

        async def translate(name: str, text: str) -> str:
            # A streamed translation is not retried, even if that of an untrained model looks wrong.
            body = {"text": text, "source": "a", "target": "b", "model": name, "stream": True}
            response = await client.post("/v1/translate", json=body)
            assert response.status_code == 200, response.text
            (event,) = re.findall(r"^event: translation\ndata: (.*)$", response.text, re.MULTILINE)
            answer: str = json.loads(event)["text"]
            return answer

        answers = await asyncio.gather(*(translate(name, text) for text in TEXTS for name in names))
    return {name: list(answers[i :: len(names)]) for i, name in enumerate(names)}
