"""HTML and XML as a row of tokens whose raw texts, put together, are the input again, however broken it is.

The standard library's parser is not used: in Python 3.11 it needs quadratic time for crafted input (20,000 characters
of `<a ` take seven seconds), its answers differ between patch releases, and it does not give all of its input back.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Mode = Literal["html", "xml"]

VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
}  # fmt: skip
# What is between their tags is no markup, and no text that anyone reads.
RAW = {
    "script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "plaintext",
}  # fmt: skip

_NAME = r"[A-Za-z_:][^\s/><]*+"
_TAG = re.compile(rf"""<(/?)({_NAME})((?:[^"'>]++|"[^"]*+"|'[^']*+')*+)>""")
_CARELESS_TAG = re.compile(rf"<(/?)({_NAME})([^>]*+)>")
_START = re.compile(r"<(?=[A-Za-z_:!?/])")
# After so many tags whose quotation marks never end, the first > ends a tag.
_PATIENCE = 32


@dataclass(frozen=True)
class MarkupToken:
    """A piece of markup. `raw` is a comment, a declaration, or an element that holds no readable text, as a whole."""

    kind: Literal["text", "open", "close", "void", "raw"]
    raw: str
    name: str = ""


def tokenise(markup: str, mode: Mode) -> Iterator[MarkupToken]:
    """The markup, token by token."""
    at, text, broken = 0, 0, 0
    while (start := _START.search(markup, at)) is not None:
        found = _special(markup, start.start(), mode)
        if found is None:
            found, whole = _tag(markup, start.start(), mode, broken < _PATIENCE)
            broken += not whole
        if found is None:
            at = start.end()
            continue
        if text < start.start():
            yield MarkupToken("text", markup[text : start.start()])
        yield found
        at = text = start.start() + len(found.raw)
    if text < len(markup):
        yield MarkupToken("text", markup[text:])


def _special(markup: str, at: int, mode: Mode) -> MarkupToken | None:
    """A comment, a declaration or an instruction; what never ends goes on to the end, as in a browser."""
    if markup.startswith("<!--", at):
        return _until(markup, at, "-->", 4)
    if markup.startswith("<![CDATA[", at):
        return _until(markup, at, "]]>", 9)
    if markup.startswith("<?", at):
        return _until(markup, at, "?>" if mode == "xml" else ">", 2)
    if markup.startswith("<!", at) or re.match("</[^A-Za-z_:]", markup[at : at + 3]):
        return _until(markup, at, ">", 2)
    return None


def _until(markup: str, at: int, mark: str, skip: int) -> MarkupToken:
    end = markup.find(mark, at + skip)
    return MarkupToken("raw", markup[at:] if end < 0 else markup[at : end + len(mark)])


def _tag(markup: str, at: int, mode: Mode, patient: bool) -> tuple[MarkupToken | None, bool]:
    """The tag that begins here, if one does, and whether its quotation marks are in order."""
    careful = _TAG.match(markup, at) if patient else None
    found = careful or _CARELESS_TAG.match(markup, at)
    if found is None:
        # Nothing ends it, nor any tag behind it.
        opened = re.compile(rf"</?{_NAME}").match(markup, at)
        return (MarkupToken("raw", markup[at:]) if opened else None), True
    slash, name, attributes = found.groups()
    name = name if mode == "xml" else name.lower()
    if slash:
        return MarkupToken("close", found[0], name), careful is not None
    if attributes.endswith("/") or (mode == "html" and name in VOID):
        return MarkupToken("void", found[0], name), careful is not None
    if mode == "html" and name in RAW:
        end = re.compile(rf"</{name}(?=[\s/>])[^>]*>", re.IGNORECASE).search(markup, found.end())
        return MarkupToken("raw", markup[at : end.end() if end else len(markup)], name), careful is not None
    return MarkupToken("open", found[0], name), careful is not None
