"""Tests of service.text.quality_checks."""

import time

import pytest

from service.text.quality_checks import COPIED, EMPTY, LENGTH, REPETITION, SCRIPT, find_issues


@pytest.mark.parametrize(
    ("source", "target", "language", "expected"),
    [
        ("Good morning.", " ", "de", [EMPTY]),
        ("Good morning.", "...", "de", [EMPTY]),
        ("© 2024 Tom", "© 2024", "de", [EMPTY]),
        ("Twenty.", "20.", "de", []),
        ("The 5th.", "5.", "de", [EMPTY]),
        ("5th", "5.", "de", []),
        ("She went home very late again.", "She went home very late again", "de", [COPIED]),
        ("We live there.", "Wir leben dort dort dort dort dort", "de", [REPETITION]),
        ("We live there.", "Die Hulturururur lebt", "de", [REPETITION]),
        ("We live there.", "Wir lebennnnnn", "de", [REPETITION]),
        ("I like it.", "Ich mag es, wenn du zu mir kommst und wir zusammen gehen.", "de", [LENGTH]),
        ("It is a long story about a man who never came home.", "Ja.", "de", [LENGTH]),
        ("Good morning, friends.", "Доброе утро, друзья.", "de", [SCRIPT]),
        ("Good morning, friends.", "Guten Morgen, Freunde.", "ru", [SCRIPT]),
    ],
)  # fmt: skip
def test_broken_translations_have_issues(source: str, target: str, language: str, expected: list[str]) -> None:
    assert find_issues(source, target, language) == expected


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("Hotel", "Hotel", "de"),
        ("Tom Jackson, New York", "Tom Jackson, New York", "de"),
        ("Hallo Tom!", "Hello Tom!", "en"),
        ("j e f f.", "J E F F.", "de"),
        ("12,000,000,000,000", "12.000.000.000.000", "de"),
        ("...", "", "de"),
        ("No.", "Auf gar keinen Fall.", "de"),
        ("Ha ha ha ha ha!", "Ja ja ja ja ja!", "es"),
        ("Good morning, friends.", "おはようございます、皆さん。", "ja"),
        ("Good morning, friends.", "大家早上好。", "zh-TW"),
        ("Good morning, friends.", "Доброе утро, друзья.", "xx"),
        ("Tom and Mary", "Том и Мэри", "ru"),
        ("Das ist Windows XP Professional", "Windows XP Professional です", "ja"),
        ("Прага", "12", "de"),
    ],
)
def test_good_translations_have_no_issues(source: str, target: str, language: str) -> None:
    assert find_issues(source, target, language) == []


@pytest.mark.parametrize("unit", ["a", "ab", "a ", "a.", "ab cd ef. "])
def test_time_is_linear_for_repetitive_text(unit: str) -> None:
    text = (unit * 4000)[:4000] + "x"
    started = time.process_time()
    find_issues("A source.", text, "de")
    assert time.process_time() - started < 1
