"""Options that change logits: values computed by hand, and the effect on whole outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.engine.decoding.beam import BeamGroup
from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.logits_processors import process_logits, repeating, required_progress
from service.engine.decoding.sampling import SamplingGroup
from service.engine.decoding.search import SearchGroup
from service.engine.options import DecodingOptions
from tests.service.engine.decoding.language_models import EOS, MAX_LENGTH, answers, decode, random_model

INF = np.inf
MODELS = [random_model(seed, ending=1.5) for seed in range(20)]


def processed(logits: list[float], generated: list[int], **options: Any) -> list[float]:
    line = np.array(logits, dtype=np.float32)
    process_logits(line, np.array(generated, dtype=np.int64), DecodingOptions(max_length=20, **options), EOS)
    return [float(value) for value in line]


@pytest.mark.parametrize(
    ("options", "generated", "expected"),
    [
        ({}, [0, 1], [2, -2, 0, 1, 4]),
        ({"prefix": (4, 0)}, [], [-INF, -INF, -INF, -INF, 0]),
        ({"prefix": (4, 0)}, [4], [0, -INF, -INF, -INF, -INF]),
        ({"prefix": (4, 0)}, [4, 0], [2, -2, 0, 1, 4]),
        ({"prefix": (EOS,), "suppressed": (EOS,), "min_length": 9}, [], [-INF, -INF, -INF, 0, -INF]),
        ({"suppressed": (0, 2)}, [], [-INF, -2, -INF, 1, 4]),
        ({"min_length": 2}, [0], [2, -2, 0, -INF, 4]),
        ({"min_length": 2}, [0, 0], [2, -2, 0, 1, 4]),
        ({"repetition_penalty": 2.0}, [0, 1, 2, 0], [1, -4, 0, 1, 4]),
        ({"repetition_penalty": 0.5}, [0, 1], [4, -1, 0, 1, 4]),
        ({"repetition_penalty": 2.0, "suppressed": (0,)}, [0, 4], [-INF, -2, 0, 1, 2]),
        ({"no_repeat_ngram": 1}, [0, 4, 4], [-INF, -2, 0, 1, -INF]),
        ({"no_repeat_ngram": 2}, [1, 2, 1, 0, 1], [-INF, -2, -INF, 1, 4]),
        ({"no_repeat_ngram": 3}, [1, 2, 4, 1, 2], [2, -2, 0, 1, -INF]),
        ({"no_repeat_ngram": 3}, [1, 2], [2, -2, 0, 1, 4]),
        ({"required": ((0, 1),)}, [], [2, -2, 0, -INF, 4]),  # the end must wait
        ({"required": ((0, 1),)}, [0], [-INF, -2, -INF, -INF, -INF]),  # begun, so it goes on
        ({"required": ((0, 1),)}, [0, 1], [-INF, -2, 0, 1, 4]),  # not twice
        ({"required": ((0, 1), (2,)), "closing": (4,)}, [], [2, -INF, 0, -INF, -INF]),  # before a full stop
        ({"required": ((0, 1), (0, 2))}, [0, 2], [2, -2, 0, -INF, 4]),
        ({"required": ((0,),), "suppressed": (0, 4)}, [], [2, -2, 0, -INF, -INF]),
        ({"required": ((1, 1, 1),)}, [2] * 17, [-INF, -2, -INF, -INF, -INF]),  # no room for anything else
    ],
)
def test_processed_logits_equal_hand_computed_values(
    options: dict[str, object], generated: list[int], expected: list[float]
) -> None:
    assert processed([2, -2, 0, 1, 4], generated, **options) == expected


def test_repeating_returns_tokens_that_complete_an_ngram() -> None:
    generated = np.array([7, 8, 9, 7, 8, 5, 7, 8])
    assert sorted(repeating(generated, 3).tolist()) == [5, 9]
    assert repeating(generated[:2], 3).tolist() == []


SEARCHES: dict[str, Callable[[], SearchGroup]] = {
    "greedy": lambda: GreedyGroup(EOS, MAX_LENGTH),
    "beam": lambda: BeamGroup(3, EOS, MAX_LENGTH),
    "sampling": lambda: SamplingGroup(EOS, MAX_LENGTH),
}
every_search = pytest.mark.parametrize("search", SEARCHES)


def decoded(search: str, **options: Any) -> list[list[int]]:
    """Return all hypotheses of all models."""
    group = SEARCHES[search]()
    width, temperature = group.rows.shape[1], float(search == "sampling")
    decoding_options = DecodingOptions(
        **{"max_length": 16, "beam_size": width, "n_best": width, "temperature": temperature} | options
    )
    found = answers(decode(group, MODELS, [decoding_options] * len(MODELS)))
    return [hypothesis.ids for answer in found for hypothesis in answer.hypotheses]


@every_search
def test_output_starts_with_the_prefix_and_continues_it(search: str) -> None:
    found = decoded(search, prefix=(5, 5, 9))
    assert {tuple(ids[:3]) for ids in found} == {(5, 5, 9)}
    assert len({tuple(ids) for ids in found}) > len(MODELS) / 2


def test_prefix_adds_nothing_to_scores() -> None:
    [answer] = answers(
        decode(
            BeamGroup(2, EOS, MAX_LENGTH),
            MODELS[:1],
            [DecodingOptions(8, beam_size=2, prefix=(5, 9), length_penalty=0.0)],
        )
    )
    log_probs = answer.hypotheses[0].log_probabilities
    assert log_probs[:2] == [0, 0]
    assert answer.hypotheses[0].score == pytest.approx(sum(log_probs))


@every_search
def test_output_is_never_shorter_than_min_length(search: str) -> None:
    assert min(map(len, decoded(search))) < 6
    assert min(map(len, decoded(search, min_length=6))) == 6


@every_search
def test_suppressed_tokens_are_never_generated(search: str) -> None:
    generated = {token for ids in decoded(search, suppressed=(4, 5, 6, EOS)) for token in ids}
    assert generated.isdisjoint({4, 5, 6})
    assert len(generated) > 3


@pytest.mark.parametrize("n", [1, 2])
@every_search
def test_no_ngram_is_generated_twice(search: str, n: int) -> None:
    for ids in decoded(search, no_repeat_ngram=n, max_length=10, suppressed=(EOS,)):
        found = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
        assert len(set(found)) == len(found)


def test_repetition_penalty_reduces_repetition() -> None:
    def repeated(**options: object) -> int:
        return sum(len(ids) - len(set(ids)) for ids in decoded("greedy", **options))

    assert repeated(repetition_penalty=3.0) < repeated() < repeated(repetition_penalty=0.3)


@pytest.mark.parametrize(
    ("generated", "required", "pending", "following"),
    [
        ([], [(1, 2)], [(1, 2)], set()),
        ([1], [(1, 2), (1, 3), (4,)], [(1, 2), (1, 3), (4,)], {2, 3}),
        ([1], [(1,), (1, 3)], [(1, 3)], set()),
        ([1, 3], [(1,), (1, 3, 5)], [(1,), (1, 3, 5)], {5}),
        ([1, 3, 9, 1], [(1,), (1, 3)], [], set()),
        ([7, 1, 2, 1, 2], [(1, 2), (1, 2)], [], set()),
    ],
)
def test_progress_of_required_sequences(
    generated: list[int], required: list[tuple[int, ...]], pending: list[tuple[int, ...]], following: set[int]
) -> None:
    assert required_progress(generated, required) == (pending, following)


@every_search
def test_every_search_writes_what_is_required_once(search: str) -> None:
    for ids in decoded(search, required=((5, 6, 7), (8,)), max_length=12):
        assert " ".join(map(str, ids)).count("5 6 7") == 1
        assert ids.count(8) == 1
