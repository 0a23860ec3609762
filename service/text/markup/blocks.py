"""A block of markup as text, with its inner tags beside it: elements by where they are, points by where they stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

# Stands in a block's text for something that is kept and has a place in the sentence.
OBJECT = "\ufffc"
# More nesting than this within a line is no formatting; the tags beyond end a block.
DEPTH = 24
_SPACES = " \t\n\r\f"
_SPACE = re.compile(r"[ \t\n\r\f]+")


@dataclass(frozen=True)
class Item:
    """A piece of markup: a text, an object, a tag, or something that ends a block.

    A `void` tag parts the words on its sides; what is `hidden` does not.
    """

    kind: Literal["text", "object", "open", "close", "void", "hidden", "boundary"]
    raw: str
    text: str = ""  # what a text says, or a tag's name


class Element(NamedTuple):
    """An inner element: its tags, the span of its text in the block, and the element around it, -1 for none."""

    opening: str
    closing: str
    start: int
    end: int
    parent: int
    order: int  # among all tags of the block


class Point(NamedTuple):
    """A tag without contents, a comment, or an object: where it stands, and in what element."""

    raw: str
    at: int
    parent: int
    order: int
    spaced: bool  # it has taken the place of the space behind it in the text


class Block(NamedTuple):
    """A text to translate; `objects` are what its object characters stand for, in order."""

    raw: str
    text: str
    elements: list[Element]
    points: list[Point]
    objects: list[Point]


def read_blocks(items: list[Item]) -> list[str | Block]:
    """The blocks, and what is kept between them."""
    parts: list[str | Block] = []
    group: list[Item] = []
    for item in [*items, Item("boundary", "")]:
        if item.kind != "boundary":
            group.append(item)
            continue
        for piece in _nested(group) if group else ():
            parts += _block(piece)
        parts.append(item.raw)
        group = []
    return [part for part in parts if part]


def _nested(group: list[Item]) -> Iterator[list[Item]]:
    """The group, cut at tags that have no partner in it or are not properly nested, each such tag alone."""
    pairs, single = _pairs(group)
    strays = sorted(single)
    passed = [0]
    for i in range(len(group)):
        passed.append(passed[-1] + (i in single))
    # A pair with a stray tag between is split by it.
    single |= {i for pair in pairs for i in pair if passed[pair[1]] > passed[pair[0]]}
    start = 0
    for i in sorted(single | set(strays)):
        yield group[start:i]
        yield [group[i]]
        start = i + 1
    yield group[start:]


def _pairs(group: list[Item]) -> tuple[list[tuple[int, int]], set[int]]:
    """Positions of tags that belong together, properly nested, and of those that have no partner."""
    path: list[int] = []
    unclosed: dict[str, int] = {}
    pairs, single = [], set()
    for i, item in enumerate(group):
        if item.kind == "open" and len(path) < DEPTH:
            path.append(i)
            unclosed[item.text] = unclosed.get(item.text, 0) + 1
        elif item.kind == "open" or (item.kind == "close" and not unclosed.get(item.text)):
            single.add(i)
        elif item.kind == "close":
            while group[path[-1]].text != item.text:
                unclosed[group[path[-1]].text] -= 1
                single.add(path.pop())
            unclosed[item.text] -= 1
            pairs.append((path.pop(), i))
    return pairs, single | set(path)


def _block(items: list[Item]) -> list[str | Block]:
    """A block with what is kept around it, or the raw markup if there is nothing to translate."""
    if not any(item.kind == "text" and any(map(str.isalpha, item.text)) for item in items):
        return ["".join(item.raw for item in items)]
    start, end = _inside(items)
    before = "".join(item.raw for item in items[:start])
    after = "".join(item.raw for item in items[end:])
    inner = items[start:end]
    if inner[0].kind == "text":
        raw = inner[0].raw.lstrip(_SPACES)
        before += inner[0].raw[: len(inner[0].raw) - len(raw)]
        inner[0] = replace(inner[0], raw=raw)
    if inner[-1].kind == "text":
        raw = inner[-1].raw.rstrip(_SPACES)
        after = inner[-1].raw[len(raw) :] + after
        inner[-1] = replace(inner[-1], raw=raw)
    return [before, _Reader().read(inner), after]


def _inside(items: list[Item]) -> tuple[int, int]:
    """The items without the tags that are wholly before, behind or around the text."""
    says = [
        i for i, item in enumerate(items) if item.kind == "object" or item.text.strip(_SPACES) and item.kind == "text"
    ]
    first, last = says[0], says[-1]
    partner = {a: b for pair in _pairs(items)[0] for a, b in (pair, pair[::-1])}
    start = 0
    while start < first and not (first < partner.get(start, -1) < last):
        start += 1
    end = len(items)
    while end - 1 > last and not (start <= partner.get(end - 1, len(items)) < last):
        end -= 1
    return start, end


class _Reader:
    """Reads a block's items one after another."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.length = 0
        self.elements: list[Element] = []
        self.points: list[Point] = []
        self.objects: list[Point] = []
        self.path = [-1]
        self.parted = False  # by a void tag, since the last character

    def read(self, items: list[Item]) -> Block:
        for order, item in enumerate(items):
            if item.kind == "text":
                self._say(_SPACE.sub(" ", item.text))
            elif item.kind == "object":
                self._say(OBJECT)
                self.objects.append(Point(item.raw, self.length - 1, self.path[-1], order, False))
            elif item.kind == "open":
                self.elements.append(Element(item.raw, "", self.length, 0, self.path[-1], order))
                self.path.append(len(self.elements) - 1)
            elif item.kind == "close":
                k = self.path.pop()
                self.elements[k] = self.elements[k]._replace(closing=item.raw, end=self.length)
            else:
                self.points.append(Point(item.raw, self.length, self.path[-1], order, False))
                self.parted |= item.kind == "void"
        text = "".join(self.text).rstrip(" ")
        elements = [_trimmed(element, text) for element in self.elements]
        return Block("".join(item.raw for item in items), text, elements, self.points, self.objects)

    def _say(self, piece: str) -> None:
        last = self.text[-1][-1:] if self.text else " "
        if piece[:1] == " " and last == " ":
            piece = piece[1:]
            if self.points and self.points[-1].at == self.length > 0:
                self.points[-1] = self.points[-1]._replace(raw=self.points[-1].raw + " ")
        elif piece[:1] not in {"", " "} and last != " " and self.parted:
            piece = " " + piece
            self.points[-1] = self.points[-1]._replace(spaced=True)
        if piece:
            self.text.append(piece)
            self.length += len(piece)
            self.parted = False


def _trimmed(element: Element, text: str) -> Element:
    start, end = element.start, min(element.end, len(text))
    while start < end and text[start] == " ":
        start += 1
    while start < end and text[end - 1] == " ":
        end -= 1
    return element._replace(start=start, end=max(start, end))
