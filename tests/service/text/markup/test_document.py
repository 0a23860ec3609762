"""Tests of service.text.markup.document."""

import html
import re
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.alignment import AlignedText, AlignmentLink
from service.text.markup.document import parse
from service.text.markup.tokenizer import Mode, tokenise
from tests.service.text.segmentation.helpers import plan, rebuild

WORD = re.compile(r"\w+|[^\w\s]")
INLINE = ["b", "i", "a", "span", "em"]


def reversed_words(text: str) -> AlignedText:
    """Translate a text: its words in capitals and in reverse order, the punctuation at the end last, with links."""
    spans = [match.span() for match in WORD.finditer(text)]
    last = spans.pop() if spans and text[spans[-1][0]] in ".!?" else None
    translated, links = "", []
    for start, end in [*reversed(spans), *([last] if last else [])]:
        translated += " " if translated and (start, end) != last else ""
        links.append(AlignmentLink(start, end, len(translated), len(translated) + end - start))
        translated += text[start:end].upper()
    return AlignedText(translated, tuple(links))


def render(markup: str, mode: Mode = "html") -> str:
    document = parse(markup, mode)
    return document.render([reversed_words(block) for block in document.block_texts])


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("plain text.", "TEXT PLAIN."),
        ("<p>one <b>two</b> three.</p>", "<p>THREE <b>TWO</b> ONE.</p>"),
        ("<p><b>all of it.</b></p>", "<p><b>IT OF ALL.</b></p>"),
        ("<p> \n one <b>two</b>\n</p>\n", "<p> \n <b>TWO</b> ONE\n</p>\n"),
        ("one <a href='x?a=1&b=2'>two <i>three</i></a> four", "FOUR <a href='x?a=1&b=2'><i>THREE</i> TWO</a> ONE"),
        ("one <b><i>two</i></b> three", "THREE <b><i>TWO</i></b> ONE"),
        ("<ul><li>one two<li>three <b>four</b></ul>", "<ul><li>TWO ONE<li><b>FOUR</b> THREE</ul>"),
        ("one two<br>Three four<br/><br/>five", "TWO ONE<br>FOUR THREE<br/><br/>FIVE"),
        ("welcome to<br>our shop", "SHOP OUR TO<br>WELCOME"),
        ("one <img src=a.png> two", "TWO ONE<img src=a.png> "),
        ("one<wbr>two three", "<wbr>THREE ONETWO"),
        ("x <code>foo(a < b)</code> y z", "Z Y <code>foo(a < b)</code> X"),
        ('a <span translate="no">Wet Leg</span> song', 'SONG <span translate="no">Wet Leg</span> A'),
        ("a <i class='notranslate-not'>b c</i> d", "D <i class='notranslate-not'>C B</i> A"),
        ("a <i class='x notranslate'>b c</i> d", "D <i class='x notranslate'>b c</i> A"),
        ("H<sub>2</sub>o is wet", "WET IS <sub>H2O</sub>"),
        ("un<b>believ</b>able one", "ONE <b>UNBELIEVABLE</b>"),
        ("a &amp; b &lt;c&gt; d&nbsp;e &copy;", "&copy; E D &gt; C &lt; B &amp; A"),
        ("caf&eacute; noir", "NOIR CAFÉ"),
        ("one &brand; two", "TWO &brand; ONE"),
        ("a < b > c & d", "D &amp; C &gt; B &lt; A"),
        ("<script>if (a<b) x='</p>'</script>one two", "<script>if (a<b) x='</p>'</script>TWO ONE"),
        ("<style>b{}</style><!-- <b> -->one<!-- x --> two", "<style>b{}</style><!-- <b> -->TWO ONE<!-- x -->"),
        ("<!doctype html><title>one two</title>", "<!doctype html><title>TWO ONE</title>"),
        ("<pre>one  a</pre> one two <textarea>x</textarea>", "<pre>one  a</pre> TWO ONE <textarea>x</textarea>"),
        ("one <b></b> two", "TWO ONE<b></b>"),
        ("<b>one <i>two</b> three four</i> five", "<b>ONE <i>TWO</b> FOUR THREE</i> FIVE"),
        ("one <b>two three<br>Four</b> five", "ONE <b>THREE TWO<br>FOUR</b> FIVE"),
        ("one two</b> three <i>four five", "TWO ONE</b> THREE <i>FIVE FOUR"),
        ("<a href=x><div>one two</div></a>", "<a href=x><div>TWO ONE</div></a>"),
        ("<p title='a > b'>one two</p", "<p title='a > b'>TWO ONE</p"),
        ("one two <a href=\"x", "TWO ONE <a href=\"x"),
        ("one <x id=1/> two <my-tag>three four</my-tag>", "TWO ONE<x id=1/>  <my-tag>FOUR THREE</my-tag>"),
        ("<p>12:30</p><hr><p>&mdash;</p>", "<p>12:30</p><hr><p>&mdash;</p>"),
        ("one <code>never closed two", "ONE <code>TWO CLOSED NEVER"),
        ("<svg><text>one</text></svg>", "<svg><text>one</text></svg>"),
        ("one <b> two </b> three", "THREE <b>TWO</b> ONE"),
        ("one<b> two</b> three", "THREE <b>TWO</b> ONE"),
        ("one two </", "/ &lt; TWO ONE"),
        ("one two </3>", "TWO ONE </3>"),
        ("", ""),
    ],
)  # fmt: skip
def test_html_is_rendered_with_every_tag_in_its_place(markup: str, expected: str) -> None:
    assert render(markup) == expected
    document = parse(markup, "html")
    assert document.render([AlignedText(block) for block in document.block_texts]) == markup


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<d><t>one two</t><p>Three <b>four</b></p></d>", "<d><t>TWO ONE</t><p><b>FOUR</b> THREE</p></d>"),
        ("one <b>two</b> three", "THREE <b>TWO</b> ONE"),
        ("<?xml version='1.0'?><a><b>one two</a></c>", "<?xml version='1.0'?><a><b>TWO ONE</a></c>"),
        ("one <![CDATA[a < b]]> two", "TWO <![CDATA[a < b]]> ONE"),
        ("one <code>two</code> <B>three</B> <b/>four", "FOUR <B>THREE</B> <b/><code>TWO</code> ONE"),
    ],
)  # fmt: skip
def test_xml_is_rendered_with_every_tag_in_its_place(markup: str, expected: str) -> None:
    assert render(markup, "xml") == expected


