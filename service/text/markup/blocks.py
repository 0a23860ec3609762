"""Turn the items of a document into blocks: plain texts to translate, with the positions of their inline tags.

`<p>one <b>two</b><img> three</p>` has one block. Its text is "one two three", its element is <b> over the characters
4..7, and its marker is <img> at position 7. The tags of <p> are boundaries and stay as they are.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

# Stands in a block's text for markup that is kept and has a place in the sentence, such as <code>x</code>. This is
# Unicode's object replacement character.
OBJECT = "\ufffc"
# Deeper nesting within a block is no formatting: the tags beyond end the block.
MAX_DEPTH = 24
_SPACES = " \t\n\r\f"
_SPACE_RUN = re.compile(r"[ \t\n\r\f]+")


@dataclass(frozen=True)
class MarkupItem:
    """A piece of markup, classified by what it means for blocks.

    A `boundary` ends a block. An `object` is kept as a whole and becomes one character of the text. A `void` tag, such
    as <img>, separates the words around it; a `hidden` item, such as a comment, does not.
    """

    kind: Literal["text", "object", "open", "close", "void", "hidden", "boundary"]
    raw: str
    text: str = ""  # the unescaped text, or the tag's name
    written: str | None = None  # what to write for it in a translation; None: `raw`
    optional: bool = False  # of an open tag: leave the element out where nothing is in it

    @property
    def output(self) -> str:
        """What to write for it in a translation."""
        return self.raw if self.written is None else self.written


class InlineElement(NamedTuple):
    """An element within a block: its tags, and the span of its content in the block's text."""

    opening: str
    closing: str
    start: int
    end: int
    parent: int  # index of the element around it, -1 for none
    order: int  # among all items of the block
    optional: bool = False  # leave it out where nothing is in it


class InlineMarker(NamedTuple):
    """Markup at a single position of a block's text: a void tag, a comment, or an object."""

    raw: str
    position: int
    parent: int  # index of the element around it, -1 for none
    order: int  # among all items of the block
    replaces_space: bool  # the space after it is in the text only, to separate the words around the tag


class Escaping:
    """How the texts of a format are written."""

    def __init__(self, entities: Mapping[str, str]) -> None:
        """Take the characters that are written as something else."""
        self._entities = entities

    def escape(self, text: str) -> str:
        """Return a piece of a text as it is written."""
        return "".join(self._entities.get(c, c) for c in text)

    def complete(self, rendered: str) -> str:
        """Return a whole block, rendered from escaped pieces and tags, as it is written."""
        return rendered


class Block(NamedTuple):
    """A text to translate; `objects` belong to the object characters in it, in order."""

    raw: str
    text: str
    elements: list[InlineElement]
    markers: list[InlineMarker]
    objects: list[InlineMarker]
    escaping: Escaping


def read_blocks(items: list[MarkupItem], escaping: Escaping) -> list[str | Block]:
    """Return the blocks of a document, in order, and the markup between them as strings."""
    parts: list[str | Block] = []
    group: list[MarkupItem] = []
    for item in [*items, MarkupItem("boundary", "")]:
        if item.kind != "boundary":
            group.append(item)
            continue
        for nested_items in _split_at_unpaired_tags(group) if group else ():
            parts += _block(nested_items, escaping)
        parts.append(item.raw)
        group = []
    return [part for part in parts if part]


def _split_at_unpaired_tags(group: list[MarkupItem]) -> Iterator[list[MarkupItem]]:
    """Split the items at the tags that have no partner or are not properly nested; each such tag is yielded alone.

    A pair of tags with an unpaired tag between them counts as unpaired.
    """
    pairs, unpaired = _pair_tags(group)
    unpaired_before = [0]
    for i in range(len(group)):
        unpaired_before.append(unpaired_before[-1] + (i in unpaired))
    unpaired |= {i for pair in pairs for i in pair if unpaired_before[pair[1]] > unpaired_before[pair[0]]}
    start = 0
    for i in sorted(unpaired):
        yield group[start:i]
        yield [group[i]]
        start = i + 1
    yield group[start:]


def _pair_tags(group: list[MarkupItem]) -> tuple[list[tuple[int, int]], set[int]]:
    """Return the indices of properly nested pairs of tags, and the indices of the tags without a partner."""
    open_tags: list[int] = []
    open_by_name: dict[str, int] = {}
    pairs, unpaired = [], set()
    for i, item in enumerate(group):
        if item.kind == "open" and len(open_tags) < MAX_DEPTH:
            open_tags.append(i)
            open_by_name[item.text] = open_by_name.get(item.text, 0) + 1
        elif item.kind == "open" or (item.kind == "close" and not open_by_name.get(item.text)):
            unpaired.add(i)
        elif item.kind == "close":
            while group[open_tags[-1]].text != item.text:
                open_by_name[group[open_tags[-1]].text] -= 1
                unpaired.add(open_tags.pop())
            open_by_name[item.text] -= 1
            pairs.append((open_tags.pop(), i))
    return pairs, unpaired | set(open_tags)


