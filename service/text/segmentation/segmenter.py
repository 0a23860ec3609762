"""A text on its way through a model: cut into units, and put together again with nothing lost.

`plan_text` gives a plan. Translate the texts of its units; a unit whose `restored` says None to its translation is
replaced by its `smaller` ones, until none says None; `joined` makes a text of them all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from service.text.alignment import AlignedText, AlignmentLink
from service.text.segmentation.casing import all_caps
from service.text.segmentation.placeholders import outside, protected
from service.text.segmentation.sentences import sentences, within
from service.text.segmentation.units import Piece, Unit, pieces

SPLIT_LONG_SENTENCE = "split_long_sentence"
SPLIT_AT_PROTECTED = "split_at_protected"

# How many tokens each text takes.
Count = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class SegmentationPlan:
    """A text as a row of pieces: units to translate, and what stays as it is between them."""

    pieces: tuple[Piece, ...]
    warnings: frozenset[str] = frozenset()

    @cached_property
    def units(self) -> list[Unit]:
        """What to translate, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Unit)]

    @property
    def texts(self) -> list[str]:
        """What the model reads, a text for each unit."""
        return [unit.text for unit in self.units]


def untouched(text: str) -> SegmentationPlan:
    """A text that stays as it is."""
    return SegmentationPlan((text,))


def joined(parts: Iterable[tuple[str, AlignedText]]) -> AlignedText:
    """A text made of the translations of its parts, in order, with links from the parts' sources put together."""
    texts: list[str] = []
    links: list[AlignmentLink] = []
    read = written = 0
    for source, translation in parts:
        texts.append(translation.text)
        links += [link.moved(read, written) for link in translation.links]
        read, written = read + len(source), written + len(translation.text)
    return AlignedText("".join(texts), tuple(links))


def unchanged(text: str) -> AlignedText:
    """What is not translated, as its own translation."""
    return AlignedText(text, (AlignmentLink(0, len(text), 0, len(text)),))


def plan_text(text: str, source: str, target: str, count: Count, limit: int) -> SegmentationPlan:
    """Cut a text into units of at most `limit` tokens.

    `source` and `target` are language codes; what is behind a hyphen in them is ignored.
    """
    languages = _base(source), _base(target)
    kept = protected(text)
    found: list[Piece] = []
    warnings = set()
    read = 0
    for start, end in sentences(text, languages[0], kept):
        spans = tuple((a - start, b - start) for a, b in within(kept, start, end))
        unit = Unit(text[start:end], start, languages, spans, all_caps(outside(text[start:end], spans)))
        parts = pieces(unit)
        if len(parts) > 1:
            warnings.add(SPLIT_AT_PROTECTED)
        found += [text[read:start], *parts]
        read = end
    found.append(text[read:])
    short = _short_enough(found, count, limit)
    if len(short) > len(found):
        warnings.add(SPLIT_LONG_SENTENCE)
    return SegmentationPlan(tuple(piece for piece in short if piece), frozenset(warnings))


def _base(language: str) -> str:
    return language.split("-")[0].lower()


def _short_enough(found: list[Piece], count: Count, limit: int) -> list[Piece]:
    """The pieces, with every unit that is too long halved until its parts are not."""
    row: list[tuple[Piece, bool]] = [(piece, isinstance(piece, str)) for piece in found]
    while waiting := [piece for piece, done in row if isinstance(piece, Unit) and not done]:
        sizes = iter(count([unit.text for unit in waiting]))
        halved: list[tuple[Piece, bool]] = []
        for piece, done in row:
            if done or not isinstance(piece, Unit):
                halved.append((piece, True))
                continue
            parts = [piece] if next(sizes) <= limit else piece.halves()
            halved += [(part, len(parts) == 1 or isinstance(part, str)) for part in parts]
        row = halved
    return [piece for piece, _ in row]
