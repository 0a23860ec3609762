"""Greedy and beam search on artificial language models, compared with a plain implementation."""

import numpy as np
import pytest

from service.engine.decoding.beam import BeamGroup
from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.search import NotANumber
from service.engine.options import DecodingOptions
from service.engine.types import EngineResult, Hypothesis
from tests.service.engine.decoding.language_models import (
    EOS,
    MAX_LENGTH,
    Model,
    answers,
    decode,
    log_softmax,
    random_model,
)

ScoredIds = list[tuple[list[int], str, float]]


def beam(width: int) -> BeamGroup:
    return BeamGroup(width, EOS, MAX_LENGTH)


def greedy() -> GreedyGroup:
    return GreedyGroup(EOS, MAX_LENGTH)


def scored(answer: EngineResult) -> ScoredIds:
    return [(h.ids, h.finish_reason, h.score or 0.0) for h in answer.hypotheses]


def plain_beam(model: Model, options: DecodingOptions) -> ScoredIds:
    """Beam search on Python lists."""
    k, penalty = options.beam_size, options.length_penalty
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: ScoredIds = []
    for length in range(1, options.max_length + 1):
        log_probs = [log_softmax(model(ids)) for _, ids in running]
        candidates = [
            (total + float(log_prob), [*ids, token])
            for (total, ids), line in zip(running, log_probs, strict=True)
            for token, log_prob in enumerate(line)
        ]
        candidates = sorted(candidates, key=lambda pair: -pair[0])[: 2 * k]
        finished += [(ids[:-1], "stop", total / length**penalty) for total, ids in candidates[:k] if ids[-1] == EOS]
        running = [pair for pair in candidates if pair[1][-1] != EOS][:k]
        finished = sorted(finished, key=lambda one: -one[2])[:k]
        if len(finished) == k and (options.early_stopping or finished[-1][2] >= running[0][0] / length**penalty):
            break
    unfinished = [(ids, "length", total / length**penalty) for total, ids in running]
    return [*finished, *unfinished][: options.n_best]


def assert_same(found: ScoredIds, expected: ScoredIds) -> None:
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert [one[2] for one in found] == pytest.approx([one[2] for one in expected], rel=1e-9)


@pytest.mark.parametrize("width", [2, 3, 4, 6])
@pytest.mark.parametrize("early", [True, False])
def test_beam_search_equals_a_plain_implementation(width: int, early: bool) -> None:
    models = [random_model(seed, ending=seed % 4 - 1.0) for seed in range(24)]
    options = [
        DecodingOptions(
            max_length=1 + seed % 13, beam_size=width, n_best=1 + seed % width, length_penalty=(seed % 3) / 2,
            early_stopping=early,
        )
        for seed in range(24)
    ]  # fmt: skip
    found = answers(decode(beam(width), models, options))
    for model, one, answer in zip(models, options, found, strict=True):
        assert_same(scored(answer), plain_beam(model, one))
    assert {h.finish_reason for answer in found for h in answer.hypotheses} == {"stop", "length"}


def ending_model(written: list[int]) -> np.ndarray:
    """End at once with a moderate probability, and after three tokens with a much higher one."""
    line = np.full(8, -9.0)
    line[[4, EOS]] = [1.0, 0.9] if len(written) < 3 else [-9.0, 9.0]
    return line


def test_early_stopping_ends_with_beam_size_finished_hypotheses() -> None:
    early, late = (
        answers(decode(beam(2), [ending_model], [options]))[0]
        for options in (
            DecodingOptions(20, beam_size=2, length_penalty=2.0, early_stopping=True),
            DecodingOptions(20, beam_size=2, length_penalty=2.0, early_stopping=False),
        )
    )
    assert early.ids == [4]
    assert late.ids == [4, 4, 4]


def test_beam_of_one_equals_greedy_search_and_has_scores() -> None:
    models = [random_model(seed) for seed in range(30)]
    options = [DecodingOptions(max_length=1 + seed % 15) for seed in range(30)]
    scored = answers(decode(beam(1), models, options))
    plain = answers(decode(greedy(), models, options))
    assert [(a.ids, a.finish_reason) for a in scored] == [(a.ids, a.finish_reason) for a in plain]
    assert all(answer.hypotheses[0].score is None for answer in plain)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
def test_score_is_the_normalised_sum_of_log_probabilities(penalty: float) -> None:
    models = [random_model(seed, ending=0.0) for seed in range(10)]
    options = [DecodingOptions(max_length=8, beam_size=3, n_best=3, length_penalty=penalty)] * 10
    for model, answer in zip(models, answers(decode(beam(3), models, options)), strict=True):
        for hypothesis in answer.hypotheses:
            tokens = hypothesis.ids + [EOS] * (hypothesis.finish_reason == "stop")
            expected = [float(log_softmax(model(tokens[:i]))[token]) for i, token in enumerate(tokens)]
            assert hypothesis.log_probabilities == pytest.approx(expected)
            assert hypothesis.score == pytest.approx(sum(expected) / len(tokens) ** penalty)


def test_hypotheses_are_sorted_finished_ones_first_then_by_score() -> None:
    models = [random_model(seed, ending=-1.0) for seed in range(40)]
    options = [DecodingOptions(max_length=6, beam_size=4, n_best=4)] * 40
    for answer in answers(decode(beam(4), models, options)):
        assert len({tuple(h.ids) + (h.finish_reason,) for h in answer.hypotheses}) == 4
        keys = [(h.finish_reason == "length", -(h.score or 0.0)) for h in answer.hypotheses]
        assert keys == sorted(keys)


@pytest.mark.parametrize("width", [1, 3])
def test_result_does_not_depend_on_the_group(width: int) -> None:
    models = [random_model(seed) for seed in range(12)]
    options = [DecodingOptions(max_length=3 + seed, beam_size=width, n_best=width) for seed in range(12)]
    alone = [decode(beam(width), [model], [one])[0] for model, one in zip(models, options, strict=True)]
    together = decode(beam(width), models, options)
    assert [scored(answer) for answer in answers(together)] == [scored(answer) for answer in answers(alone)]


def test_fewer_hypotheses_than_n_best_if_only_one_is_possible() -> None:
    """If only one output is possible, n_best adds no others."""

    def single_output_model(written: list[int]) -> np.ndarray:
        line = np.full(8, -np.inf)
        line[5 if len(written) < 2 else EOS] = 0.0
        return line

    [answer] = answers(decode(beam(3), [single_output_model], [DecodingOptions(max_length=6, beam_size=3, n_best=3)]))
    assert answer.hypotheses == [Hypothesis([5, 5], "stop", 0.0, [0.0, 0.0, 0.0])]


def broken_model(value: float, after: int) -> Model:
    """Return a model with one broken step after this many tokens: the value at one token, or -inf at all tokens."""
    healthy = random_model(1, ending=-99.0)

    def logits(written: list[int]) -> np.ndarray:
        line = healthy(written)
        if len(written) == after:
            line[slice(None) if value == -np.inf else 5] = value
        return line

    return logits


@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("after", [0, 2])
def test_non_finite_logits_fail_one_request_alone(width: int, value: float, after: int) -> None:
    models = [random_model(3), broken_model(value, after), random_model(4)]
    options = [DecodingOptions(max_length=6, beam_size=max(1, width))] * 3
    expected = [decode(beam(width) if width else greedy(), [models[i]], options[:1])[0] for i in (0, 2)]
    first, broken, last = decode(beam(width) if width else greedy(), models, options)
    assert isinstance(broken, NotANumber)
    assert [scored(a) for a in answers([first, last])] == [scored(a) for a in answers(expected)]
