"""Tests of service.text.sign_placement."""

import pytest

from service.text.alignment import AlignedText, AlignmentLink
from service.text.markup.tag_placement import proportional_links
from service.text.sign_placement import place_signs


@pytest.mark.parametrize(
    ("source", "translation", "language", "expected"),
    [
        ('He said "yes".', "Er sagte ja.", "de", "Er sagte „ja“."),
        ('He said "yes".', "Er sagte „ja.", "de", "Er sagte „ja“."),
        ("Er sagte „ja“.", "He said yes.", "en", 'He said "yes".'),
        ('Say "Yes!" now.', "Dis oui ! maintenant.", "fr", "Dis «\u00a0oui\u00a0» ! maintenant."),
        ('Say "Yes!" now.', "Di sí! ahora.", "es", 'Di "sí!" ahora.'),
        ("It is (not) here.", "Es ist nicht hier.", "de", "Es ist (nicht) hier."),
        ("It is here.", "Es ist (hier).", "de", "Es ist hier."),
        ("Go — now.", "Geh, jetzt.", "de", "Geh — jetzt."),
        ("a — b — c", "x – y z", "de", "x — y — z"),
        ("green—nothing", "grün, nichts", "de", "grün—nichts"),
        ('5" and "a" or b', "5 und a oder b", "de", "5 und a oder b"),  # which signs belong together is not clear
        ('go ("home") or (go)', "heim heim oder heim", "de", "heim („heim“) oder (heim)"),
        ("(a) or [b]", "(x) oder y", "de", "(x) oder [y]"),
        ("My 'best' dog", "Mein bester Hund", "de", "Mein 'bester' Hund"),
        ("It is here.", "Es ist hier.", "de", "Es ist hier."),
        ("It is here.", "– Es ist hier.", "de", "Es ist hier."),
        ("He is here – go.", "– Er ist hier – geh.", "de", "Er ist hier – geh."),
        ("– It is here.", "– Es ist hier.", "de", "– Es ist hier."),
    ],
)
def test_lost_signs_are_put_back(source: str, translation: str, language: str, expected: str) -> None:
    links = tuple(proportional_links(source, translation))
    assert place_signs(source, AlignedText(translation, links), language).text == expected


def test_links_follow_the_text() -> None:
    links = (AlignmentLink(0, 1, 0, 1), AlignmentLink(3, 4, 2, 3))
    placed = place_signs("a (b)", AlignedText("x y", links), "de")
    assert placed.text == "x (y)"
    assert [placed.text[link.target_start : link.target_end] for link in placed.links] == ["x", "y"]


def test_without_links_nothing_is_placed() -> None:
    assert place_signs("a (b) — c", AlignedText("x y z"), "de") == AlignedText("x y z")
