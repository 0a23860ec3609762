"""Tests of service.text.signs and service.text.number_formats."""

import pytest

from service.text.number_formats import localise
from service.text.signs import find_splitting_signs, has_changed_signs


@pytest.mark.parametrize(
    ("source", "target", "changed"),
    [
        ("Go home.", "Geh heim.", False),
        ("Go (home).", "Geh heim.", True),
        ("Go home.", "(3)", True),
        ('"Go," he said.', "„Geh“, sagte er.", False),
        ('"Go," he said.', "„Geh, sagte er.", True),
        ("A & B", "A und B", True),
        ("He left - at last.", "Er ging – endlich.", False),
        ("He left — at last.", "Er ging endlich.", True),
        ("A well-known man", "Ein bekannter Mann", False),
        ("Go.", "Geh..", True),
        ("Go...", "Geh...", False),
        ("Well… go.", "Geh.", True),
        ("Well… go.", "Nun... geh.", False),
        ("Wait... then go.", "Geh dann.", True),
        ("Wait!! Then go.", "Wartet!! Geh…", True),
        ("It is ∞.", "Es ist \ufffd.", True),
        ("Go home.", "– Geh heim.", True),
        ("– Go home.", "- Geh heim.", False),
        ("My 'best' dog", "Mein Hund", True),
        ("My 'best' dog", "Mein ‚bester‘ Hund", False),
        ("Tom's dogs' house isn't here.", "Toms Hundehaus ist nicht hier.", False),
    ],
)
def test_changed_signs(source: str, target: str, changed: bool) -> None:
    assert has_changed_signs(source, target) is changed


def test_signs_to_split_around() -> None:
    text = 'A "b" (c) - d-e—f or g/h'
    assert [text[start:end] for start, end in find_splitting_signs(text)] == ['"', '"', "(", ")", "-", "—", "/"]


@pytest.mark.parametrize(
    ("number", "source", "target", "expected"),
    [
        ("8th", "en", "de", "8."),
        ("1st", "en", "fr", "1er"),
        ("3rd", "en", "es", "3.º"),
        ("2e", "fr", "en", "2nd"),
        ("11.º", "es", "en", "11th"),
        ("21ème", "fr", "en", "21st"),
        ("8th", "en", "fi", "8th"),
        ("5", "en", "de", "5"),
        ("8th", "fi", "de", "8th"),
    ],
)
def test_ordinal_numbers_are_localised(number: str, source: str, target: str, expected: str) -> None:
    assert localise(number, source, target) == expected
