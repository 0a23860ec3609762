"""A segment with quality issues is translated once more in the running batch; a full queue keeps the first try."""

from pathlib import Path

import pytest

from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult
from service.models.options import TranslationOptions
from service.models.served_model import ServedModel
from tests.service.translation import helpers
from tests.service.translation.helpers import (
    FullAfterFirstSubmission,
    FunctionEngine,
    english_german,
    fake_translator,
    open_translator,
    respond_to,
    reverse_words,
    stream,
    translate,
)

LONG = "the little house is at the end of a long road"


def retries(model: ServedModel, reason: str) -> float:
    """Return how often segments of a model were translated again for this reason."""
    [family] = model.engine_client.observer.retries(reason).collect()
    return family.samples[0].value


def finish_reasons(engine: FunctionEngine, reason: str, count: int) -> None:
    """Have the engine's next `count` results end for this reason."""
    original, left = engine.answer, count

    def answer(request: EngineRequest) -> EngineResult:
        nonlocal left
        result = original(request)
        if left > 0:
            left -= 1
            result.hypotheses[0].finish_reason = reason
        return result

    engine.answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("wrong", "issue"),
    [
        ("", "empty_output"),
        (LONG, "copied_source"),
        ("das kleine Haus Haus Haus Haus Haus Haus am Ende", "repetition"),
        ("das", "length_ratio"),
        ("дом в конце долгой улицы стоит один", "wrong_script"),
    ],
)
def test_a_retry_uses_safer_options(toy_translator: Path, wrong: str, issue: str) -> None:
    asked: list[DecodingOptions] = []

    def better(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return reverse_words(text) if options.no_repeat_ngram == 3 else wrong

    model, engine = english_german(toy_translator, better)
    with open_translator(model) as translator:
        [result] = translate(translator, LONG, source="en")
        assert (result.text, result.warnings) == (reverse_words(LONG), [])
        assert engine.sources == [LONG, LONG]
        assert (asked[1].repetition_penalty, asked[1].min_length) == (1.2, 1)
        engine.respond = lambda text, _: wrong
        [result] = translate(translator, LONG, source="en")
        assert result.warnings == [issue]
        assert result.text == (wrong or LONG)  # nothing would be worse than the source
        assert engine.sources == [LONG] * 4
    assert retries(model, issue) == 2


def test_words_beside_a_number_are_kept_where_the_model_leaves_them_out(toy_translator: Path) -> None:
    def only_numbers(text: str, _: DecodingOptions) -> str:
        return "".join(c for c in text if c.isdecimal())

    model, engine = english_german(toy_translator, only_numbers)
    with open_translator(model) as translator:
        [result] = translate(translator, "house: 4434", source="en")
        assert (result.text, result.warnings) == ("house: 4434", ["empty_output", "split_at_protected"])
        engine.respond = lambda text, options: only_numbers(text, options) or reverse_words(text)
        [result] = translate(translator, "house: 4434", source="en")
    assert (result.text, result.warnings) == ("esuoh: 4434", ["split_at_protected"])


def test_good_translations_are_not_tried_again(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, reverse_words)
    with open_translator(model) as translator:
        response = respond_to(translator, "Tom. The red house. Berlin 1999", "12:30", source="en")
    assert len(engine.sources) == 3
    assert [result.warnings for result in response.results] == [[], []]


def test_a_loop_is_tried_again_and_reported_if_it_stays(toy_translator: Path) -> None:
    """The engine alone decides that: the words of this text repeat nothing."""
    text = "the little house is at the end"
    asked: list[DecodingOptions] = []

    def respond(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return reverse_words(text)

    model, engine = english_german(toy_translator, respond)
    with open_translator(model) as translator:
        finish_reasons(engine, "loop", 1)
        [result] = translate(translator, text, source="en")
        assert (result.text, result.finish_reason, result.warnings) == (reverse_words(text), "stop", [])
        assert engine.sources == [text] * 2
        finish_reasons(engine, "loop", 2)
        [result] = translate(translator, text, source="en")
    assert (result.finish_reason, result.warnings) == ("loop", ["repetition"])
    assert all(options.end_loops for options in asked)


def test_a_translation_cut_by_max_length_is_not_tried_again(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, lambda text, _: "das")
    finish_reasons(engine, "length", 1)
    with open_translator(model) as translator:
        [result] = translate(translator, LONG, source="en", options=TranslationOptions(max_length=1))
    assert (result.warnings, result.finish_reason, len(engine.sources)) == ([], "length", 1)


def test_without_guard_the_first_try_is_taken(toy_translator: Path) -> None:
    asked: list[DecodingOptions] = []

    def short(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return "das"

    model, engine = english_german(toy_translator, short)
    with open_translator(model, guard=False) as translator:
        results = translate(translator, LONG, "house number 1234", source="en")
    assert [result.text for result in results] == ["das", "das"]
    assert results[0].warnings == ["length_ratio"]
    assert len(engine.sources) == 2
    assert not any(options.end_loops for options in asked)


def test_a_full_queue_keeps_the_first_try(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, lambda text, _: "das" if text == LONG else reverse_words(text))
    FullAfterFirstSubmission(model)
    with open_translator(model) as translator:
        [result] = translate(translator, f"{LONG}\nred house", source="en")
    assert result.text == "das\nder esuoh"
    assert result.warnings == ["length_ratio"]


def test_a_full_queue_keeps_the_source_of_a_segment_that_lost_a_placeholder(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, lambda text, _: reverse_words(text).replace("2013", "nothing"))
    FullAfterFirstSubmission(model)
    with open_translator(model) as translator:
        [result] = translate(translator, "the house of {name} is red\nred house", source="en")
    assert result.text == "the house of {name} is red\nder esuoh"
    assert result.warnings == ["not_translated", "split_at_protected"]


def test_elements_that_come_back_empty_are_translated_in_groups(
    toy_translator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, engine = english_german(toy_translator, lambda text, _: "das" if "house" in text else reverse_words(text))
    monkeypatch.setattr("service.translation.translator.REPAIR_WINDOW", 2)
    with open_translator(model) as translator:
        [result] = translate(translator, "the house <b>old</b> dog", source="en", format="html")
    assert result.text == "das <b>dlo</b> god"
    assert engine.sources == ["the house old dog", "the house", "old", "dog"]


def test_a_full_queue_keeps_the_words_of_elements_that_come_back_empty(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, lambda *_: "das")
    FullAfterFirstSubmission(model)
    with open_translator(model) as translator:
        [result] = translate(translator, "the house <b>old</b> dog", source="en", format="html")
    assert result.text == "the house <b>old</b> dog"
    assert "not_translated" in result.warnings


def test_options_without_a_safer_variant_keep_the_first_try(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, lambda text, _: "das")
    decoding = DecodingOptions(suppressed=tuple(range(7, model.manifest.vocabulary)))
    with open_translator(model) as translator:
        [result] = translate(translator, LONG, source="en", options=TranslationOptions(decoding, max_length=8))
    assert (result.text, result.warnings, len(engine.sources)) == ("das", ["length_ratio"], 1)


def test_tokens_of_a_retry_are_not_streamed(toy_translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StreamingEngine(FunctionEngine):
        def answer(self, request: EngineRequest) -> EngineResult:
            result = super().answer(request)
            if request.on_token is not None:
                for token in result.hypotheses[0].ids:
                    request.on_token(token)
            return result

    monkeypatch.setattr(helpers, "FunctionEngine", StreamingEngine)
    outputs = iter(["", LONG])  # the retry has more tokens than one round of updates returns, and an issue as well
    model, _ = english_german(toy_translator, lambda *_: next(outputs))
    with open_translator(model) as translator:
        deltas, [result] = stream(translator, LONG, source="en")
    assert deltas == result.text


def test_a_changed_number_is_tried_again_with_placeholders_and_without_digits(toy_translator: Path) -> None:
    asked: list[tuple[str, DecodingOptions]] = []

    def respond(text: str, options: DecodingOptions) -> str:
        asked.append((text, options))
        return reverse_words(text) if options.suppressed else "das Haus 77"

    model, _ = english_german(toy_translator, respond)
    with open_translator(model) as translator:
        [result] = translate(translator, "the house number 1234", source="en")
    assert (result.text, result.warnings) == ("eht esuoh rebmun 1234", [])
    (_, first), (text, second) = asked
    assert text == "the house number 2013"
    assert first.required == ()
    assert second.required == (tuple(model.codec.target_ids("2013")),)
    assert set(model.codec.target_ids("1 2 3")) & set(second.suppressed)
    assert second.repetition_penalty == 1.0


def test_a_small_number_that_cannot_be_put_back_leaves_the_first_try(toy_translator: Path) -> None:
    def respond(text: str, _: DecodingOptions) -> str:
        return "das x2013" if "2013" in text else "das Haus"

    model, engine = english_german(toy_translator, respond)
    with open_translator(model) as translator:
        [result] = translate(translator, "the 3rd house", source="en")
        assert (result.text, result.warnings) == ("das Haus", ["number_changed"])
        [result] = translate(translator, "three houses", source="en")
        assert (result.text, result.warnings) == ("das Haus", ["number_changed"])
    assert engine.sources == ["the 3rd house", "the 2013 house", "three houses", "2013 houses"]


def test_placeholder_tokens_of_the_manifest_stand_for_spans(toy_translator: Path) -> None:
    """A model that declares placeholder tokens reads them; one on a route with another that does not, reads years."""
    tokens = ["\ue000", "\ue001"]
    model, engine = english_german(toy_translator, reverse_words)
    model.manifest = model.manifest.model_copy(update={"placeholder_tokens": tokens})
    with open_translator(model) as translator:
        [result] = translate(translator, "the {name} house on 30 May at /usr/bin", source="en")
    assert engine.sources == ["the \ue000 house on 30 May at \ue001"]
    assert (result.text, result.warnings) == ("eht {name} esuoh no 30 yaM ta /usr/bin", [])
    first, first_engine = fake_translator(toy_translator, "fr", "en", reverse_words)
    second, _ = english_german(toy_translator, reverse_words)
    first.manifest = first.manifest.model_copy(update={"placeholder_tokens": tokens})
    with open_translator(first, second) as translator:
        [result] = translate(translator, "the {name} house", source="fr")
    assert result.text == "the {name} house"
    assert first_engine.sources == ["the 2013 house"]


def test_placeholders_that_do_not_fit_into_max_length_are_not_required(toy_translator: Path) -> None:
    asked: list[DecodingOptions] = []

    def respond(text: str, options: DecodingOptions) -> str:
        asked.append(options)
        return reverse_words(text)

    model, _ = english_german(toy_translator, respond)
    with open_translator(model) as translator:
        translate(translator, "the {name} house", source="en", options=TranslationOptions(max_length=1))
        translate(translator, "the {name} house", source="en")
    assert not asked[0].required
    assert len(asked[-1].required) == 1


def test_messages_of_icu_arguments_and_other_scripts(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, reverse_words)
    with open_translator(model) as translator:
        [messages, other] = translate(
            translator, "see {n, plural, one {a dog} other {# dogs}}", "Я не знаю. red house", source="en"
        )
    assert messages.text == "ees {n, plural, one {a god} other {# sgod}}"
    assert (other.text, other.warnings) == ("Я не знаю. der esuoh", ["source_script"])
