"""Terms are found with their endings, and are known again in a translation."""

import pytest

from service.text.glossary import Glossary, missing_terms


def found(text: str, *terms: str, language: str = "en", kept: tuple[tuple[int, int], ...] = ()) -> list[str]:
    glossary = Glossary({term: term.upper() for term in terms}, language)
    hits = glossary.find_terms(text, kept)
    assert all(text[term.start : term.end] == term.source for term in hits)
    return [f"{term.source}>{term.target}" for term in hits]


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
def test_terms_in_a_text(text: str, terms: list[str], language: str, expected: list[str]) -> None:
    assert found(text, *terms, language=language) == expected


def test_every_letter_that_the_pattern_takes_for_another_is_that_other_letter() -> None:
    letters = [chr(code) for code in range(0x110000) if chr(code).lower() != chr(code).upper()]
    small = [letter for letter in letters if letter.lower() == letter]
    assert len(Glossary(dict.fromkeys(small, "x"), "xx").find_terms(" ".join(letters), ())) > len(small)


def test_what_is_kept_holds_no_term() -> None:
    assert found("dog {dog} dog", "dog", kept=((4, 9),)) == ["dog>DOG", "dog>DOG"]


@pytest.mark.parametrize(
    ("target", "translation", "lost"),
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
def test_targets_in_a_translation(target: str, translation: str, lost: int) -> None:
    terms = Glossary({"house": target}, "en").find_terms("a house", ())
    assert len(missing_terms(terms, translation)) == lost


def test_a_term_counts_as_often_as_it_is_there() -> None:
    terms = Glossary({"dog": "Hund", "cat": "Katze"}, "en").find_terms("dog, dog and cat", ())
    assert [term.start for term in missing_terms(terms, "Hund und Katze")] == [5]
