"""Tests of service.text.glossary."""

import pytest

from service.text.glossary import Glossary, missing_terms


def find(text: str, *terms: str, language: str = "en", protected: tuple[tuple[int, int], ...] = ()) -> list[str]:
    """Return the terms found in a text as "source>target"; the target of each term is the term in capitals."""
    glossary = Glossary({term: term.upper() for term in terms}, language)
    found = glossary.find_terms(text, protected)
    assert all(text[term.start : term.end] == term.source for term in found)
    return [f"{term.source}>{term.target}" for term in found]


@pytest.mark.parametrize(
    ("text", "terms", "language", "expected"),
    [
        ("The dog and the Dogs.", ["dog"], "en", ["dog>DOG", "Dogs>DOG"]),
        ("A doghouse, a dogma and a hotdog", ["dog"], "en", []),
        ("The dog's bone", ["dog"], "en", ["dog's>DOG"]),
        ("Big  Red is red", ["red", "big red"], "en", ["Big  Red>BIG RED", "red>RED"]),
        ("Tell us about the US.", ["US"], "en", ["US>US"]),
        ("des Hauses, dem Hause", ["Haus"], "de-AT", ["Hauses>HAUS", "Hause>HAUS"]),
        ("house houses", ["house"], "xx", ["house>HOUSE"]),
        ("İzmir, ızmir and Izmir", ["izmir"], "en", ["İzmir>IZMIR", "ızmir>IZMIR", "Izmir>IZMIR"]),
        ("Izmir", ["İzmir"], "tr", ["Izmir>İZMIR"]),
        ("C++ and a.b", ["C++", "a.b"], "en", ["C++>C++", "a.b>A.B"]),
    ],
)  # fmt: skip
def test_terms_are_found_with_regular_endings(text: str, terms: list[str], language: str, expected: list[str]) -> None:
    assert find(text, *terms, language=language) == expected


def test_every_match_of_the_case_insensitive_pattern_has_a_target() -> None:
    letters = [chr(code) for code in range(0x110000) if chr(code).lower() != chr(code).upper()]
    small = [letter for letter in letters if letter.lower() == letter]
    assert len(Glossary(dict.fromkeys(small, "x"), "xx").find_terms(" ".join(letters), ())) > len(small)


def test_no_term_is_found_in_a_protected_span() -> None:
    assert find("dog {dog} dog", "dog", protected=((4, 9),)) == ["dog>DOG", "dog>DOG"]


@pytest.mark.parametrize(
    ("target", "translation", "missing"),
    [
        ("Haus", "Das Haus", 0),
        ("Haus", "die Häuser", 0),
        ("Haus", "das Hausboot", 1),
        ("haus", "DAS HAUS", 0),
        ("Ei", "Eier", 1),
        ("New York", "in New  York", 0),
        ("Haus", "", 1),
    ],
)
def test_a_target_is_found_with_a_short_ending_or_an_umlaut(target: str, translation: str, missing: int) -> None:
    terms = Glossary({"house": target}, "en").find_terms("a house", ())
    assert len(missing_terms(terms, translation)) == missing


def test_a_target_must_occur_as_often_as_its_term() -> None:
    terms = Glossary({"dog": "Hund", "cat": "Katze"}, "en").find_terms("dog, dog and cat", ())
    assert [term.start for term in missing_terms(terms, "Hund und Katze")] == [5]
