"""Tests of service.text.markup.markdown."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from service.text.alignment import AlignedText
from service.text.markup.markdown import parse_markdown
from tests.service.text.markup.helpers import upper, word_links
from tests.service.text.markup.test_document import reversed_words

README = """\
---
title: one two
---
# One *two* three #

Four **five six** `code` [seven](http://x.y "eight") nine.
Ten <b>eleven</b> <https://a.b>  \nTwelve.

> quote one
> quote two

- item [ ] one
  continued
  1. inner

| a | b \\| c |
|---|:-:|
| d `x \\| y` | **e** |

```python
print("not translated")
```

    indented code

<p align="center">html <b>block</b></p>

![an image](a.png) and ![ref][x] and [shortcut] or [collapsed][].

[x]: http://x.y
[shortcut]: <http://z>
[collapsed]: /url "title"

Setext
======
1986\\. A year.
"""


def render(source: str, reverse: bool = True) -> str:
    document = parse_markdown(source)
    texts = document.block_texts
    if reverse:
        return document.render([reversed_words(text) for text in texts])
    return document.render([AlignedText(upper(text), word_links(text)) for text in texts])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("one two", "TWO ONE"),
        ("one **two** three", "THREE **TWO** ONE"),
        ("one __two *three*__ four", "FOUR __*THREE* TWO__ ONE"),
        ("***one** two* three", "THREE *TWO **ONE***"),
        ("~~one~~ two", "TWO ~~ONE~~"),
        ("# one two #\n", "# TWO ONE #\n"),
        ("one two\n=======\n", "TWO ONE\n=======\n"),
        ("one [two](http://x 'y') three", "THREE [TWO](http://x 'y') ONE"),
        ("one [two] three\n\n[two]: /x", "THREE [TWO][two] ONE\n\n[two]: /x"),
        ("[one][] two\n\n[One]: /x", "TWO [ONE][one]\n\n[One]: /x"),
        ("[one]\n\n[one]: /x", "[ONE][one]\n\n[one]: /x"),
        ("one ![two](x.png) three", "THREE ![TWO](x.png) ONE"),
        ("![one two](x.png)", "![TWO ONE](x.png)"),
        ("one ![](x.png) two", "TWO ONE![](x.png) "),
        ("x `a * b` y z", "Z Y `a * b` X"),
        ("a <https://x.y> b c", "A <https://x.y> C B"),
        ("a <kbd>Ctrl</kbd> b c", "C B <kbd>Ctrl</kbd> A"),
        ("a <b>b</b> c", "C <b>B</b> A"),
        ("* one two\n  three\n* four\n", "* THREE TWO ONE\n* FOUR\n"),
        ("> one\n> two\n", "> TWO ONE\n"),
        ("one two  \nThree four", "TWO ONE  \nFOUR THREE"),
        ("one two\\\nThree four", "TWO ONE\\\nFOUR THREE"),
        ("|a b|c d|\n|-|-|\n|e \\| f|g|\n", "|B A|D C|\n|-|-|\n|F \\| E|G|\n"),
        ("1986\\. one", "ONE . 1986"),
        ("a \\* b \\_c\\_", "\\_C\\_ B \\* A"),
        ("a &amp; b &lt;c&gt;", "\\> C \\< B \\& A"),
        ("one[^1] two\n\n[^1]: three four\n", "TWO ONE[^1]\n\n[^1]: FOUR THREE\n"),
        ("> [!NOTE]\n> one two\n", "> [!NOTE]\n> TWO ONE\n"),
        ("<div>one two</div>\n\nthree four\n", "<div>TWO ONE</div>\n\nFOUR THREE\n"),
        ("---\ntitle: one two\n---\n\nthree four", "---\ntitle: one two\n---\n\nFOUR THREE"),
        ("\ufeff# one two", "\ufeff# TWO ONE"),
        ("one\r\ntwo\r\n\r\nthree\r\n", "TWO ONE\r\n\r\nTHREE\r\n"),
        ("", ""),
    ],
)
def test_every_mark_is_in_its_place(source: str, expected: str) -> None:
    assert render(source) == expected


def test_code_and_definitions_stay() -> None:
    rendered = render(README, reverse=False)
    for kept in ('print("not translated")', "    indented code", "[x]: http://x.y", '/url "title"', "title: one two"):
        assert kept in rendered
    for changed in (
        "# ONE *TWO* THREE #",
        "[SEVEN](http://x.y",
        "| **E** |",
        "HTML <b>BLOCK</b>",
        "> QUOTE ONE QUOTE TWO",
    ):
        assert changed in rendered


LINES = st.one_of(
    st.sampled_from(README.splitlines()),
    st.sampled_from(
        [
            "",
            "# a",
            "- b",
            "1. c",
            "> d",
            "    e",
            "\te",
            "```",
            "~~~",
            "---",
            "===",
            "|a|b|",
            "|-|-|",
            "<div>",
            "</div>",
            "[a]: /u",
            "* * *",
            "<!-- x",
            "-->",
        ]
    ),
    st.lists(
        st.sampled_from(
            [
                "one",
                "two",
                " ",
                "*",
                "**",
                "_",
                "`",
                "[",
                "]",
                "(u)",
                "![",
                "\\",
                "<b>",
                "</b>",
                "&amp;",
                "|",
                "~~",
                "~",
                "!",
                "<",
                "水",
                "#",
                "[a]",
                "  ",
            ]
        ),
        max_size=8,
    ).map("".join),
)
SOURCES = st.tuples(st.lists(LINES, max_size=10), st.sampled_from(["\n", "\r\n"])).map(
    lambda pair: pair[1].join(pair[0])
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(SOURCES, st.text("ab *_`[]()!<>#-+=|~\\\n\t&;:", max_size=60)))
def test_a_document_comes_back_byte_for_byte(source: str) -> None:
    document = parse_markdown(source)
    assert document.source == source
    assert document.render([AlignedText(text) for text in document.block_texts]) == source
    assert (
        "".join(part.render([AlignedText(part.block_texts[0])]) for part in document.split()) + document.end == source
    )


WORDS = st.sampled_from(["one", "two three", "over", "x1", "water"])
INLINES = st.recursive(
    st.one_of(WORDS, st.sampled_from(["`code x`", "<https://x.y>", "a\\*b", "five &amp; six", "![seven](i.png)"])),
    lambda inner: st.tuples(
        st.sampled_from(["**{}**", "*{}*", "[{}](/u)", "~~{}~~", "<i>{}</i>"]), st.lists(inner, min_size=1, max_size=3)
    ).map(lambda pair: pair[0].format(" ".join(pair[1]))),
    max_leaves=6,
).filter(lambda text: "*" not in shown(text).replace("a*b", ""))  # every mark is one: else each letter beside it counts
BLOCKS = st.tuples(
    st.sampled_from(
        ["{}", "# {}", "- {}", "1. {}", "> {}", "{}\n---", "|{}|b|\n|-|-|\n|c|{}|", "> - {}", "[r]: /u", "```\n{}\n```"]
    ),
    st.lists(INLINES, min_size=1, max_size=3).map(" ".join),
).map(lambda pair: pair[0].replace("{}", pair[1]))


def shown(source: str) -> str:
    """Return the HTML of a document, with attributes and code in small letters and white space collapsed."""
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source)
    return re.sub(r"\s+", " ", rendered)


def capital_html(rendered: str) -> str:
    """Return HTML with its text, except that of code and addresses, in capitals; descriptions of images too."""
    kept = re.compile(r'<code.*?</code>|<a href="https:[^>]*>[^<]*</a>|alt="[^"]*"|<[^>]*>|&[a-z]+;', re.DOTALL)
    parts, end = [], 0
    for match in kept.finditer(rendered):
        raw = match[0]
        parts += [upper(rendered[end : match.start()]), f"alt={upper(raw[4:])}" if raw.startswith("alt") else raw]
        if raw.startswith("<img"):
            parts[-1] = re.sub(r'alt="[^"]*"', lambda alt: f'alt="{upper(alt[0][5:-1])}"', raw)
        end = match.end()
    return "".join([*parts, upper(rendered[end:])])


@settings(max_examples=100, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=4).map("\n\n".join))
@example("~~*~~`code x` a\\*b~~*~~")
def test_all_texts_and_nothing_else_are_changed(source: str) -> None:
    assert shown(render(source, reverse=False)) == capital_html(shown(source))


@pytest.mark.parametrize(
    "unit",
    [
        "*",
        "**",
        "_",
        "`",
        "``` ",
        "[",
        "![",
        "[a](",
        "[a](b)",
        "![a](b)",
        "<",
        "<b>",
        "\\",
        "&",
        "|",
        "~",
        "~~",
        "> ",
        "- ",
        "*a ",
        "# a\n",
        "a\n",
        "|a|b|\n",
        "- a\n",
        "> a\n",
        "a\n\n",
        "[a]: /b\n",
        "*a **b ",
        "[[a]]",
        "]",
    ],
)
def test_time_is_linear(unit: str) -> None:
    source = (unit * 20_000)[:20_000]
    started = time.process_time()
    document = parse_markdown(source)
    assert document.source == source
    assert time.process_time() - started < 6
