"""Tests of service.text.numbers and service.text.number_words."""

import time

import pytest

from service.text.number_words import find_number_words
from service.text.numbers import compare_numbers, find_numbers


def test_numbers_up_to_twelve_are_not_found() -> None:
    text = "In 1999, 3 of 12 men, a 3rd at 2:30, had 1,000.50 (or 20-odd) x86 and 13kg."
    assert [text[start:end] for start, end in find_numbers(text)] == ["1999", "2:30", "1,000.50", "20", "x86", "13kg"]


@pytest.mark.parametrize(
    ("source", "target", "is_lost"),
    [
        ("5,000 yen", "5.000 Yen", False),
        ("5,000 yen", "5000 Yen", False),
        ("5,000 yen", "500 Yen", True),
        ("12/25/2019", "25.12.2019", False),
        ("two of 12 in 1999", "zwei von zwölf 1999", False),
        ("13 and 13", "13", True),
        ("page 14", "Seite ١٤", False),
        ("at 2:30", "um halb drei", False),
        ("at 12:30", "um 12 Uhr 30", False),
        ("1.5 miles", "15 Meilen", True),
        ("1.5 miles", "1,5 Meilen", False),
        ("3/4 of it", "34 davon", True),
        ("250 books", "250.000 Bücher", True),
        ("20 books", "20,5 Bücher", True),
        ("0.125 and 1.05", "0,125 und 1,5", True),
        ("1,234.56", "1.234,56", False),
        ("5,000 yen", "5 000 yens", False),
        ("on 2020-05-01", "am 2020-05-01", False),
        ("on 2020-05-01", "am 2020-0501", True),
        ("1914-1918", "1914 bis 1918", False),
        ("555-01-02", "555", True),
        ("the 1990s, 25th", "die 1990er, 25.", False),
        ("08 to 09.15", "8 bis 9:15", False),
    ],
)
def test_a_number_is_lost_unless_the_target_has_it_in_another_format(source: str, target: str, is_lost: bool) -> None:
    lost = compare_numbers(source, target, "en", "de").lost
    assert (not set(find_numbers(source)).isdisjoint(lost)) is is_lost


@pytest.mark.parametrize(
    ("language", "text", "values"),
    [
        ("en", "two hundred and five cats, twenty-two dogs, two million", [205, 22, 2_000_000]),
        ("de", "zweihundertfünfzig und dreiundzwanzig", [250, 23]),
        (
            "fr",
            "quatre-vingt-dix-neuf, vingt et un, dix-huit, soixante-dix-sept, deux mille trois",
            [99, 21, 18, 77, 2003],
        ),
        ("es", "treinta y dos, veintidós, quinientos", [32, 22, 500]),
        ("en", "one second, twice, a dozen of both", []),
        ("de", "ein Paar, halb drei, Gib acht!", []),
        ("de", "Elf Leute", [11]),
        ("de", "die Elf", []),
        ("pl", "dwa", []),
    ],
)
def test_cardinals_are_read_and_other_number_words_are_only_hints(language: str, text: str, values: list[int]) -> None:
    assert [word.value for word in find_number_words(text, language) if word.cardinal] == values


@pytest.mark.parametrize(
    ("source", "target", "language", "lost", "invented"),
    [
        ("It is 5.", "Es ist fünf.", "de", [], []),
        ("Dose: 5.", "Setzen Sie mir!", "de", ["5"], []),
        ("I am hungry", "(309)", "de", [], ["309"]),
        ("I have three dogs.", "J'ai quatre chiens.", "fr", ["three"], ["quatre"]),
        ("I have three dogs.", "Tengo 3 perros.", "es", [], []),
        ("Both came.", "Tous les deux sont venus.", "fr", [], []),
        ("Wait a fortnight.", "Attendez quinze jours.", "fr", [], []),
        ("It is 2 p.m.", "Es ist 14 Uhr.", "de", [], []),
        ("Call at 3", "Ruf um 15 Uhr an", "de", [], []),
        ("the 3 of us meet at 3 pm", "wir 15 treffen uns um 15 Uhr", "de", ["3"], ["15"]),
        ("half past two", "halb drei", "de", [], []),
        ("the 8th and the 7th", "der 8. und der 80e", "de", ["7th"], ["80e"]),
        ("2 million", "2.000.000", "de", [], []),
        ("My bike is new.", "Mon vélo est neuf.", "fr", [], []),
        ("I have one.", "Ich habe eins.", "de", [], []),
        ("5 cats", "5 Katzen, 5", "de", [], ["5"]),
        ("5 cats", "fünf Katzen, 5", "de", [], ["fünf"]),
        ("It is twelve.", "Es doce las doce.", "es", [], ["doce"]),
        ("at 8:15", "um 8:15:15", "de", [], ["8:15:15"]),
        ("I have 0 cats", "Ich habe0 Katzen", "de", ["0"], ["habe0"]),
        ("5,000 yen", "5 000 yens", "fr", [], []),
        ("two million", "2 Millionen", "de", [], []),
        ("2 million", "zwei Millionen", "de", [], []),
        ("zero cats", "die Katzen", "de", ["zero"], []),
        ("zero cats", "keine Katzen", "de", [], []),
    ],
)
def test_lost_and_invented_numbers_are_found(
    source: str, target: str, language: str, lost: list[str], invented: list[str]
) -> None:
    found = compare_numbers(source, target, "en", language)
    assert [source[start:end] for start, end in found.lost] == lost
    assert [target[start:end] for start, end in found.invented] == invented


def test_without_known_number_words_only_numbers_above_twelve_must_be_in_digits() -> None:
    assert compare_numbers("5 cats and 13 dogs", "pięć kotów", "en", "pl").lost == [(11, 13)]


@pytest.mark.parametrize("unit", ["1a", "1.", "a_", "1 ", "two ", "two-", "1-", "zweiundzwanzig", "2 million "])
def test_time_is_linear_for_runs_of_numbers(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    started = time.process_time()
    compare_numbers(text, text + " 1", "en", "de")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("end", ["", " million"])
def test_a_number_of_thousands_of_digits_is_compared(end: str) -> None:
    number = "9" * 5000 + end
    assert compare_numbers(number, f"x {number}", "en", "de").lost == []
    assert compare_numbers(number, "x", "en", "de").lost == [(0, 5000)]
