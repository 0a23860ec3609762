"""Engines with real graphs in a worker: recurrent state, recovery from a failed step; separate tokenizers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact import Artifact, read_artifact
from service.engine.decoding.beam import BeamGroup
from service.engine.device import CPU, Device
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Queue
from service.engine.types import EngineFailure, EngineRequest, EngineResult
from service.engine.worker import Engine, LocalWorkerPool
from service.text.tokenizer import TextCodec
from tests.service.engine.decoding.language_models import EOS, MAX_LENGTH, answers, decode
from tests.service.engine.devices import DEVICE_NAMES, DEVICES, RESIDENT
from tests.service.engine.models.recurrent_artifacts import DecayingMemoryModel, countdown_artifact
from tests.service.fakes import TIMEOUT, Failing, RecordingObserver


def serve(engine: Engine, requests: list[EngineRequest], rows: int = 4) -> list[EngineRequest]:
    """Run an engine until all requests are done; return the requests."""
    worker_pool = LocalWorkerPool("test", [engine], Queue(QueueLimits(rows=rows)), RecordingObserver())
    worker_pool.start()
    worker_pool.queue.submit(requests)
    assert worker_pool.drain(TIMEOUT)
    return requests


def translator(artifact: Artifact, rows: int, device: Device = CPU) -> TranslateEngine:
    return TranslateEngine(TranslateGraphs.load(artifact, threads=1, device=device), rows)


on_every_device = pytest.mark.parametrize("device", DEVICES, ids=DEVICE_NAMES)


@on_every_device
def test_recurrent_model_runs_in_the_same_scheduler(toy_translator: Path, tmp_path: Path, device: Device) -> None:
    engine = translator(countdown_artifact(tmp_path, read_artifact(toy_translator).manifest), 3, device)
    lengths = [5, 1, 9, 3, 3, 12, 2, 7]
    requests = serve(engine, [EngineRequest([4] * n, DecodingOptions(max_length=40)) for n in lengths], rows=3)
    assert [request.future.result().ids for request in requests] == [[1] * (n - 1) for n in lengths]


@on_every_device
def test_recurrent_state_follows_the_hypotheses_of_a_beam(toy_translator: Path, tmp_path: Path, device: Device) -> None:
    """Beams of several sizes join and finish: each finds the same as a search without state."""
    memory, manifest = DecayingMemoryModel(), read_artifact(toy_translator).manifest
    sources = [[first, EOS] for first in range(4, 20)]
    options = [DecodingOptions(2 + i, beam_size=1 + i % 4, n_best=1 + i % 4, log_probabilities=True) for i in range(16)]
    requests = [EngineRequest(ids, one) for ids, one in zip(sources, options, strict=True)]
    serve(translator(memory.artifact(tmp_path, manifest), 9, device), requests, rows=9)
    for request in requests:

        def model(written: list[int], source: list[int] = request.ids) -> np.ndarray:
            return memory.logits(source, [manifest.special_tokens.bos, *written])

        [expected] = answers(decode(BeamGroup(request.options.beam_size, EOS, MAX_LENGTH), [model], [request.options]))
        found = request.future.result()
        assert [h.ids for h in found.hypotheses] == [h.ids for h in expected.hypotheses]
        assert found.hypotheses[0].score == pytest.approx(expected.hypotheses[0].score, abs=1e-4)


def fail_once(engine: Any) -> Any:
    """Let the first step of an engine fail after its rows have joined."""
    step, failure = engine.step, Failing(1)

    def failing() -> Any:
        failure()
        return step()

    engine.step = failing
    return engine


@pytest.mark.parametrize(
    ("artifact", "build"),
    [
        ("toy_translator", lambda a: translator(a, rows=4)),
        ("toy_translator", lambda a: translator(a, 4, RESIDENT)),
        ("toy_classifier", lambda a: ClassifyEngine(a, Session(a.graph("classify"), threads=1))),
    ],
)
def test_failed_step_leaves_no_state_behind(
    artifact: str, build: Callable[[Artifact], Engine], request: pytest.FixtureRequest
) -> None:
    checked = read_artifact(request.getfixturevalue(artifact))

    def requests() -> list[EngineRequest]:
        return [EngineRequest([5, 20 + n, 30, 3], DecodingOptions(max_length=6)) for n in range(9)]

    def outcome(answer: EngineResult) -> tuple[list[int], list[float]]:
        return answer.ids, answer.probabilities

    undisturbed = serve(build(checked), requests())
    disturbed = serve(fail_once(build(checked)), requests())
    failed = [isinstance(request.future.exception(), EngineFailure) for request in disturbed]
    assert 1 <= sum(failed) <= 4
    for one, other in zip(undisturbed[sum(failed) :], disturbed[sum(failed) :], strict=True):
        assert outcome(other.future.result()) == outcome(one.future.result())


def test_codec_with_separate_tokenizers(toy_translator: Path, toy_classifier: Path, tmp_path: Path) -> None:
    manifest, file = read_artifact(toy_translator).manifest, tmp_path / "tokenizer.json"
    source, target = (json.loads((a / "tokenizer.json").read_text("utf-8")) for a in (toy_classifier, toy_translator))
    file.write_text(json.dumps({"source": source, "target": target}), "utf-8")
    both = TextCodec(file, manifest)
    reading, writing = (TextCodec(a / "tokenizer.json", manifest) for a in (toy_classifier, toy_translator))
    assert both.encode(["red house"], [7], append_eos=True) == reading.encode(["red house"], [7], append_eos=True)
    ids = writing.encode(["rot Haus"], [], append_eos=True)
    assert both.decode(ids) == writing.decode(ids) == ["rot Haus"]