def _block(items: list[MarkupItem], escaping: Escaping) -> list[str | Block]:
    """Return a block between the markup around its text; without a letter to translate, all of it is one string."""
    if not any(item.kind == "text" and any(map(str.isalpha, item.text)) for item in items):
        return ["".join(item.raw for item in items)]
    start, end = _content_range(items)
    before = "".join(item.raw for item in items[:start])
    after = "".join(item.raw for item in items[end:])
    content = items[start:end]
    if content[0].kind == "text":
        raw = content[0].raw.lstrip(_SPACES)
        before += content[0].raw[: len(content[0].raw) - len(raw)]
        content[0] = replace(content[0], raw=raw)
    if content[-1].kind == "text":
        raw = content[-1].raw.rstrip(_SPACES)
        after = content[-1].raw[len(raw) :] + after
        content[-1] = replace(content[-1], raw=raw)
    return [before, _BlockBuilder().build(content, escaping), after]


def _content_range(items: list[MarkupItem]) -> tuple[int, int]:
    """Return the range of items without the tags that are wholly before, after or around the text."""
    content = [
        i
        for i, item in enumerate(items)
        if item.kind == "object" or item.written is not None or (item.kind == "text" and item.text.strip(_SPACES))
    ]
    first, last = content[0], content[-1]
    partner = {a: b for pair in _pair_tags(items)[0] for a, b in (pair, pair[::-1])}
    start = 0
    while start < first and not (first < partner.get(start, -1) < last):
        start += 1
    end = len(items)
    while end - 1 > last and not (start <= partner.get(end - 1, len(items)) < last):
        end -= 1
    return start, end


class _BlockBuilder:
    """Builds a block from its items."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._length = 0
        self._elements: list[InlineElement] = []
        self._markers: list[InlineMarker] = []
        self._objects: list[InlineMarker] = []
        self._path = [-1]  # indices of the open elements, the innermost last
        self._after_void_tag = False  # a void tag follows the last character

    def build(self, items: list[MarkupItem], escaping: Escaping) -> Block:
        for order, item in enumerate(items):
            if item.kind == "text":
                self._append(_SPACE_RUN.sub(" ", item.text))
            elif item.kind == "object":
                self._append(OBJECT)
                self._objects.append(InlineMarker(item.output, self._length - 1, self._path[-1], order, False))
            elif item.kind == "open":
                element = InlineElement(item.output, "", self._length, 0, self._path[-1], order, item.optional)
                self._elements.append(element)
                self._path.append(len(self._elements) - 1)
            elif item.kind == "close":
                k = self._path.pop()
                self._elements[k] = self._elements[k]._replace(closing=item.output, end=self._length)
            else:
                self._markers.append(InlineMarker(item.output, self._length, self._path[-1], order, False))
                self._after_void_tag |= item.kind == "void"
        text = "".join(self._text).rstrip(" ")
        elements = [_trimmed(element, text) for element in self._elements]
        return Block("".join(item.raw for item in items), text, elements, self._markers, self._objects, escaping)

    def _append(self, piece: str) -> None:
        """Append text, with exactly one space where items meet at white space or at a void tag."""
        last = self._text[-1][-1:] if self._text else " "
        if piece[:1] == " " and last == " ":
            piece = piece[1:]
            # Keep the second space in the marker that stands between the two.
            if self._markers and self._markers[-1].position == self._length > 0:
                self._markers[-1] = self._markers[-1]._replace(raw=self._markers[-1].raw + " ")
        elif piece[:1] not in {"", " "} and last != " " and self._after_void_tag:
            piece = " " + piece
            self._markers[-1] = self._markers[-1]._replace(replaces_space=True)
        if piece:
            self._text.append(piece)
            self._length += len(piece)
            self._after_void_tag = False


def _trimmed(element: InlineElement, text: str) -> InlineElement:
    """Return the element without the spaces at both ends of its content."""
    start, end = element.start, min(element.end, len(text))
    while start < end and text[start] == " ":
        start += 1
    while start < end and text[end - 1] == " ":
        end -= 1
    return element._replace(start=start, end=max(start, end))
