"""Tests of service.text.segmentation.placeholders."""

import pytest

from service.text.segmentation.placeholders import (
    PLACEHOLDERS,
    Placeholder,
    choose_placeholders,
    find_placeholders,
)
from service.text.segmentation.protected_spans import find_protected_spans

PAIR = ("en", "de")


def test_placeholders_do_not_occur_in_the_text() -> None:
    text = f"In {PLACEHOLDERS[0]} {{a}} and {{b}}."
    chosen = choose_placeholders(text, find_protected_spans(text), PAIR)
    assert chosen == [Placeholder(year, year) for year in PLACEHOLDERS[1:3]]


def test_an_ampersand_is_read_as_the_word_for_and() -> None:
    text = "Tom & Anna"
    assert choose_placeholders(text, [(4, 5)], PAIR) == [Placeholder("and", "und")]
    assert choose_placeholders("Tom & Anna and Bob", [(4, 5)], PAIR) == [Placeholder("2013", "2013")]
    assert choose_placeholders(text, [(4, 5)], ("en", "fi")) == [Placeholder("2013", "2013")]
    assert find_placeholders("Tom und Hund", ["und"]) == [(4, 7)]


def test_placeholder_tokens_come_before_years() -> None:
    tokens, text = ["\ue000", "\ue001"], "{a} {b} {c} \ue001"
    spans = [(0, 3), (4, 7), (8, 11)]
    chosen = choose_placeholders(text, spans, PAIR, tokens)
    assert chosen is not None
    assert [one.source for one in chosen] == ["\ue000", "2013", "2003"]
    assert find_placeholders("x \ue000, y", ["\ue000"]) == [(2, 3)]
    assert find_placeholders("\ue000 \ue000", ["\ue000"]) is None
    assert find_placeholders("x\ue000", ["\ue000"]) is None  # it would touch a word


@pytest.mark.parametrize("text", ["pre{x}", "{x}post", "{a} " * 17])
def test_spans_that_touch_a_word_or_are_too_many_have_no_placeholders(text: str) -> None:
    assert choose_placeholders(text, find_protected_spans(text), PAIR) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("in 2013.", [(3, 7)]),
        ("in 2013, 2013", None),
        ("in 20130", None),
        ("2013er", None),
        ("2013,5", None),
        ("1.2013", None),
        ("none", None),
    ],
)
def test_a_placeholder_is_found_only_if_it_occurs_once_as_a_whole_word(
    text: str, found: list[tuple[int, int]] | None
) -> None:
    assert find_placeholders(text, ["2013"]) == found
