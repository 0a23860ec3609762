"""The scoring engine in a worker: results do not depend on padding or on the other pairs of a batch."""

from pathlib import Path

import numpy as np
import pytest

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.decoding.search import NotANumber
from service.engine.models.score import ScoreEngine, alignment_layer
from service.engine.models.session import Arrays, Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.occupancy import QueueFull, QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Queue
from service.engine.types import EngineRequest, EngineResult


class RecordingGraph:
    """A graph that records the shapes of its inputs and, if `broken`, returns NaN for the first pair."""

    def __init__(self, artifact: Artifact, *, broken: bool = False) -> None:
        self._graph, self._broken = Session(artifact.graph("score"), threads=1), broken
        self.inputs = self._graph.inputs
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Arrays) -> Arrays:
        self.shapes.append((*inputs["source"].shape, inputs["target"].shape[1]))
        found = self._graph.run(inputs)
        if self._broken:
            found["log_probability"][0, 0] = np.nan
        return found


@pytest.fixture
def artifact(toy_translator: Path) -> Artifact:
    return read_artifact(toy_translator)


def new_engine(artifact: Artifact, graph: RecordingGraph) -> ScoreEngine:
    return ScoreEngine(artifact, graph)  # type: ignore[arg-type]


def pairs(*lengths: tuple[int, int]) -> list[EngineRequest]:
    return [EngineRequest([*([20] * (source - 1)), 3], translation=[30] * target) for source, target in lengths]


def test_score_is_the_mean_log_probability_of_tokens_and_end_token(artifact: Artifact) -> None:
    [answer] = run_requests([new_engine(artifact, RecordingGraph(artifact))], pairs((6, 4)))
    [hypothesis] = answer.hypotheses
    assert hypothesis.ids == [30] * 4
    assert len(hypothesis.log_probabilities) == 5
    assert hypothesis.score == pytest.approx(sum(hypothesis.log_probabilities) / 5)
    assert answer.attention is not None
    assert answer.attention.shape == (5, 6)
    np.testing.assert_allclose(answer.attention.sum(axis=1), 1, atol=1e-5)


def test_empty_translation_has_the_log_probability_of_the_end_token(artifact: Artifact) -> None:
    [answer] = run_requests([new_engine(artifact, RecordingGraph(artifact))], pairs((3, 0)))
    assert len(answer.hypotheses[0].log_probabilities) == 1


def test_pairs_of_equal_padded_lengths_share_a_run(artifact: Artifact) -> None:
    graph = RecordingGraph(artifact)
    engine = new_engine(artifact, graph)
    engine.join(pairs((5, 3), (40, 3), (48, 39), (16, 15), (2, 0)))
    finished = [len(engine.step()) for _ in range(3)]
    assert finished == [3, 1, 1]
    assert graph.shapes == [(3, 16, 16), (1, 48, 16), (1, 48, 40)]  # at most the model's limits


def test_pairs_per_run_are_limited(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.models.score.LOGITS", 2 * 16 * artifact.manifest.vocabulary)
    graph = RecordingGraph(artifact)
    assert len(run_requests([new_engine(artifact, graph)], pairs(*[(5, 5)] * 7), rows=64)) == 7
    assert max(shape[0] for shape in graph.shapes) == 2


def test_non_finite_log_probability_fails_its_pair_alone(artifact: Artifact) -> None:
    engine = new_engine(artifact, RecordingGraph(artifact, broken=True))
    engine.join(pairs((5, 3), (5, 3)))
    outcomes = [outcome for _, outcome in engine.step()]
    assert [type(outcome) for outcome in outcomes] == [NotANumber, EngineResult]


def test_dropped_pair_is_not_computed(artifact: Artifact) -> None:
    engine = new_engine(artifact, RecordingGraph(artifact))
    kept, dropped = pairs((5, 3), (5, 3))
    engine.join([kept, dropped])
    engine.drop([dropped])
    assert [request for request, _ in engine.step()] == [kept]


def test_request_without_translation_raises(artifact: Artifact) -> None:
    engine = new_engine(artifact, RecordingGraph(artifact))
    engine.join([EngineRequest([3])])
    with pytest.raises(ValueError, match="without a translation"):
        engine.step()


def test_tokens_of_the_translation_count_in_the_queue() -> None:
    queue = Queue(QueueLimits(queue_tokens=10))  # a small request may use twice as many
    queue.submit(pairs((6, 4)))
    with pytest.raises(QueueFull):
        queue.submit(pairs((6, 5)))
    assert len(queue.dequeue(0, 0) or []) == 1
    queue.submit(pairs((6, 14)))


def test_alignment_layer_is_the_penultimate_or_the_last_of_two() -> None:
    assert [alignment_layer(layers) for layers in (1, 2, 3, 6)] == [0, 1, 1, 4]


def test_scores_equal_those_of_the_search(artifact: Artifact) -> None:
    """A search decodes with caches, one token per step; the scoring graph reads the whole translation at once."""
    sources = [[4, *([20 + n] * n), 3] for n in range(1, 9)]
    options = DecodingOptions(max_length=30, log_probabilities=True)
    searcher = TranslateEngine(TranslateGraphs.load(artifact, threads=1), 8)
    found = run_requests([searcher], [EngineRequest(ids, options) for ids in sources])
    ended = [(ids, answer.hypotheses[0]) for ids, answer in zip(sources, found, strict=True)]
    ended = [(ids, hypothesis) for ids, hypothesis in ended if hypothesis.finish_reason == "stop"]
    assert ended
    requests = [EngineRequest(ids, translation=hypothesis.ids) for ids, hypothesis in ended]
    answers = run_requests([new_engine(artifact, RecordingGraph(artifact))], requests)
    for answer, (_, hypothesis) in zip(answers, ended, strict=True):
        scored = answer.hypotheses[0]
        assert scored.log_probabilities == pytest.approx(hypothesis.log_probabilities, abs=1e-4)
        assert scored.score == pytest.approx(hypothesis.score, abs=1e-4)