@pytest.mark.parametrize(
    "number",
    ["9" * 5000, "0" * 5000 + "65", "x" + "f" * 9000, "x110000", "xD800", "0", "1", "99999999"],
    ids=["9999...", "000...65", "xfff...", "after the last", "surrogate", "NUL", "control", "8 digits"],
)
@pytest.mark.parametrize("end", [";", ""])
@pytest.mark.parametrize("mode", ["html", "xml"])
def test_a_reference_to_no_character_stays_as_it_is(number: str, end: str, mode: Mode) -> None:
    assert sorted(render(f"one &#{number}{end} two", mode).split()) == sorted(["ONE", f"&#{number}{end}", "TWO"])


@given(st.text("&#xX09aAfF;tgl<>! \0\ud800\ufffd", max_size=40), st.sampled_from(["html", "xml"]))
def test_no_malformed_entity_is_an_error(markup: str, mode: Mode) -> None:
    document = parse(markup, mode)
    assert document.render([AlignedText(block) for block in document.block_texts]) == markup
    document.render([AlignedText(f"{block}!") for block in document.block_texts])


def test_the_caller_names_splitting_and_ignored_elements() -> None:
    document = parse("one <x>two</x> three <y>four</y>", "xml", frozenset({"x"}), frozenset({"y"}))
    assert document.block_texts == ["one", "two", "three \ufffc"]
    assert document.has_inline_tags == [False, False, False]


def test_render_fails_without_a_translation_for_every_block() -> None:
    with pytest.raises(ValueError, match="0 translations for 1 blocks"):
        parse("<p>one", "html").render([])


