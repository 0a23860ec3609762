"""What looks wrong is tried once more, in the running batch, and told if it stays so; a full queue loses nothing."""

from pathlib import Path

import pytest

from service.engine.decoding.options import DecodingOptions
from service.engine.queue import QueueFull
from service.engine.types import EngineRequest, EngineResult
from service.models.options import TranslationOptions
from service.models.served_model import ServedModel
from tests.service.translation import helpers
from tests.service.translation.helpers import (
    Say,
    Speaker,
    backwards,
    speaking,
    streamed,
    translate,
    translated,
    translator,
)

LONG = "the little house is at the end of a long road"


def pair(artifact: Path, say: Say) -> tuple[ServedModel, Speaker]:
    return speaking(artifact, "en-de", ("en", "de"), say)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("", "empty_output"),
        (LONG, "copied_source"),
        ("das kleine Haus Haus Haus Haus Haus Haus am Ende", "repetition"),
        ("das", "length_ratio"),
        ("дом в конце долгой улицы стоит один", "wrong_script"),
    ],
)
def test_a_second_try_is_safer(toy_translator: Path, wrong: str, fault: str) -> None:
    asked: list[DecodingOptions] = []

    def better(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return backwards(text) if options.no_repeat_ngram == 3 else wrong

    model, speaker = pair(toy_translator, better)
    with translator(model) as core:
        [result] = translate(core, LONG, source="en")
        assert (result.text, result.warnings) == (backwards(LONG), [])
        assert speaker.heard == [LONG, LONG]
        assert (asked[1].repetition_penalty, asked[1].min_length) == (1.2, 1)
        speaker.say = lambda text, _: wrong
        [result] = translate(core, LONG, source="en")
        assert result.warnings == [fault]
        assert speaker.heard == [LONG] * 4


def test_what_looks_right_is_not_tried_again(toy_translator: Path) -> None:
    model, speaker = pair(toy_translator, backwards)
    with translator(model) as core:
        done = translated(core, "Tom. The red house. Berlin 1999", "12:30", source="en")
    assert len(speaker.heard) == 3
    assert [result.warnings for result in done.results] == [[], []]


def test_a_caller_who_wants_it_short_gets_it_short(toy_translator: Path) -> None:
    model, speaker = pair(toy_translator, lambda text, _: "das")
    original = speaker.answer

    def cut(engine_request: EngineRequest) -> object:
        answer = original(engine_request)
        answer.hypotheses[0].finish_reason = "length"
        return answer

    speaker.answer = cut  # type: ignore[method-assign, assignment]
    with translator(model) as core:
        [result] = translate(core, LONG, source="en", options=TranslationOptions(max_length=1))
    assert (result.warnings, result.finish_reason, len(speaker.heard)) == ([], "length", 1)


def test_without_the_guard_a_translation_is_what_the_model_says(toy_translator: Path) -> None:
    asked: list[DecodingOptions] = []

    def short(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return "das"

    model, speaker = pair(toy_translator, short)
    with translator(model, guard=False) as core:
        results = translate(core, LONG, "house number 1234", source="en")
    assert [result.text for result in results] == ["das", "das"]
    assert results[0].warnings == ["length_ratio"]
    assert len(speaker.heard) == 2
    assert not any(options.end_loops for options in asked)


class OneRound:
    """A queue that is full from the second submission on."""

    def __init__(self, model: ServedModel) -> None:
        self.submit, self.rounds = model.worker_pool.queue.submit, 0
        model.worker_pool.queue.submit = self  # type: ignore[method-assign, assignment]

    def __call__(self, engine_requests: list[EngineRequest]) -> None:
        self.rounds += 1
        if self.rounds > 1:
            raise QueueFull(99)
        self.submit(engine_requests)


def test_a_full_queue_leaves_the_first_try(toy_translator: Path) -> None:
    model, _ = pair(toy_translator, lambda text, _: "das" if text == LONG else backwards(text))
    OneRound(model)
    with translator(model) as core:
        [result] = translate(core, f"{LONG}\nred house", source="en")
    assert result.text == "das\nder esuoh"
    assert result.warnings == ["length_ratio"]


def test_a_full_queue_leaves_the_source_of_what_lost_something(toy_translator: Path) -> None:
    model, _ = pair(toy_translator, lambda text, _: backwards(text).replace("2013", "nothing"))
    OneRound(model)
    with translator(model) as core:
        [result] = translate(core, "the house of {name} is red\nred house", source="en")
    assert result.text == "the house of {name} is red\nder esuoh"
    assert result.warnings == ["not_translated", "split_at_protected"]


def test_options_that_leave_no_safer_ones_leave_the_first_try(toy_translator: Path) -> None:
    model, speaker = pair(toy_translator, lambda text, _: "das")
    options = TranslationOptions(DecodingOptions(suppressed=tuple(range(7, model.manifest.vocabulary))), max_length=8)
    with translator(model) as core:
        [result] = translate(core, LONG, source="en", options=options)
    assert (result.text, result.warnings, len(speaker.heard)) == ("das", ["length_ratio"], 1)


def test_a_second_try_is_not_told_before_it_is_taken(toy_translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loud(Speaker):
        def answer(self, engine_request: EngineRequest) -> EngineResult:
            answer = super().answer(engine_request)
            for token in answer.hypotheses[0].ids if engine_request.on_token else ():
                engine_request.on_token(token)  # type: ignore[misc]
            return answer

    monkeypatch.setattr(helpers, "Speaker", Loud)
    answers = iter(["", LONG])  # more tokens than are followed up at a time, and as wrong
    model, _ = pair(toy_translator, lambda *_: next(answers))
    with translator(model) as core:
        told, [result] = streamed(core, LONG, source="en")
    assert told == result.text
