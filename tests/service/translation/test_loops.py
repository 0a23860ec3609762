"""An answer that only repeats itself ends there and is tried again, unless the repetition was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.engine.decoding.greedy import GreedyGroup, has_loop
from service.engine.decoding.options import DecodingOptions
from service.engine.types import EngineRequest
from tests.service.engine.decoding.language_models import EOS, ROOM, Model, answers, decode
from tests.service.translation.helpers import backwards, speaking, translate, translator


def saying(*ids: int) -> Model:
    """A model that says these, then ends."""

    def logits(written: list[int]) -> np.ndarray:
        line = np.zeros(12)
        line[ids[len(written)] if len(written) < len(ids) else EOS] = 1.0
        return line

    return logits


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        ([4, 5, *[6] * 30], [4, 5, *[6] * 9]),  # a first one and eight copies
        ([4, *[5, 6, 7] * 10], [4, *[5, 6, 7] * 4]),
        ([4, *[5, 6, 7, 8, 9] * 7], [4, *[5, 6, 7, 8, 9] * 4]),
    ],
)
def test_a_loop_ends_after_some_rounds(ids: list[int], kept: list[int]) -> None:
    options = DecodingOptions(max_length=ROOM - 1, end_loops=True)
    [answer] = answers(decode(GreedyGroup(EOS, ROOM), [saying(*ids)], [options]))
    assert (answer.ids, answer.finish_reason) == (kept, "loop")


@pytest.mark.parametrize("ids", [[4, 5] * 4, [6] * 8, [5, 6, 7] * 3, [4, *[5, 6, 7] * 3, 5, 6, 8, *[5, 6, 7] * 3]])
def test_some_repetition_is_no_loop(ids: list[int]) -> None:
    [answer] = answers(
        decode(GreedyGroup(EOS, ROOM), [saying(*ids)], [DecodingOptions(max_length=ROOM - 1, end_loops=True)])
    )
    assert (answer.ids, answer.finish_reason) == (ids, "stop")


def test_whoever_is_not_asked_to_goes_on() -> None:
    loop = [4, *[5, 6] * 15]
    [answer] = answers(decode(GreedyGroup(EOS, ROOM), [saying(*loop)], [DecodingOptions(max_length=ROOM - 1)]))
    assert (answer.ids, answer.finish_reason) == (loop, "stop")


def test_a_source_that_repeats_itself_may_be_repeated() -> None:
    search, token = GreedyGroup(EOS, ROOM), np.zeros(1, np.int64)
    search.join(
        [EngineRequest([7, *[8, 9] * 6, 3], DecodingOptions(max_length=20, end_loops=True))], np.zeros((1, 1), np.int64)
    )
    model, said = saying(*[5, 6] * 6), []
    while search.requests:
        choice = search.choose(model(search.generated(0)[0].tolist())[None], None, token)
        said += choice.finished
    [(_, answer)] = said
    assert answers([answer])[0].ids == [5, 6] * 6


@pytest.mark.parametrize(
    "options", [DecodingOptions(min_length=30), DecodingOptions(prefix=(5, 6) * 6)], ids=["long", "prefix"]
)
def test_what_a_caller_wants_is_no_loop(options: DecodingOptions) -> None:
    loop = [5, 6] * 15
    options = replace(options, max_length=ROOM - 1, end_loops=True)
    [answer] = answers(decode(GreedyGroup(EOS, ROOM), [saying(*loop)], [options]))
    assert answer.ids == loop


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], False), ([1], False), ([5] * 8, False), ([2, *[5] * 9], True), ([1, 2, 3] * 4, True), ([*range(40)], False)],
)
def test_what_repeats(ids: list[int], expected: bool) -> None:
    assert has_loop(ids) is expected


def test_a_loop_is_tried_again_and_told_if_it_stays(toy_translator: Path) -> None:
    """Whatever its text looks like: these words repeat nothing, and the engine says that it was a loop."""
    text = "the little house is at the end"
    model, speaker = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    original, tries = speaker.answer, 1

    def looping(engine_request: EngineRequest) -> object:
        answer = original(engine_request)
        assert engine_request.options.end_loops
        if len(speaker.heard) <= tries:
            answer.hypotheses[0].finish_reason = "loop"
        return answer

    speaker.answer = looping  # type: ignore[method-assign, assignment]
    with translator(model) as core:
        [result] = translate(core, text, source="en")
        assert (result.text, result.finish_reason, result.warnings) == (backwards(text), "stop", [])
        assert speaker.heard == [text] * 2
        tries = 9
        [result] = translate(core, text, source="en")
    assert (result.finish_reason, result.warnings) == ("loop", ["repetition"])