FRAGMENTS = st.one_of(
    st.sampled_from([f"<{name}>" for name in INLINE] + [f"</{name}>" for name in INLINE]),
    st.sampled_from(
        ["<p>", "</p>", "<br>", "<img src='x'>", "<!-- c -->", "<hr/>", "<code>x y</code>", "<wbr>", "<li>"]
    ),
    st.sampled_from(
        [" ", "\n", "one", "two ", " three", "über", "&amp;", "&nbsp;", "<", "&x;", "\ufffc", ". ", "我们"]
    ),
)
LEAVES = st.sampled_from(["one", " two ", "three. ", "<img>", "<code>x</code>", "<!-- c -->", " "])
NESTED = st.recursive(
    st.lists(LEAVES, max_size=3).map("".join),
    lambda children: st.tuples(st.sampled_from(INLINE), st.lists(children, max_size=3)).map(
        lambda pair: f"<{pair[0]} id='{len(pair[1])}'>{' '.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=12,
)
TARGETS = st.sampled_from(["eins", "zwei", " ", ".", "one", "\ufffc", "水", "&", "<"])


@st.composite
def nested_markup(draw: st.DrawFn) -> str:
    """Draw markup whose tags are properly nested."""
    return "".join(f"<p>{draw(NESTED)} {draw(NESTED)}</p>" for _ in range(draw(st.integers(1, 3))))


@st.composite
def translations(draw: st.DrawFn, blocks: list[str]) -> list[AlignedText]:
    """Draw any text with any links, some of them outside the texts."""
    drawn = []
    for block in blocks:
        text = draw(st.lists(TARGETS, max_size=12).map("".join))
        positions = st.integers(0, max(len(block), len(text)) + 1)
        links = draw(st.lists(st.builds(AlignmentLink, positions, positions, positions, positions), max_size=8))
        drawn.append(AlignedText(text, tuple(links)))
    return drawn


def count_tags(markup: str) -> Counter[str]:
    return Counter(token.raw for token in tokenise(markup, "html") if token.kind != "text")


def is_properly_nested(markup: str) -> bool:
    path: list[str] = []
    for token in tokenise(markup, "html"):
        if token.kind == "open":
            path.append(token.name)
        elif token.kind == "close" and (not path or path.pop() != token.name):
            return False
    return not path


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(FRAGMENTS, max_size=20).map("".join), st.text("<>/!-ab&; \"'=", max_size=40)), st.data())
def test_no_tag_is_lost_or_doubled(markup: str, data: st.DataObject) -> None:
    document = parse(markup, "html")
    assert document.render([AlignedText(block) for block in document.block_texts]) == markup
    rendered = document.render(data.draw(translations(document.block_texts)))
    assert count_tags(rendered) == count_tags(markup)


@settings(max_examples=200, deadline=None)
@given(nested_markup(), st.data())
def test_properly_nested_tags_stay_properly_nested(markup: str, data: st.DataObject) -> None:
    document = parse(markup, "html")
    given = data.draw(translations(document.block_texts))
    rendered = document.render(given)
    assert count_tags(rendered) == count_tags(markup)
    assert is_properly_nested(rendered)
    # Every character of every translation is there, in order.
    plain = rendered.replace("<code>x</code>", "")
    text = html.unescape("".join(token.raw for token in tokenise(plain, "html") if token.kind == "text"))
    position = 0
    for translation, block in zip(given, document.block_texts, strict=True):
        for character in re.findall(r"[^\s\ufffc]", translation.text) if translation.text != block else []:
            position = text.index(character, position) + 1


@pytest.mark.parametrize("mode", ["html", "xml"])
@pytest.mark.parametrize(
    "unit",
    ["<", "<!--", "<a ", '<a b="', "</", "<b>", "<b>a", "</b>a", "<b>a</b> ", "<br>", "<br>a", "&", "&amp;", "<script>",
     "<![CDATA[", "<?", "<code>a", "<a '\">", '<a ">', "<a =\n", "<b>a<i>b</b>c</i>", "<img>a", "<x-y>", "<a class='"],
)  # fmt: skip
def test_time_is_linear_for_broken_markup(unit: str, mode: Mode) -> None:
    markup = (unit * 20_000)[:20_000]
    started = time.process_time()
    document = parse(markup, mode)
    document.render([reversed_words(block) for block in document.block_texts])
    assert time.process_time() - started < 4
    assert "".join(token.raw for token in tokenise(markup, mode)) == markup


def test_a_block_is_segmented_translated_and_rendered() -> None:
    markup = "<p>Ask <b>{name}</b> or <code>x</code> now. <i>DO IT NOW!</i> 😀</p>"
    document = parse(markup, "html")
    (block,) = document.block_texts
    planned = plan(block, limit=20)
    assert planned.model_inputs == ["Ask 2013 or 2003 now.", "Do it now!"]
    first = AlignedText(
        "Jetzt 2003 oder 2013 fragen.",
        (AlignmentLink(16, 20, 0, 5), AlignmentLink(0, 3, 21, 27), AlignmentLink(9, 11, 11, 15)),
    )
    second = AlignedText(
        "Tu es jetzt!",
        (
            AlignmentLink(0, 2, 0, 2),
            AlignmentLink(3, 5, 3, 5),
            AlignmentLink(6, 9, 6, 11),
            AlignmentLink(9, 10, 11, 12),
        ),
    )
    rendered = document.render([rebuild(planned, first, second)])
    assert rendered == "<p>Jetzt <code>x</code> oder <b>{name}</b> fragen. <i>TU ES JETZT!</i> 😀</p>"
