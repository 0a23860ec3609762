"""The scoring engine under the real worker: what a graph's padding and a batch's other pairs must not change."""

from pathlib import Path

import numpy as np
import pytest

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.decoding.search import NotANumber
from service.engine.models.score import ScoreEngine, alignment_layer
from service.engine.models.session import Arrays, Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.queue import Queue, QueueFull, QueueLimits
from service.engine.types import EngineRequest, EngineResult


class Recorded:
    """A graph that remembers how wide its inputs were, or finds nothing but what is no number."""

    def __init__(self, artifact: Artifact, *, broken: bool = False) -> None:
        self._graph, self._broken = Session(artifact.graph("score"), threads=1), broken
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


def engine_of(artifact: Artifact, graph: Recorded) -> ScoreEngine:
    return ScoreEngine(artifact, graph)  # type: ignore[arg-type]


def pairs(*lengths: tuple[int, int]) -> list[EngineRequest]:
    return [EngineRequest([*([20] * (source - 1)), 3], translation=[30] * target) for source, target in lengths]


def test_a_score_is_the_mean_over_tokens_and_end_mark(artifact: Artifact) -> None:
    [answer] = run_requests([engine_of(artifact, Recorded(artifact))], pairs((6, 4)))
    [hypothesis] = answer.hypotheses
    assert hypothesis.ids == [30] * 4
    assert len(hypothesis.log_probabilities) == 5
    assert hypothesis.score == pytest.approx(sum(hypothesis.log_probabilities) / 5)
    assert answer.attention is not None
    assert answer.attention.shape == (5, 6)
    np.testing.assert_allclose(answer.attention.sum(axis=1), 1, atol=1e-5)


def test_an_empty_translation_is_an_end_mark(artifact: Artifact) -> None:
    [answer] = run_requests([engine_of(artifact, Recorded(artifact))], pairs((3, 0)))
    assert len(answer.hypotheses[0].log_probabilities) == 1


def test_pairs_of_a_width_are_computed_together_and_padded_by_their_own_lengths(artifact: Artifact) -> None:
    graph = Recorded(artifact)
    engine = engine_of(artifact, graph)
    engine.join(pairs((5, 3), (40, 3), (48, 39), (16, 15), (2, 0)))
    finished = [len(engine.step()) for _ in range(3)]
    assert finished == [3, 1, 1]
    assert graph.shapes == [(3, 16, 16), (1, 48, 16), (1, 48, 40)]  # at most the model's limits


def test_what_is_computed_at_once_is_bounded(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.models.score.LOGITS", 2 * 16 * artifact.manifest.vocabulary)
    graph = Recorded(artifact)
    assert len(run_requests([engine_of(artifact, graph)], pairs(*[(5, 5)] * 7), rows=64)) == 7
    assert max(shape[0] for shape in graph.shapes) == 2


def test_what_is_no_number_fails_its_own_pair_alone(artifact: Artifact) -> None:
    engine = engine_of(artifact, Recorded(artifact, broken=True))
    engine.join(pairs((5, 3), (5, 3)))
    outcomes = [outcome for _, outcome in engine.step()]
    assert [type(outcome) for outcome in outcomes] == [NotANumber, EngineResult]


def test_a_pair_that_nobody_waits_for_is_not_computed(artifact: Artifact) -> None:
    engine = engine_of(artifact, Recorded(artifact))
    kept, dropped = pairs((5, 3), (5, 3))
    engine.join([kept, dropped])
    engine.drop([dropped])
    assert [request for request, _ in engine.step()] == [kept]


def test_nothing_to_score_is_a_defect(artifact: Artifact) -> None:
    engine = engine_of(artifact, Recorded(artifact))
    engine.join([EngineRequest([3])])
    with pytest.raises(ValueError, match="without a translation"):
        engine.step()


def test_the_translation_counts_in_the_queue() -> None:
    queue = Queue(QueueLimits(queue_tokens=20))
    queue.submit(pairs((6, 4)))
    with pytest.raises(QueueFull):
        queue.submit(pairs((6, 5)))
    assert len(queue.dequeue(0) or []) == 1
    queue.submit(pairs((6, 14)))


def test_the_last_layer_but_one_aligns_or_the_last_of_a_shallow_decoder() -> None:
    assert [alignment_layer(layers) for layers in (1, 2, 3, 6)] == [0, 1, 1, 4]


def test_scores_are_those_that_the_search_gives(artifact: Artifact) -> None:
    """A search decodes with caches, one token a step; the scoring graph reads everything at once."""
    sources = [[4, *([20 + n] * n), 3] for n in range(1, 9)]
    options = DecodingOptions(max_length=30, log_probabilities=True)
    searcher = TranslateEngine(TranslateGraphs.load(artifact, threads=1), 8)
    found = run_requests([searcher], [EngineRequest(ids, options) for ids in sources])
    ended = [(ids, answer.hypotheses[0]) for ids, answer in zip(sources, found, strict=True)]
    ended = [(ids, hypothesis) for ids, hypothesis in ended if hypothesis.finish_reason == "stop"]
    assert ended
    requests = [EngineRequest(ids, translation=hypothesis.ids) for ids, hypothesis in ended]
    answers = run_requests([engine_of(artifact, Recorded(artifact))], requests)
    for answer, (_, hypothesis) in zip(answers, ended, strict=True):
        scored = answer.hypotheses[0]
        assert scored.log_probabilities == pytest.approx(hypothesis.log_probabilities, abs=1e-4)
        assert scored.score == pytest.approx(hypothesis.score, abs=1e-4)
