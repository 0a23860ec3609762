"""Word alignment through sentences, placeholders, a pivot language and alternatives."""

import re
from pathlib import Path
from typing import Any

import pytest

from service.engine.options import DecodingOptions
from service.models.served_model import ServedModel
from service.translation.request import TranslationResult
from tests.conftest import LEXICON
from tests.service.translation.helpers import Respond, fake_translator, open_translator, translate

ALIGNED: dict[str, Any] = {"source": "en", "include": frozenset({"alignment"})}
INVERSE = {other: word for word, other in LEXICON.items()}


def reversed_sentence(text: str, options: DecodingOptions | None = None) -> str:
    """Translate word by word into German, or back into English, and reverse the order of the words."""
    end = "." * text.endswith(".")
    return " ".join((LEXICON | INVERSE).get(word, word) for word in text.removesuffix(end).split(" ")[::-1]) + end


def model(artifact: Path, source: str = "en", target: str = "de", respond: Respond = reversed_sentence) -> ServedModel:
    return fake_translator(artifact, source, target, respond)[0]


def linked_words(text: str, result: TranslationResult) -> list[tuple[str, str]]:
    """Return the linked parts of a text and its translation, in the translation's order."""
    assert result.alignment is not None
    parts = [(text[a:b].strip(), result.text[c:d].strip()) for a, b, c, d in result.alignment]
    return [part for part in parts if any(part)]


def test_every_word_is_linked(toy_translator: Path) -> None:
    text = "one red  house \n- three http://x.org/ two bird"
    with open_translator(model(toy_translator)) as translator:
        [result] = translate(translator, text, **ALIGNED)
    assert result.text == "Haus rot  eins \n- Vogel zwei http://x.org/ drei"
    assert set(linked_words(text, result)) == {
        ("house", "Haus"), ("red", "rot"), ("one", "eins"),
        ("bird", "Vogel"), ("two", "zwei"), ("http://x.org/", "http://x.org/"), ("three", "drei"),
    }  # fmt: skip
    assert result.warnings == []


def test_the_scorer_is_not_called_unless_alignment_is_requested(toy_translator: Path) -> None:
    english = model(toy_translator)
    english.scorer.worker_pool.queue.close()
    with open_translator(english) as translator:
        [result] = translate(translator, "one red house", source="en")
    assert (result.alignment, result.warnings) == (None, [])


def test_brackets_and_quotation_marks_that_a_sentence_lost_are_put_back(toy_translator: Path) -> None:
    def respond(text: str, _: DecodingOptions | None = None) -> str:
        return reversed_sentence(re.sub(r"[()\"]", "", text)) + " %" * ("bird" in text)

    english = model(toy_translator, respond=respond)
    with open_translator(english) as translator:
        [result] = translate(translator, 'one (red) "house" two', source="en")
        assert (result.text, result.warnings) == ("zwei „Haus“ (rot) eins", [])
        [result] = translate(translator, "one bird", source="en")
        assert result.warnings == ["sign_changed"]  # a percent sign has no place of its own
        english.scorer.worker_pool.queue.close()
        [result] = translate(translator, "one (red) house", source="en")
        assert (result.text, result.warnings) == ("Haus rot eins", ["sign_changed"])


def test_words_are_linked_through_a_pivot_language(toy_translator: Path) -> None:
    first = model(toy_translator, "fr", "en")
    second = model(toy_translator, "en", "de", lambda text, _: reversed_sentence(text).upper())
    with open_translator(first, second) as translator:
        [result] = translate(translator, "one red house two", **ALIGNED | {"source": "fr"})
    assert result.text == "ONE RED HOUSE TWO"
    assert linked_words("one red house two", result) == [
        (word, word.upper()) for word in ("one", "red", "house", "two")
    ]


def test_alternatives_have_links_of_their_own(toy_translator: Path) -> None:
    def two_hypotheses(text: str, _: DecodingOptions) -> str:
        return f"{reversed_sentence(text)}\n{reversed_sentence(text).upper()}"

    with open_translator(model(toy_translator, respond=two_hypotheses)) as translator:
        [result] = translate(translator, "one red house", **ALIGNED)
    assert linked_words("one red house", result) == [("house", "Haus"), ("red", "rot"), ("one", "eins")]
    [other] = result.alternatives
    assert linked_words("one red house", other) == [("house", "HAUS"), ("red", "ROT"), ("one", "EINS")]


def test_a_word_that_stays_is_linked_with_itself(toy_translator: Path) -> None:
    """If it occurs once in either text, wherever the model attended."""
    with open_translator(model(toy_translator, respond=lambda text, _: "Tom eins Tom 7")) as translator:
        one, two = translate(translator, "7 one Tom", "7 Tom Tom one", **ALIGNED)
    assert linked_words("7 one Tom", one)[-1] == ("7", "7")
    assert linked_words("7 Tom Tom one", two) == [("one", "Tom"), ("Tom", "eins"), ("Tom", "Tom"), ("7", "7")]


def test_a_closed_scoring_queue_gives_a_warning(toy_translator: Path) -> None:
    english = model(toy_translator)
    english.scorer.worker_pool.queue.close()
    with open_translator(english) as translator:
        [result] = translate(translator, "one red house", **ALIGNED)
    assert (result.text, result.alignment, result.warnings) == ("Haus rot eins", [], ["not_aligned"])


@pytest.mark.parametrize("limit", ["source_length", "target_length"])
def test_a_pair_beyond_the_scorers_limits_is_not_aligned(toy_translator: Path, limit: str) -> None:
    english = model(toy_translator)
    limits = english.scorer.manifest.limits.model_copy(update={limit: 4})
    english.scorer.manifest = english.scorer.manifest.model_copy(update={"limits": limits})
    with open_translator(english) as translator:
        long, short = translate(translator, "one red house three bird", "red dog", **ALIGNED)
    assert (long.alignment, long.warnings) == ([], ["not_aligned"])
    assert linked_words("red dog", short) == [("dog", "Hund"), ("red", "rot")]
