"""Logits that are not finite: an error for one request, and no change for the others in the batch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.artifact import read_artifact
from service.engine.decoding.search import Logits, NotANumber
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Queue
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import LocalWorkerPool
from tests.conftest import LEXICON
from tests.service.conftest import Service, assert_problem
from tests.service.engine.devices import DEVICE_NAMES, DEVICES
from tests.service.fakes import TIMEOUT, RecordingObserver

OPTIONS: list[dict[str, object]] = [{}, {"beam_size": 3, "n_best": 3}, {"temperature": 1.0, "log_probabilities": True}]
BROKEN = 26  # a source token with which the logits are broken


class BrokenEngine(TranslateEngine):
    """Some logits of requests with a certain source token are not finite, from the second step on."""

    def __init__(self, graphs: TranslateGraphs, value: float) -> None:
        super().__init__(graphs, rows=16)
        self.value, self.broken = value, BROKEN

    def forward(self) -> Logits:
        logits = super().forward()
        for group in self.groups.values():
            for request, rows in zip(group.requests, group.rows, strict=True):
                if self.broken in request.ids and self.position[rows[0]] >= 1:
                    lines = logits.lines(rows[-1:])
                    lines[0][7:9] = self.value
                    logits.store(rows[-1:], lines)
        return logits


@pytest.fixture(scope="module", params=DEVICES, ids=DEVICE_NAMES)
def graphs(toy_translator: Path, request: pytest.FixtureRequest) -> TranslateGraphs:
    return TranslateGraphs.load(read_artifact(toy_translator), threads=1, device=request.param)


def serve(engine: TranslateEngine, requests: list[EngineRequest]) -> RecordingObserver:
    worker_pool = LocalWorkerPool("test", [engine], Queue(QueueLimits(rows=16)), record := RecordingObserver())
    worker_pool.queue.submit(requests)
    worker_pool.start()
    assert worker_pool.drain(TIMEOUT)
    return record


def requests(*, broken: bool) -> list[EngineRequest]:
    """Return three healthy requests of every kind of search and, if `broken`, a broken one after each."""
    found = []
    for i, changes in enumerate(OPTIONS * 3):
        options = DecodingOptions(max_length=12, min_length=4, seed=i, **changes)  # type: ignore[arg-type]
        found.append(EngineRequest([5, 30 + i, 40 + i, 3], options))
        if broken:
            found.append(EngineRequest([5, BROKEN, 40 + i, 3], options))
    return found


def hypotheses(answer: EngineResult) -> list[tuple[object, ...]]:
    return [(h.ids, h.finish_reason, h.score, h.log_probabilities) for h in answer.hypotheses]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_request_with_non_finite_logits_fails_alone(graphs: TranslateGraphs, value: float) -> None:
    healthy, mixed = requests(broken=False), requests(broken=True)
    serve(TranslateEngine(graphs, rows=16), healthy)
    record = serve(BrokenEngine(graphs, value), mixed)
    expected = [hypotheses(request.future.result()) for request in healthy]
    assert [hypotheses(request.future.result()) for request in mixed if BROKEN not in request.ids] == expected
    for request in mixed:
        if BROKEN in request.ids:
            assert isinstance(request.future.exception(), NotANumber)
    assert record.failures == 0


def test_non_finite_logits_fail_one_http_request(serve_fake: Callable[..., Service], graphs: TranslateGraphs) -> None:
    engine = BrokenEngine(graphs, np.nan)
    service = serve_fake(engine)
    [model] = service.registry
    [[_, engine.broken, _]] = model.codec.encode(["bird"], [5], append_eos=True)
    with ThreadPoolExecutor(8) as pool:
        texts = ["bird", "dog", "red house", "bird dog", "one two three", "bird bird"] * 3
        replies = list(pool.map(lambda text: service.post("/v1/translate", {"text": text, "target": "b"}), texts))
    for text, reply in zip(texts, replies, strict=True):
        if "bird" in text:
            assert "not a number" in assert_problem(reply, 500, "internal")["detail"]
        else:
            words = [LEXICON[word] for word in text.split()]
            assert reply.json()["translations"][0]["text"] == " ".join(words)
    assert service.client.get("/readyz").status_code == 200
