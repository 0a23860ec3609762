"""Tests of service.text.segmentation.casing."""

import pytest

from service.text.segmentation.casing import is_all_caps, lowercase, uppercase


@pytest.mark.parametrize("text", ["DO NOT ENTER", "STOP NOW!", "ÜBER ALLES", "I AM OK", "СТОЙ СЕЙЧАС"])
def test_a_sentence_in_capitals_is_all_caps(text: str) -> None:
    assert is_all_caps(text)


@pytest.mark.parametrize("text", ["", "NASA", "EU, UN", "A B C D", "NASA is here", "你好 世界", "12 34", "iPHONE CASE"])
def test_acronyms_and_mixed_case_are_not_all_caps(text: str) -> None:
    assert not is_all_caps(text)


@pytest.mark.parametrize(
    ("text", "language", "starts_sentence", "expected"),
    [
        ("WHAT DO I SEE", "en", True, "What do I see"),
        ("¿QUÉ TAL?", "es", True, "¿Qué tal?"),
        ("WAS SEHE ICH", "de", False, "was sehe ich"),
        ("ISTANBUL IŞIK İYİ", "tr", True, "Istanbul ışık iyi".replace("I", "I")),
        ("İYİ GÜN", "tr", True, "İyi gün"),
        ("İYİ GÜN", "en", True, "İYİ GÜN"),
        ("...", "en", True, "..."),
        ("ΟΔΟΣ ΣΟΦΟΣ", "el", True, "Οδος σοφος"),
    ],
)
def test_lowercase_follows_the_language_and_keeps_positions(
    text: str, language: str, starts_sentence: bool, expected: str
) -> None:
    assert lowercase(text, language, starts_sentence) == expected
    assert len(expected) == len(text)


def test_uppercase_follows_the_language() -> None:
    assert uppercase("Straße, ich", "de") == "STRASSE, ICH"
    assert uppercase("iyi ışık", "tr") == "İYİ IŞIK"
