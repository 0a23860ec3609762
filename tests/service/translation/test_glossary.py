"""Glossary terms: written by the model itself, inserted through placeholders, or reported as missed."""

from pathlib import Path
from typing import Any

import pytest

from service.engine.options import DecodingOptions
from tests.service.conftest import TRANSLATE, Service, assert_problem
from tests.service.translation.helpers import FullAfterFirstSubmission, english_german, open_translator, translate

GLOSSARY = {"house": "Villa", "dog": "Köter"}


def word_by_word(text: str, _: DecodingOptions) -> str:
    return text.replace("house", "Haus").replace("dog", "Hund").replace("red", "rote")


def test_terms_that_the_model_writes_itself_need_no_second_call(toy_translator: Path) -> None:
    model, engine = english_german(
        toy_translator, lambda text, _: text.replace("houses", "Villen").replace("dog", "Köter")
    )
    with open_translator(model) as translator:
        [result] = translate(translator, "red houses. dog", source="en", glossary={"house": "Ville", "dog": "Köter"})
    assert (result.text, result.warnings) == ("red Villen. Köter", [])
    assert len(engine.sources) == 2


def test_missed_terms_are_inserted_through_placeholders(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, word_by_word)
    with open_translator(model) as translator:
        [result] = translate(translator, "red house.\nHOUSE OF THE RED DOG {x}\nred", source="en", glossary=GLOSSARY)
    assert result.warnings == []
    assert result.text.startswith("rote Villa.\nVilla")
    assert result.text.count("Köter") == result.text.count("{x}") == 1
    assert result.text.endswith("\nrote")
    assert len(engine.sources) == 5
    [family] = model.engine_client.observer.retries("glossary").collect()
    assert family.samples[0].value == 2


def test_terms_whose_placeholder_is_lost_are_reported(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, lambda text, _: word_by_word(text, _).replace("2013", "nichts"))
    with open_translator(model) as translator:
        [result] = translate(translator, "red house, dogs", source="en", glossary=GLOSSARY)
    assert result.text == "rote Haus, Hunds"
    assert result.warnings == ["glossary_missed: dogs", "glossary_missed: house"]


def test_a_glossary_call_with_quality_issues_is_not_taken(toy_translator: Path) -> None:
    model, _ = english_german(
        toy_translator, lambda text, _: "2013" * 3 + " na" * 60 if "2013" in text else word_by_word(text, _)
    )
    with open_translator(model) as translator:
        [result] = translate(translator, "red house", source="en", glossary=GLOSSARY)
    assert (result.text, result.warnings) == ("rote Haus", ["glossary_missed: house"])


def test_a_full_queue_keeps_the_first_try(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, word_by_word)
    FullAfterFirstSubmission(model)
    with open_translator(model) as translator:
        [result] = translate(translator, "red house", source="en", glossary=GLOSSARY)
    assert (result.text, result.warnings) == ("rote Haus", ["glossary_missed: house"])


def test_more_terms_than_placeholders_are_reported(toy_translator: Path) -> None:
    model, _ = english_german(toy_translator, word_by_word)
    with open_translator(model) as translator:
        [result] = translate(translator, "house dog " * 5, source="en", glossary=GLOSSARY)
    assert result.warnings == ["glossary_missed: dog", "glossary_missed: house"]


def test_a_glossary_over_http(service: Service) -> None:
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
def test_an_invalid_glossary_is_rejected(service: Service, glossary: Any) -> None:
    body = assert_problem(service.post("/v1/translate", TRANSLATE | {"glossary": glossary}), 422, "invalid_request")
    assert "glossary" in body["detail"]
