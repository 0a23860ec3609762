"""Parse plain text that has marks of Markdown or BBCode around words into blocks, so that the marks keep their places.

`parse_marks("This is **very** [b]big[/b].")` has one block, "This is very big.", with two elements, like <b> of HTML.
Only pairs of marks on one line count, so that a single asterisk is text. Every line is a block, and so is every column
of a table; lines without a mark are translated as they are.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.text.alignment import Span
from service.text.markup.blocks import Block, Escaping, MarkupItem, read_blocks
from service.text.markup.document import Document
from service.text.segmentation.protected_spans import find_protected_spans

_MAY_HAVE_MARKS = frozenset("*_~=|[")
_NAMES = (
    "b|i|u|s|url|img|color|size|font|quote|list|center|left|right|spoiler|email|table|tr|td|th|li|ul|ol|h[1-6]|sub|sup"
)
_MARK = re.compile(
    rf"""
    \[(?P<slash>/?)(?P<name>(?i:{_NAMES}))(?:=[^\[\]\n]{{0,300}})?\]           # [b] [url=https://example.org] [/b]
  | (?P<link>!?\[(?=[^\[\]\n]{{1,300}}\]\([^()\s]{{1,500}}(?:\([^()\s]{{0,200}}\)[^()\s]{{0,200}})?\)))
  | (?P<sign>\*{{1,3}}|_{{1,3}}|~~|==|\|\|)(?![*_~=|])
    """,
    re.VERBOSE,
)
_LINK_END = re.compile(r"\]\([^()\s]{1,500}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?\)")
_BLOCK_END = re.compile(r"\r\n?|\n|[\t\v\f]+| {3,}")  # of a line or a column
_PLACEHOLDER = re.compile(r"[\w.-]+")


@dataclass
class _Mark:
    """An opening or a closing mark."""

    start: int
    end: int
    name: str
    opens: bool
    closes: bool


def parse_marks(text: str) -> Document | None:
    """Return the document of a text; None if it has no pair of marks."""
    if _MAY_HAVE_MARKS.isdisjoint(text):
        return None
    protected = find_protected_spans(text)
    parts: list[str | Block] = []
    found = False
    for start, end in _lines(text, protected):
        pairs = _pairs(text, start, end, protected)
        found = found or bool(pairs)
        line = text[start:end]
        if pairs:
            parts += read_blocks(list(_items(text, start, end, pairs)), Escaping({}))
        elif any(map(str.isalpha, line)):
            parts.append(Block(line, line, [], [], [], Escaping({})))
        else:
            parts.append(line)
    return Document(parts) if found else None


def _lines(text: str, protected: Sequence[Span]) -> Iterator[Span]:
    """Yield the lines or columns and what is between them; a protected span, as of code, is in one of them."""
    start = k = 0
    for match in _BLOCK_END.finditer(text):
        while k < len(protected) and protected[k][1] <= match.start():
            k += 1
        if k < len(protected) and protected[k][0] < match.end():
            continue
        yield start, match.start()
        yield match.span()
        start = match.end()
    yield start, len(text)


def _pairs(text: str, start: int, end: int, protected: Sequence[Span]) -> list[tuple[Span, Span, str]]:
    """Return the pairs of marks in a line: opening, closing and name."""
    pairs: list[tuple[Span, Span, str]] = []
    opened: list[_Mark] = []
    open_names: set[str] = set()
    for mark in _marks(text, start, end, protected):
        if mark.closes and mark.name in open_names:
            while opened[-1].name != mark.name:
                open_names.discard(opened.pop().name)
            opening = opened.pop()
            open_names.discard(mark.name)
            inner = text[opening.end : mark.start]
            if inner.strip() and not (mark.name.startswith("_") and _PLACEHOLDER.fullmatch(inner)):
                pairs.append(((opening.start, opening.end), (mark.start, mark.end), mark.name))
        elif mark.opens and mark.name not in open_names:
            opened.append(mark)
            open_names.add(mark.name)
    return pairs


def _marks(text: str, start: int, end: int, protected: Sequence[Span]) -> Iterator[_Mark]:
    link_ends: list[Span] = []
    position = start
    while (match := _MARK.search(text, position, end)) is not None:
        first, last = match.span()
        position = last
        while link_ends and link_ends[0][0] < first:
            yield _Mark(*link_ends.pop(0), "](", False, True)
        if link_ends and link_ends[0][0] <= first < link_ends[0][1]:
            continue
        if _is_protected(first, protected):
            continue
        if match["link"]:
            link_end = _LINK_END.search(text, last, end)
            if link_end is not None and not link_ends:
                link_ends.append(link_end.span())
                yield _Mark(first, last, "](", True, False)
        elif match["name"]:
            yield _Mark(first, last, f"[{match['name'].lower()}", not match["slash"], bool(match["slash"]))
        else:
            before, after = text[max(start, first - 1) : first], text[last : min(end, last + 1)]
            opens = bool(after.strip()) and not (before.isalnum() or after in ".,;:!?)")
            closes = bool(before.strip()) and not after.isalnum()
            yield _Mark(first, last, match["sign"], opens, closes)
    for span in link_ends:
        yield _Mark(*span, "](", False, True)


def _is_protected(position: int, protected: Sequence[Span]) -> bool:
    k = bisect_right(protected, position, key=lambda span: span[0]) - 1
    return k >= 0 and protected[k][0] <= position < protected[k][1]


def _items(text: str, start: int, end: int, pairs: list[tuple[Span, Span, str]]) -> Iterator[MarkupItem]:
    tags = sorted(
        [(*opening, name, "open") for opening, _, name in pairs] + [(*end, name, "close") for _, end, name in pairs]
    )
    for first, last, name, kind in tags:
        if start < first:
            yield MarkupItem("text", text[start:first], text[start:first])
        yield MarkupItem("open" if kind == "open" else "close", text[first:last], name)
        start = last
    if start < end:
        yield MarkupItem("text", text[start:end], text[start:end])
