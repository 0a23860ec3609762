"""A text on its way through a model: cut into units, and put together again with nothing lost.

`plan_text` gives a plan. Translate the texts of its units; a unit whose `restored` says None to its translation is
replaced by its `smaller` ones, until none says None; `joined` makes a text of them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from service.text.segmentation.casing import is_all_caps
from service.text.segmentation.placeholders import find_protected_spans, text_outside
from service.text.segmentation.sentences import find_sentences, spans_within
from service.text.segmentation.units import TextPart, Unit, split_where_needed

SPLIT_LONG_SENTENCE = "split_long_sentence"
SPLIT_AT_PROTECTED = "split_at_protected"

# How many tokens each text takes.
CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class SegmentationPlan:
    """A text as a row of pieces: units to translate, and what stays as it is between them."""

    parts: tuple[TextPart, ...]
    warnings: frozenset[str] = frozenset()

    @cached_property
    def units(self) -> list[Unit]:
        """What to translate, in order."""
        return [piece for piece in self.parts if isinstance(piece, Unit)]

    @property
    def model_inputs(self) -> list[str]:
        """What the model reads, a text for each unit."""
        return [unit.model_input for unit in self.units]


def untranslated_plan(text: str) -> SegmentationPlan:
    """A text that stays as it is."""
    return SegmentationPlan((text,))


def plan_segmentation(text: str, source: str, target: str, count: CountTokens, limit: int) -> SegmentationPlan:
    """Cut a text into units of at most `limit` tokens.

    `source` and `target` are language codes; what is behind a hyphen in them is ignored.
    """
    languages = _base(source), _base(target)
    kept = find_protected_spans(text)
    found: list[TextPart] = []
    warnings = set()
    read = 0
    for start, end in find_sentences(text, languages[0], kept):
        spans = tuple((a - start, b - start) for a, b in spans_within(kept, start, end))
        unit = Unit(text[start:end], start, languages, spans, is_all_caps(text_outside(text[start:end], spans)))
        parts = split_where_needed(unit)
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


def _short_enough(found: list[TextPart], count: CountTokens, limit: int) -> list[TextPart]:
    """The pieces, with every unit that is too long halved until its parts are not."""
    row: list[tuple[TextPart, bool]] = [(piece, isinstance(piece, str)) for piece in found]
    while waiting := [piece for piece, done in row if isinstance(piece, Unit) and not done]:
        sizes = iter(count([unit.model_input for unit in waiting]))
        halved: list[tuple[TextPart, bool]] = []
        for piece, done in row:
            if done or not isinstance(piece, Unit):
                halved.append((piece, True))
                continue
            parts = [piece] if next(sizes) <= limit else piece.split_in_half()
            halved += [(part, len(parts) == 1 or isinstance(part, str)) for part in parts]
        row = halved
    return [piece for piece, _ in row]
