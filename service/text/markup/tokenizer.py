"""Split HTML or XML into tokens; joined, their raw texts are the input again, however broken it is.

`tokenise("a <b>c</b>", "html")` yields the text "a ", the open tag <b>, the text "c" and the close tag </b>.

The parser of the standard library is not used: in Python 3.11 it takes quadratic time on crafted input (7 seconds for
20,000 characters of `<a `), its results differ between patch releases, and it does not return all of its input.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Mode = Literal["html", "xml"]

# Void elements of HTML: those without content and end tag.
VOID_ELEMENTS = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
}  # fmt: skip
# Elements of HTML whose content is neither markup nor text to translate.
RAW_ELEMENTS = {
    "script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "plaintext",
}  # fmt: skip

_NAME = r"[A-Za-z_:][^\s/><]*+"
_TAG = re.compile(rf"""<(/?)({_NAME})((?:[^"'>]++|"[^"]*+"|'[^']*+')*+)>""")
# A tag that ends with the first >, inside quotation marks or not.
_UNQUOTED_TAG = re.compile(rf"<(/?)({_NAME})([^>]*+)>")
_START = re.compile(r"<(?=[A-Za-z_:!?/])")
# After this many tags whose quotation marks are never closed, only _UNQUOTED_TAG is tried: this bounds the time.
_MAX_UNCLOSED_QUOTES = 32


@dataclass(frozen=True)
class MarkupToken:
    """A piece of markup.

    The kind `raw` is a comment, a declaration, or a whole element of RAW_ELEMENTS.
    """

    kind: Literal["text", "open", "close", "void", "raw"]
    raw: str
    name: str = ""  # of a tag; in HTML in lower case


def tokenise(markup: str, mode: Mode) -> Iterator[MarkupToken]:
    """Yield the tokens of a document, in order; no input is an error."""
    position, text_start, unclosed_quotes = 0, 0, 0
    while (match := _START.search(markup, position)) is not None:
        start = match.start()
        token = _declaration(markup, start, mode)
        if token is None:
            token, quotes_closed = _tag(markup, start, mode, unclosed_quotes < _MAX_UNCLOSED_QUOTES)
            unclosed_quotes += not quotes_closed
        if token is None:
            position = match.end()
            continue
        if text_start < start:
            yield MarkupToken("text", markup[text_start:start])
        yield token
        position = text_start = start + len(token.raw)
    if text_start < len(markup):
        yield MarkupToken("text", markup[text_start:])


def _declaration(markup: str, start: int, mode: Mode) -> MarkupToken | None:
    """Return the comment, CDATA section, declaration or processing instruction at a position, if there is one.

    One without an end goes on to the end of the document, as in a browser.
    """
    if markup.startswith("<!--", start):
        return _raw_until(markup, start, "-->", 4)
    if markup.startswith("<![CDATA[", start):
        return _raw_until(markup, start, "]]>", 9)
    if markup.startswith("<?", start):
        return _raw_until(markup, start, "?>" if mode == "xml" else ">", 2)
    if markup.startswith("<!", start) or re.match("</[^A-Za-z_:]", markup[start : start + 3]):
        return _raw_until(markup, start, ">", 2)
    return None


def _raw_until(markup: str, start: int, terminator: str, opening_length: int) -> MarkupToken:
    end = markup.find(terminator, start + opening_length)
    return MarkupToken("raw", markup[start:] if end < 0 else markup[start : end + len(terminator)])


def _tag(markup: str, start: int, mode: Mode, respect_quotes: bool) -> tuple[MarkupToken | None, bool]:
    """Return the tag at a position, if there is one, and False if its quotation marks are not closed."""
    quoted = _TAG.match(markup, start) if respect_quotes else None
    match = quoted or _UNQUOTED_TAG.match(markup, start)
    if match is None:
        # No > follows: neither this tag nor any after it ends.
        opened = re.compile(rf"</?{_NAME}").match(markup, start)
        return (MarkupToken("raw", markup[start:]) if opened else None), True
    slash, name, attributes = match.groups()
    name = name if mode == "xml" else name.lower()
    if slash:
        return MarkupToken("close", match[0], name), quoted is not None
    if attributes.endswith("/") or (mode == "html" and name in VOID_ELEMENTS):
        return MarkupToken("void", match[0], name), quoted is not None
    if mode == "html" and name in RAW_ELEMENTS:
        end_tag = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(markup, match.end())
        end = markup.find(">", end_tag.end()) + 1 if end_tag else 0
        return MarkupToken("raw", markup[start : end or len(markup)], name), quoted is not None
    return MarkupToken("open", match[0], name), quoted is not None
