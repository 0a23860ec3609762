"""Where the parts of one text are in another: links between a text and its translation, and edits that keep track."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

Span = tuple[int, int]


class Link(NamedTuple):
    """Characters source_start..source_end of a text became target_start..target_end of its translation."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int

    def moved(self, source: int, target: int) -> "Link":
        """The same link, with both texts starting that much later."""
        return Link(
            self.source_start + source, self.source_end + source, self.target_start + target, self.target_end + target
        )


def composed(first: Iterable[Link], second: Iterable[Link]) -> tuple[Link, ...]:
    """Links from a text to a translation of its translation; `second` starts where `first` ends.

    What comes from a word in between comes from what most of that word comes from; the first of several.
    """
    first, found = list(first), []
    for link in second:
        shared = [min(one.target_end, link.source_end) - max(one.target_start, link.source_start) for one in first]
        if shared and max(shared) > 0:
            found.append(Link(*first[shared.index(max(shared))][:2], *link[2:]))
    return tuple(found)


class Translation(NamedTuple):
    """A translated text; links may be missing, and say then only less about where things went."""

    text: str
    links: tuple[Link, ...] = ()


class Rewrite:
    """A text with some of its spans replaced, that knows where each of its characters came from."""

    def __init__(self, text: str, edits: Iterable[tuple[int, int, str]]) -> None:
        """`edits` are (start, end, replacement), apart from each other and in order."""
        parts: list[str] = []
        self._before: list[Span] = []
        self._after: list[Span] = []
        read = written = 0
        for start, end, replacement in edits:
            parts += [text[read:start], replacement]
            written += start - read
            self._before.append((start, end))
            self._after.append((written, written + len(replacement)))
            read, written = end, written + len(replacement)
        self.text = "".join([*parts, text[read:]])

    def forward(self, start: int, end: int) -> Span:
        """A span of the old text in the new one; a part of a replaced span becomes the whole replacement."""
        return _mapped(start, end, self._before, self._after)

    def backward(self, start: int, end: int) -> Span:
        """A span of the new text in the old one; a part of a replacement becomes all that it replaced."""
        return _mapped(start, end, self._after, self._before)


def _mapped(start: int, end: int, here: list[Span], there: list[Span]) -> Span:
    first, last = start, end
    k = bisect_right(here, start, key=lambda span: span[0]) - 1
    if k >= 0:
        first = there[k][0] if start < here[k][1] else start - here[k][1] + there[k][1]
    k = bisect_left(here, end, key=lambda span: span[0]) - 1
    if k >= 0:
        last = there[k][1] if end < here[k][1] else end - here[k][1] + there[k][1]
    return first, max(first, last)
