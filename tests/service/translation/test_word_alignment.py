"""Where the words of a translation come from, through sentences, stand-ins, languages in between and alternatives."""

from pathlib import Path
from typing import Any

import pytest

from service.engine.decoding.options import DecodingOptions
from service.models.served_model import ServedModel
from service.translation.request import TranslationResult
from tests.conftest import LEXICON
from tests.service.translation.helpers import speaking, translate, translator

ALIGNED: dict[str, Any] = {"source": "en", "include": frozenset({"alignment"})}
BACK = {other: word for word, other in LEXICON.items()}


def turned(text: str, options: DecodingOptions | None = None) -> str:
    """The words of a sentence in German, or back in English, from its end to its beginning."""
    end = "." * text.endswith(".")
    return " ".join((LEXICON | BACK).get(word, word) for word in text.removesuffix(end).split(" ")[::-1]) + end


def turning(artifact: Path, source: str = "en", target: str = "de", say: Any = turned) -> ServedModel:
    return speaking(artifact, f"{source}-{target}", (source, target), say)[0]


def words(text: str, candidate: TranslationResult) -> list[tuple[str, str]]:
    """The linked parts of a text and its translation, in the translation's order."""
    assert candidate.alignment is not None
    parts = [(text[a:b].strip(), candidate.text[c:d].strip()) for a, b, c, d in candidate.alignment]
    return [part for part in parts if any(part)]


def test_every_word_is_traced_back(toy_translator: Path) -> None:
    text = "one red  house \n- three http://x.org/ two bird"
    with translator(turning(toy_translator)) as core:
        [result] = translate(core, text, **ALIGNED)
    assert result.text == "Haus rot  eins \n- Vogel zwei http://x.org/ drei"
    assert set(words(text, result)) == {
        ("house", "Haus"), ("red", "rot"), ("one", "eins"),
        ("bird", "Vogel"), ("two", "zwei"), ("http://x.org/", "http://x.org/"), ("three", "drei"),
    }  # fmt: skip
    assert result.warnings == []


def test_nobody_asks_where_nobody_wants_to_know(toy_translator: Path) -> None:
    model = turning(toy_translator)
    model.scorer.worker_pool.queue.close()
    with translator(model) as core:
        [result] = translate(core, "one red house", source="en")
    assert (result.alignment, result.warnings) == (None, [])


def test_words_are_traced_through_a_language_in_between(toy_translator: Path) -> None:
    first = turning(toy_translator, "fr", "en")
    second = turning(toy_translator, "en", "de", lambda text, _: turned(text).upper())
    with translator(first, second) as core:
        [result] = translate(core, "one red house two", **ALIGNED | {"source": "fr"})
    assert result.text == "ONE RED HOUSE TWO"
    assert words("one red house two", result) == [(word, word.upper()) for word in ("one", "red", "house", "two")]


def test_alternatives_have_links_of_their_own(toy_translator: Path) -> None:
    with translator(turning(toy_translator, say=lambda text, _: f"{turned(text)}\n{turned(text).upper()}")) as core:
        [result] = translate(core, "one red house", **ALIGNED)
    assert words("one red house", result) == [("house", "Haus"), ("red", "rot"), ("one", "eins")]
    [other] = result.alternatives
    assert words("one red house", other) == [("house", "HAUS"), ("red", "ROT"), ("one", "EINS")]


def test_a_word_that_stays_comes_from_itself(toy_translator: Path) -> None:
    """Wherever the model looked, if there is only one such word."""
    with translator(turning(toy_translator, say=lambda text, _: "Tom eins Tom 7")) as core:
        one, two = translate(core, "7 one Tom", "7 Tom Tom one", **ALIGNED)
    assert words("7 one Tom", one)[-1] == ("7", "7")
    assert words("7 Tom Tom one", two) == [("one", "Tom"), ("Tom", "eins"), ("Tom", "Tom"), ("7", "7")]


def test_without_room_for_questions_there_is_a_warning(toy_translator: Path) -> None:
    model = turning(toy_translator)
    model.scorer.worker_pool.queue.close()
    with translator(model) as core:
        [result] = translate(core, "one red house", **ALIGNED)
    assert (result.text, result.alignment, result.warnings) == ("Haus rot eins", [], ["not_aligned"])


@pytest.mark.parametrize("limit", ["source_length", "target_length"])
def test_what_is_too_long_to_look_at_is_not_aligned(toy_translator: Path, limit: str) -> None:
    model = turning(toy_translator)
    limits = model.scorer.manifest.limits.model_copy(update={limit: 4})
    model.scorer.manifest = model.scorer.manifest.model_copy(update={"limits": limits})
    with translator(model) as core:
        long, short = translate(core, "one red house three bird", "red dog", **ALIGNED)
    assert (long.alignment, long.warnings) == ([], ["not_aligned"])
    assert words("red dog", short) == [("dog", "Hund"), ("red", "rot")]
