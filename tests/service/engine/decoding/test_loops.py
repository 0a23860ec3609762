"""Greedy search with `end_loops`: a hypothesis that only repeats itself ends, unless the repetition was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from service.engine.decoding.greedy import GreedyGroup, has_loop
from service.engine.decoding.search import ArrayLogits
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from tests.service.engine.decoding.language_models import EOS, MAX_LENGTH, Model, answers, decode


def fixed_model(*ids: int) -> Model:
    """Return a model that generates these ids, then ends."""

    def logits(written: list[int]) -> np.ndarray:
        line = np.zeros(12)
        line[ids[len(written)] if len(written) < len(ids) else EOS] = 1.0
        return line

    return logits


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        ([4, 5, *[6] * 30], [4, 5, *[6] * 9]),  # the first one and eight copies
        ([4, *[5, 6, 7] * 10], [4, *[5, 6, 7] * 4]),
        ([4, *[5, 6, 7, 8, 9] * 7], [4, *[5, 6, 7, 8, 9] * 4]),
    ],
)
def test_a_loop_ends_after_some_rounds(ids: list[int], kept: list[int]) -> None:
    options = DecodingOptions(max_length=MAX_LENGTH - 1, end_loops=True)
    [answer] = answers(decode(GreedyGroup(EOS, MAX_LENGTH), [fixed_model(*ids)], [options]))
    assert (answer.ids, answer.finish_reason) == (kept, "loop")


@pytest.mark.parametrize("ids", [[4, 5] * 4, [6] * 8, [5, 6, 7] * 3, [4, *[5, 6, 7] * 3, 5, 6, 8, *[5, 6, 7] * 3]])
def test_short_repetition_is_not_a_loop(ids: list[int]) -> None:
    options = DecodingOptions(max_length=MAX_LENGTH - 1, end_loops=True)
    [answer] = answers(decode(GreedyGroup(EOS, MAX_LENGTH), [fixed_model(*ids)], [options]))
    assert (answer.ids, answer.finish_reason) == (ids, "stop")


def test_a_loop_goes_on_without_end_loops() -> None:
    loop = [4, *[5, 6] * 15]
    [answer] = answers(
        decode(GreedyGroup(EOS, MAX_LENGTH), [fixed_model(*loop)], [DecodingOptions(max_length=MAX_LENGTH - 1)])
    )
    assert (answer.ids, answer.finish_reason) == (loop, "stop")


def test_a_source_that_repeats_itself_may_be_repeated() -> None:
    search, token = GreedyGroup(EOS, MAX_LENGTH), np.zeros(1, np.int64)
    search.join(
        [EngineRequest([7, *[8, 9] * 6, 3], DecodingOptions(max_length=20, end_loops=True))], np.zeros((1, 1), np.int64)
    )
    model, finished = fixed_model(*[5, 6] * 6), []
    while search.requests:
        step = search.choose(ArrayLogits(model(search.generated(0)[0].tolist())[None]), None, token)
        finished += step.finished
    [(_, answer)] = finished
    assert answers([answer])[0].ids == [5, 6] * 6


@pytest.mark.parametrize(
    "options", [DecodingOptions(min_length=30), DecodingOptions(prefix=(5, 6) * 6)], ids=["min_length", "prefix"]
)
def test_repetition_that_the_options_ask_for_is_not_a_loop(options: DecodingOptions) -> None:
    loop = [5, 6] * 15
    options = replace(options, max_length=MAX_LENGTH - 1, end_loops=True)
    [answer] = answers(decode(GreedyGroup(EOS, MAX_LENGTH), [fixed_model(*loop)], [options]))
    assert answer.ids == loop


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], False), ([1], False), ([5] * 8, False), ([2, *[5] * 9], True), ([1, 2, 3] * 4, True), ([*range(40)], False)],
)
def test_has_loop(ids: list[int], expected: bool) -> None:
    assert has_loop(ids) is expected
