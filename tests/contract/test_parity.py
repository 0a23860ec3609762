"""Decoding without a cache, with a cache, by ONNX graphs and by the service agrees: in logits, in ids, in text."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from export.checks.local_engine import run_requests
from service.app import create_app
from service.artifact import read_artifact
from service.engine.decoding.search import Logits
from service.engine.factory import start_pools
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.source import pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.options import default_target_length
from service.settings import Settings
from training import metrics
from training.data.tokenizer import BOS, EOS, PAD
from training.decoding.greedy import default_target_length as trained_target_length
from training.decoding.greedy import greedy
from training.models.transformer import Transformer
from training.runs.run import RunFolder
from training.tasks import TranslateTask

CPU = torch.device("cpu")
TEXTS = ["one red dog", "two green bird house", "three", "four five one two", "house house", "dog red", "five"]


def engine_of(artifact: Path, rows: int) -> TranslateEngine:
    return TranslateEngine(TranslateGraphs.load(read_artifact(artifact), threads=1), rows)


class RecordingEngine(TranslateEngine):
    """Keeps the logits (B, V) of the last step."""

    def __init__(self, artifact: Path, rows: int) -> None:
        super().__init__(TranslateGraphs.load(read_artifact(artifact), threads=1), rows)
        self.logits = np.empty(0)

    def forward(self) -> Logits:
        found = super().forward()
        self.logits = found.all().copy()
        return found


def test_service_and_evaluation_agree_on_the_default_target_length() -> None:
    lengths = [(tokens, limit) for tokens in (1, 7, 50, 200) for limit in (16, 128)]
    assert [default_target_length(*pair) for pair in lengths] == [trained_target_length(*pair) for pair in lengths]


def test_logits_agree_at_every_step(toy_translation_run: RunFolder, toy_translator: Path) -> None:
    task, model = toy_translation_run.open(CPU)
    engine = engine_of(toy_translator, rows=16)
    assert isinstance(task, TranslateTask)
    assert isinstance(model, Transformer)
    sources = task.source_ids(TEXTS, "b")
    target = np.random.default_rng(1).integers(4, 300, size=(len(sources), 39))  # any ids will do, up to the limit
    arrays = {name: torch.from_numpy(array) for name, array in pad(sources, PAD).items()}
    shifted = torch.from_numpy(np.concatenate([np.full((len(sources), 1), BOS), target], axis=1))
    engine.join([EngineRequest(ids) for ids in sources])
    with torch.inference_mode():
        uncached = model(arrays["source"], arrays["source_length"].long(), shifted).numpy()  # (B, T, V)
        state = model.encode(arrays["source"], arrays["source_length"].long())
        for position in range(shifted.size(1)):
            cached, state = model.step(shifted[:, position], state)
            engine.token[: len(sources)], engine.position[: len(sources)] = shifted[:, position].numpy(), position
            onnx = engine.forward().all()
            np.testing.assert_allclose(cached.numpy(), uncached[:, position], atol=1e-4)
            np.testing.assert_allclose(onnx, uncached[:, position], atol=1e-4)


def test_rows_at_different_positions_share_a_step(toy_translation_run: RunFolder, toy_translator: Path) -> None:
    """A new row beside a row in mid-sentence: each gets the same logits as alone, bit for bit."""
    task, _ = toy_translation_run.open(CPU)
    old, new = task.source_ids(["four five one two", "dog red"], "b")  # type: ignore[call-arg]
    engine, options = RecordingEngine(toy_translator, rows=4), DecodingOptions(max_length=40)

    def alone(ids: list[int], steps: int) -> np.ndarray:
        engine.clear()
        engine.join([EngineRequest(ids, options)])
        for _ in range(steps):
            engine.step()
        logits: np.ndarray = engine.logits[0]
        return logits

    expected = alone(old, 4), alone(new, 1)
    engine.clear()
    engine.join([EngineRequest(old, options)])
    for _ in range(3):
        engine.step()
    engine.join([EngineRequest(new, options)])
    engine.step()
    np.testing.assert_array_equal(engine.logits[0], expected[0])
    np.testing.assert_array_equal(engine.logits[1], expected[1])


@pytest.mark.parametrize("target", ["a", "b"])
def test_ids_and_text_agree_from_torch_to_http(
    toy_translation_run: RunFolder, toy_translator: Path, toy_models: Path, target: str
) -> None:
    task, model = toy_translation_run.open(CPU)
    sources = task.source_ids(TEXTS, target)  # type: ignore[call-arg]
    expected = greedy(model, sources, CPU)
    limits = [default_target_length(len(ids), model.config.max_target_length) for ids in sources]  # type: ignore
    requests = [
        EngineRequest(ids, DecodingOptions(max_length=limit)) for ids, limit in zip(sources, limits, strict=True)
    ]
    engine = engine_of(toy_translator, rows=4)
    assert [result.ids for result in run_requests([engine], requests, rows=4)] == expected
    assert all(ids[-1] == EOS for ids in sources)
    assert asyncio.run(over_http(toy_models, TEXTS, target)) == task.codec.text(expected)


async def over_http(models: Path, texts: list[str], target: str) -> list[str]:
    metrics, settings = Metrics(), Settings(models=models, threads=1)
    app = create_app(settings, load_models(settings, metrics, start_pools), metrics)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        response = await client.post("/v1/translate", json={"text": texts, "target": target})
    assert response.status_code == 200, response.text
    return [translation["text"] for translation in response.json()["translations"]]


def test_probabilities_of_model_and_engine_agree(toy_classification_run: RunFolder, toy_classifier: Path) -> None:
    task, model = toy_classification_run.open(CPU)
    sources = task.source_ids(["red", "blue cyan", "grey", "red blue yellow black grey cyan orange"])  # type: ignore
    artifact = read_artifact(toy_classifier)
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), threads=1))
    results = run_requests([engine], [EngineRequest(ids) for ids in sources])
    expected = metrics.class_probabilities(model, sources, CPU)
    np.testing.assert_allclose([result.probabilities for result in results], expected, atol=1e-5)
