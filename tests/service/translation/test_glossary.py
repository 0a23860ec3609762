"""A request's glossary: honoured by the model, or held and put in, or reported."""

from pathlib import Path
from typing import Any

import pytest

from service.engine.decoding.options import DecodingOptions
from tests.service.conftest import TRANSLATE, Service, assert_problem
from tests.service.translation.helpers import translate, translator
from tests.service.translation.test_retries import OneRound, pair

GLOSSARY = {"house": "Villa", "dog": "Köter"}


def word_by_word(text: str, _: DecodingOptions) -> str:
    return text.replace("house", "Haus").replace("dog", "Hund").replace("red", "rote")


def test_what_the_model_says_anyway_is_left_alone(toy_translator: Path) -> None:
    model, speaker = pair(toy_translator, lambda text, _: text.replace("houses", "Villen").replace("dog", "Köter"))
    with translator(model) as core:
        [result] = translate(core, "red houses. dog", source="en", glossary={"house": "Ville", "dog": "Köter"})
    assert (result.text, result.warnings) == ("red Villen. Köter", [])
    assert len(speaker.heard) == 2


def test_what_it_does_not_say_is_held(toy_translator: Path) -> None:
    model, speaker = pair(toy_translator, word_by_word)
    with translator(model) as core:
        [result] = translate(core, "red house.\nHOUSE OF THE RED DOG {x}\nred", source="en", glossary=GLOSSARY)
    assert result.warnings == []
    assert result.text.startswith("rote Villa.\nVilla")
    assert result.text.count("Köter") == result.text.count("{x}") == 1
    assert result.text.endswith("\nrote")
    assert len(speaker.heard) == 5


def test_what_cannot_be_brought_in_is_told(toy_translator: Path) -> None:
    model, _ = pair(toy_translator, lambda text, _: word_by_word(text, _).replace("2013", "nichts"))
    with translator(model) as core:
        [result] = translate(core, "red house, dogs", source="en", glossary=GLOSSARY)
    assert result.text == "rote Haus, Hunds"
    assert result.warnings == ["glossary_missed: dogs", "glossary_missed: house"]


def test_a_try_that_looks_wrong_is_not_taken(toy_translator: Path) -> None:
    model, _ = pair(
        toy_translator, lambda text, _: "2013" * 3 + " na" * 60 if "2013" in text else word_by_word(text, _)
    )
    with translator(model) as core:
        [result] = translate(core, "red house", source="en", glossary=GLOSSARY)
    assert (result.text, result.warnings) == ("rote Haus", ["glossary_missed: house"])


def test_a_full_queue_leaves_the_first_try(toy_translator: Path) -> None:
    model, _ = pair(toy_translator, word_by_word)
    OneRound(model)
    with translator(model) as core:
        [result] = translate(core, "red house", source="en", glossary=GLOSSARY)
    assert (result.text, result.warnings) == ("rote Haus", ["glossary_missed: house"])


def test_too_many_terms_to_hold_are_told(toy_translator: Path) -> None:
    model, _ = pair(toy_translator, word_by_word)
    with translator(model) as core:
        [result] = translate(core, "house dog " * 5, source="en", glossary=GLOSSARY)
    assert result.warnings == ["glossary_missed: dog", "glossary_missed: house"]


def test_over_http(service: Service) -> None:
    reply = service.post("/v1/translate", TRANSLATE | {"text": "red house", "glossary": {"house": "Haus"}})
    assert reply.json()["translations"][0] == {
        "text": "rot Haus", "source": "a", "target": "b", "finish_reason": "stop",
    }  # fmt: skip


@pytest.mark.parametrize(
    "glossary",
    [
        {f"term {i}": "x" for i in range(201)},
        {"": "x"},
        {"dog": " "},
        {"dog": "x" * 101},
        {"dog": 5},
        ["dog"],
        "dog",
        {"dog": "a\nb" * 50},
    ],
)
def test_what_is_no_glossary(service: Service, glossary: Any) -> None:
    body = assert_problem(service.post("/v1/translate", TRANSLATE | {"glossary": glossary}), 422, "invalid_request")
    assert "glossary" in body["detail"]
