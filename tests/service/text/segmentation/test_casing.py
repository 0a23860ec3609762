"""Capitals go down for the model and up again for the reader."""

import pytest

from service.text.segmentation.casing import is_all_caps, lowercase, uppercase


@pytest.mark.parametrize("text", ["DO NOT ENTER", "STOP NOW!", "ÜBER ALLES", "I AM OK", "СТОЙ СЕЙЧАС"])
def test_shouted(text: str) -> None:
    assert is_all_caps(text)


@pytest.mark.parametrize("text", ["", "NASA", "EU, UN", "A B C D", "NASA is here", "你好 世界", "12 34", "iPHONE CASE"])
def test_not_shouted(text: str) -> None:
    assert not is_all_caps(text)


@pytest.mark.parametrize(
    ("text", "language", "opening", "expected"),
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
def test_lowered(text: str, language: str, opening: bool, expected: str) -> None:
    assert lowercase(text, language, opening) == expected
    assert len(expected) == len(text)


def test_raised() -> None:
    assert uppercase("Straße, ich", "de") == "STRASSE, ICH"
    assert uppercase("iyi ışık", "tr") == "İYİ IŞIK"
