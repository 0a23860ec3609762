"""A text on its way through a model: cut into units, and put together again with nothing lost.

`plan_text` gives a plan. Translate its `texts`, `mend` the plan with what came back, translate what is new in it, mend
again until nothing is new, and `rebuild` the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from service.text.alignment import Link, Translation
from service.text.capitals import shouted
from service.text.protect import protected
from service.text.sentences import sentences, within
from service.text.units import Piece, Unit, pieces

SPLIT_LONG_SENTENCE = "split_long_sentence"
SPLIT_AT_PROTECTED = "split_at_protected"

# How many tokens each text takes.
Count = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class Plan:
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

    def mend(self, translations: Sequence[Translation]) -> "tuple[Plan, list[Translation | None]]":
        """The plan with smaller units for those whose translation lost something, and the translations of the others.

        A None stands for each unit that is new: translate it, and mend again. After two rounds nothing is new.
        """
        given = iter(translations)
        mended: list[Piece] = []
        kept: list[Translation | None] = []
        warnings = self.warnings
        for piece in self.pieces:
            if not isinstance(piece, Unit):
                mended.append(piece)
                continue
            translation = next(given)
            if piece.restored(translation) is not None:
                mended.append(piece)
                kept.append(translation)
                continue
            smaller = piece.smaller()
            mended += smaller
            kept += [None for part in smaller if isinstance(part, Unit)]
            if len(smaller) > 1:
                warnings |= {SPLIT_AT_PROTECTED}
        return Plan(tuple(mended), warnings), kept

    def rebuild(self, translations: Sequence[Translation]) -> Translation:
        """The whole text, with links from its source; `translations` belong to the units, in order.

        Raises:
            ValueError: a translation lost something that it must keep; the plan was not mended.
        """
        given = iter(translations)
        parts: list[str] = []
        links: list[Link] = []
        read = written = 0
        for piece in self.pieces:
            if isinstance(piece, Unit):
                restored = piece.restored(next(given))
                if restored is None:
                    raise ValueError(f"the translation of unit {piece.start} lost something; mend the plan first")
                source = piece.source
            else:
                source, restored = piece, Translation(piece, (Link(0, len(piece), 0, len(piece)),))
            parts.append(restored.text)
            links += [link.moved(read, written) for link in restored.links]
            read, written = read + len(source), written + len(restored.text)
        return Translation("".join(parts), tuple(links))


def plan_text(text: str, source: str, target: str, count: Count, limit: int) -> Plan:
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
        unit = Unit(text[start:end], start, languages, spans, shouted(_outside(text[start:end], spans)))
        parts = pieces(unit)
        if len(parts) > 1:
            warnings.add(SPLIT_AT_PROTECTED)
        found += [text[read:start], *parts]
        read = end
    found.append(text[read:])
    short = _short_enough(found, count, limit)
    if len(short) > len(found):
        warnings.add(SPLIT_LONG_SENTENCE)
    return Plan(tuple(piece for piece in short if piece), frozenset(warnings))


def _base(language: str) -> str:
    return language.split("-")[0].lower()


def _outside(text: str, spans: Sequence[tuple[int, int]]) -> str:
    borders = [0, *(border for span in spans for border in span), len(text)]
    return " ".join(text[a:b] for a, b in zip(borders[::2], borders[1::2], strict=True))


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
