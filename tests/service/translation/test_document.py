"""Documents through the whole pipeline: everything but the words comes back in its place."""

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.text.markup.tokenizer import tokenise
from service.text.segmentation.protected_spans import find_protected_spans
from service.translation.translator import Translator
from tests.service.translation.helpers import english_german, open_translator, reverse_words, translate

WORD = re.compile(r"[^\W\d_]+")
WORDS = ["house", "green", "Tom", "said", "über", "straße", "we", "don't", "later", "1999", "x86", "12:30"]
KEPT = ["{name}", "%s", "%(count)d", "${var}", "https://ex.org/a?b=c", "joe@mail.org", "`x = 1`", "<2xx>", "&nbsp;"]
GLUE = [
    " ", "  ", "\n", "\r\n\r\n", "\n\n\n", "\t", "\u00a0 ", "\n- ", "\n* ", "\n12. ", "\n\t• ", " 😀 ", "\n---\n",
    "   ", "\n> ", "\n# ", "\n| ", " | ", "\u2028", "\n\n  1) ", " → ",
]  # fmt: skip
INLINE = ["b", "i", "a", "span", "em"]


@pytest.fixture(scope="module")
def reversing_translator(toy_translator: Path) -> Iterator[Translator]:
    """A translator whose model reverses the letters of each word."""
    model, _ = english_german(toy_translator, reverse_words)
    with open_translator(model) as translator:
        yield translator


@st.composite
def documents(draw: st.DrawFn) -> str:
    kept = draw(st.permutations(KEPT))
    parts = [draw(st.sampled_from(["", "\n", "  ", "- ", "\ufeff", "\t\n"]))]
    for _ in range(draw(st.integers(1, 10))):
        sentence = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=16))
        for _ in range(draw(st.integers(0, 2))):
            if kept:
                sentence.insert(draw(st.integers(0, len(sentence))), kept.pop())
        line = " ".join(sentence)
        if draw(st.integers(0, 3)) == 0 and not find_protected_spans(line):
            line = line.upper()
        parts += [line, draw(st.sampled_from([".", "!", "?", "", ":", "…", ", 2,000."])), draw(st.sampled_from(GLUE))]
    return "".join(parts)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents())
def test_only_words_change(reversing_translator: Translator, text: str) -> None:
    [result] = translate(reversing_translator, text, source="en")
    for kept in KEPT:
        assert result.text.count(kept) == text.count(kept)
    assert WORD.sub("w", result.text) == WORD.sub("w", text)
    assert "not_translated" not in result.warnings


LEAVES = st.sampled_from(["one", " red ", "bird. ", "<img>", "<code>x</code>", "<!-- c -->", " ", "{name} ", "&amp;"])
NESTED = st.recursive(
    st.lists(LEAVES, max_size=4).map("".join),
    lambda children: st.tuples(st.sampled_from(INLINE), st.lists(children, max_size=3)).map(
        lambda pair: f"<{pair[0]} id='{len(pair[1])}'>{' '.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=12,
)


@st.composite
def pages(draw: st.DrawFn) -> str:
    glue = st.sampled_from(["", "\n", "\n\n  ", "<hr>", "<!-- x -->", "<br>"])
    return "".join(f"<p>{draw(NESTED)} {draw(NESTED)}</p>{draw(glue)}" for _ in range(draw(st.integers(1, 4))))


def is_nested(markup: str) -> bool:
    path: list[str] = []
    for token in tokenise(markup, "html"):
        if token.kind == "open":
            path.append(token.name)
        elif token.kind == "close" and (not path or path.pop() != token.name):
            return False
    return not path


def tags(markup: str) -> Counter[str]:
    return Counter(token.raw for token in tokenise(markup, "html") if token.kind != "text")


def visible_characters(markup: str) -> Counter[str]:
    text = "".join(token.raw for token in tokenise(markup, "html") if token.kind == "text")
    return Counter(re.findall(r"\S", html.unescape(text)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages())
@example("<p> <code>x</code><img>one{name} </p>")
def test_every_tag_of_a_page_comes_back(reversing_translator: Translator, markup: str) -> None:
    [result] = translate(reversing_translator, markup, source="en", format="html")
    assert tags(result.text) == tags(markup)
    assert is_nested(result.text)
    assert visible_characters(result.text) == visible_characters(markup)
    assert result.text.count("{name}") == markup.count("{name}")


def test_a_text_without_words_stays_as_it_is(reversing_translator: Translator) -> None:
    text = "\n\n---\n 12:30 😀\t{x}\n"
    [result] = translate(reversing_translator, text, source="en")
    assert (result.text, result.finish_reason, result.warnings) == (text, "stop", [])


def test_a_sentence_in_capitals_is_translated_in_lower_case_and_restored(toy_translator: Path) -> None:
    model, engine = english_german(toy_translator, reverse_words)
    with open_translator(model) as translator:
        [result] = translate(translator, "RED HOUSE NOW! NATO is red.", source="en")
    assert result.text == "DER ESUOH WON! OTAN si der."
    assert engine.sources == ["Red house now!", "NATO is red."]
