"""Tests of service.text.markup.plain_text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.alignment import AlignedText
from service.text.markup.plain_text import parse_marks

PIECES = [
    "*",
    "**",
    "~~",
    "_",
    "__",
    "[b]",
    "[/b]",
    "[url=x]",
    "[/url]",
    "[",
    "](a.b)",
    "![",
    "`",
    "\n",
    " ",
    "a",
    "two ",
    ".",
]


@pytest.mark.parametrize(
    ("text", "translations", "expected"),
    [
        ("This is **very** big.", ["Das ist sehr groß."], "Das ist **sehr** groß."),
        ("~~Go.~~", ["Geh."], "~~Geh.~~"),
        ("[b]Go[/b] [i]now[/i]", ["Geh jetzt"], "[b]Geh[/b] [i]jetzt[/i]"),
        ("A [big house](x.html).", ["Ein großes Haus."], "Ein [großes Haus](x.html)."),
        ("![a dog](a.png)", ["ein Hund"], "![ein Hund](a.png)"),
        ("a **b**\n\nc  d\n12", ["x y", "c  d"], "x **y**\n\nc  d\n12"),
        ("__all of it__", ["alles davon"], "__alles davon__"),
        ("*a `*b*`*", ["x `*b*`"], "*x `*b*`*"),
    ],
)
def test_marks_stand_at_the_translations_of_their_words(text: str, translations: list[str], expected: str) -> None:
    document = parse_marks(text)
    assert document is not None
    assert document.render(list(map(AlignedText, translations))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "5 * 3 * 4",
        "a*b*c",
        "__count__ _x_",
        "f**k it",
        "*|NAME|*",
        "[[a]] [x]",
        "| a | b |",
        "**not\nclosed**",
    ],
)
def test_texts_without_a_pair_of_marks_are_no_documents(text: str) -> None:
    assert parse_marks(text) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_the_blocks_and_the_text_between_them_are_the_text(text: str) -> None:
    document = parse_marks(text)
    assert document is None or document.source == text


@pytest.mark.parametrize("unit", ["*", "**a", "[", "[b]", "[a](", "[a](b)", "_a ", "~~", "![", "*a ** "])
def test_time_is_linear(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    started = time.process_time()
    parse_marks(text)
    assert time.process_time() - started < 2
