"""Sampling: the requested distribution, and reproducible results."""

import math
from typing import Any

import numpy as np
import pytest

from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.sampling import SamplingGroup, nucleus
from service.engine.options import DecodingOptions
from service.engine.types import EngineResult
from tests.service.engine.decoding.language_models import (
    EOS,
    MAX_LENGTH,
    Model,
    answers,
    decode,
    log_softmax,
    random_model,
)

LOGITS = np.array([0.5, 1.5, -1.0, -np.inf, 2.0, 0.0])  # the end token is impossible
MODELS = [random_model(seed) for seed in range(20)]


def sample(models: list[Model], options: list[DecodingOptions]) -> list[EngineResult]:
    return answers(decode(SamplingGroup(EOS, MAX_LENGTH), models, options))


def ids(models: list[Model], *, seed: int = 1, **options: Any) -> list[list[int]]:
    decoding_options = DecodingOptions(max_length=12, seed=seed, **{"temperature": 1.0} | options)
    return [answer.ids for answer in sample(models, [decoding_options] * len(models))]


def counts(temperature: float, top_k: int = 0, top_p: float = 1.0, draws: int = 3000) -> np.ndarray:
    """Return how often each token is drawn first, over many seeds."""
    options = [
        DecodingOptions(1, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed) for seed in range(draws)
    ]
    drawn = [answer.ids[0] for answer in sample([lambda written: LOGITS.copy()] * draws, options)]
    return np.bincount(drawn, minlength=len(LOGITS))


def test_result_depends_on_the_seed_alone() -> None:
    assert ids(MODELS) == ids(MODELS)
    different = [one != other for one, other in zip(ids(MODELS, seed=1), ids(MODELS, seed=2), strict=True)]
    assert sum(different) > len(MODELS) / 2


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-3}, {"temperature": 1e-320}])
def test_options_that_allow_one_token_equal_greedy_search(options: dict[str, Any]) -> None:
    greedy = decode(GreedyGroup(EOS, MAX_LENGTH), MODELS, [DecodingOptions(max_length=12)] * len(MODELS))
    assert ids(MODELS, **options) == [answer.ids for answer in answers(greedy)]


def test_result_does_not_depend_on_the_group() -> None:
    options = [
        DecodingOptions(max_length=9, temperature=0.5 + seed / 9, seed=seed, top_k=seed % 5) for seed in range(20)
    ]
    together = [answer.ids for answer in sample(MODELS, options)]
    assert together == [sample([model], [one])[0].ids for model, one in zip(MODELS, options, strict=True)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_token_frequencies_follow_the_temperature(temperature: float) -> None:
    expected = 3000 * np.exp(log_softmax(LOGITS / temperature))
    found, possible = counts(temperature), expected > 0
    assert found[~possible].sum() == 0
    chi_square = (np.square(found - expected)[possible] / expected[possible]).sum()
    assert chi_square < 18.5  # four degrees of freedom: exceeded by one of a thousand fair samples


@pytest.mark.parametrize(
    ("options", "allowed"), [({"top_k": 2}, {4, 1}), ({"top_k": 99}, {0, 1, 2, 4, 5}), ({"top_p": 0.75}, {4, 1})]
)
def test_top_k_and_top_p_restrict_the_drawn_tokens(options: dict[str, float], allowed: set[int]) -> None:
    found = counts(1.0, **options)  # type: ignore[arg-type]
    assert set(np.flatnonzero(found).tolist()) == allowed
    share = math.exp(LOGITS[4]) / sum(math.exp(LOGITS[token]) for token in allowed)
    assert found[4] / found.sum() == pytest.approx(share, abs=0.03)


def test_nucleus_is_the_smallest_set_with_the_probability_mass() -> None:
    line = np.log(np.array([0.1, 0.4, 0.3, 0.2]))
    for top_p, expected in [(0.39, [1]), (0.41, [1, 2]), (0.69, [1, 2]), (0.89, [1, 2, 3]), (0.95, [1, 2, 3, 0])]:
        order, weight = nucleus(line, 1.0, 0, top_p)
        assert order.tolist() == expected
        assert weight / weight[0] == pytest.approx(np.exp(line[order] - line[1]))
    assert nucleus(line, 1.0, 2, 0.5)[0].tolist() == [1]  # it has 4/7 of the top two


def test_draws_of_positions_and_seeds_are_independent() -> None:
    """Over many seeds, the first and second tokens of a uniform model are uncorrelated."""

    def flat(written: list[int]) -> np.ndarray:
        return np.where(np.arange(104) < 4, -np.inf, 0.0)

    drawn = sample([flat] * 500, [DecodingOptions(2, temperature=1.0, seed=seed) for seed in range(500)])
    first, second = np.array([answer.ids for answer in drawn]).T
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.15  # nor are those of consecutive seeds correlated
    assert np.mean(first == second) < 0.05


@pytest.mark.parametrize("options", [{}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.5}])
def test_log_probabilities_are_those_of_the_model(options: dict[str, Any]) -> None:
    decoding_options = DecodingOptions(
        max_length=6, log_probabilities=True, length_penalty=0.5, **{"temperature": 1.0} | options
    )
    results = sample(MODELS, [decoding_options] * len(MODELS))
    assert {answer.finish_reason for answer in results} == {"stop", "length"}
    for model, answer in zip(MODELS, results, strict=True):
        tokens = answer.ids + [EOS] * (answer.finish_reason == "stop")
        expected = [log_softmax(model(tokens[:i]))[token] for i, token in enumerate(tokens)]
        assert answer.hypotheses[0].log_probabilities == pytest.approx(expected)
        assert answer.hypotheses[0].score == pytest.approx(sum(expected) / len(tokens) ** 0.5)


def test_score_and_log_probabilities_are_absent_unless_requested() -> None:
    [answer] = sample(MODELS[:1], [DecodingOptions(max_length=6, temperature=1.0)])
    assert (answer.hypotheses[0].score, answer.hypotheses[0].log_probabilities) == (None, [])
