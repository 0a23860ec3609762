"""Tests of service.text.segmentation.placeholders."""

import time

import pytest

from service.text.segmentation.placeholders import (
    PLACEHOLDERS,
    choose_placeholders,
    find_placeholders,
    find_protected_spans,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://example.org/a_(b)?c=1&d=e#f.", ["https://example.org/a_(b)?c=1&d=e#f"]),
        ("See http://x.org/a_(b)", ["http://x.org/a_(b)"]),
        ("(see http://x.org/a) or www.x.org, HTTP://X.ORG!", ["http://x.org/a", "www.x.org", "HTTP://X.ORG"]),
        ("at example.com/path. Or bbc.co.uk?", ["example.com/path", "bbc.co.uk"]),
        ("Mail joe.b+c@mail.example.org.", ["joe.b+c@mail.example.org"]),
        ("'a@b.org' or bob.o'neil@example.co.uk", ["a@b.org", "bob.o'neil@example.co.uk"]),
        ("Example.com, GitHub.com/Me. Gut.Das", ["Example.com", "GitHub.com/Me"]),
        ("{name} {{ user.name }} ${var} {0:.2f}", ["{name}", "{{ user.name }}", "${var}", "{0:.2f}"]),
        ("%s %(name)s %1$s %.2f %d", ["%s", "%(name)s", "%1$s", "%.2f", "%d"]),
        ("%s%d<b>", ["%s%d<b>"]),
        ("<2de> </s> <|end|> <b> <a href='x'> <br/>", ["<2de>", "</s>", "<|end|>", "<b>", "<a href='x'>", "<br/>"]),
        ("run `a b` or ```c```", ["`a b`", "```c```"]),
        ("a&nbsp;b &#233; \ufffc", ["&nbsp;", "&#233;", "\ufffc"]),
        ("见https://x.org/路。好", ["https://x.org/路"]),
        ("100% sure, 50 % de, a < b and c > d, AT&T, end.Then it@ @x", []),
        ("He said: no. 5,000 e.g. this", []),
    ],
)
def test_protected_spans_are_found_and_nothing_else(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in find_protected_spans(text)] == expected


def test_placeholders_do_not_occur_in_the_text() -> None:
    text = f"In {PLACEHOLDERS[0]} {{a}} and {{b}}."
    assert choose_placeholders(text, find_protected_spans(text)) == list(PLACEHOLDERS[1:3])


@pytest.mark.parametrize("text", ["pre{x}", "{x}post", "{a} " * 9])
def test_spans_that_touch_a_word_or_are_too_many_have_no_placeholders(text: str) -> None:
    assert choose_placeholders(text, find_protected_spans(text)) is None


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


@pytest.mark.parametrize(
    "unit",
    ["`a", "<a ", "<a =", "@a", "a@", "a@a.", "http://", "{", "%(", "a.com ", "a.", "&a", "1a", "1.", "a_", "<a <"],
)
def test_time_is_linear_for_unfinished_spans(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    started = time.process_time()
    find_protected_spans(text)
    assert time.process_time() - started < 2
