"""A segment: one sentence, or a part of one, while it is being translated."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.engine.types import Hypothesis
from service.models.registry import Route
from service.text.alignment import AlignedText
from service.text.segmentation.units import FULL_STOPS, Unit


class RestoredHypothesis(NamedTuple):
    """A hypothesis as text, with placeholders, casing and spaces of the source restored."""

    translation: AlignedText
    output: str  # the text as the model wrote it
    hypothesis: Hypothesis
    aligned: bool = False  # whether the links of `translation` cover all its words


@dataclass(eq=False)
class Segment:
    """A unit to translate, and the state of its translation.

    When `done`, it has hypotheses, best first, or parts that replace it.
    """

    unit: Unit
    route: Route
    ids: list[int] | None = None  # source ids of the unit, if it has been encoded
    prefix: str = ""  # what its translation must begin with
    align: bool = False  # whether word alignment is needed
    places_signs: bool = False  # whether brackets, quotation marks and dashes must be put back by word alignment
    lacks_signs: bool = False  # whether some could not be put back
    pivot_texts: tuple[str, ...] = ()  # its translations into the languages on the route
    hypotheses: list[RestoredHypothesis] = field(default_factory=list)
    parts: "list[Part] | None" = None
    is_part: bool = False  # whether it replaces another one together with others
    done: bool = False
    streamed_ids: list[int] = field(default_factory=list)  # target ids that were streamed so far
    warnings: set[str] = field(default_factory=set)

    def replace_with(self, pieces: Sequence[str | Unit]) -> "list[Segment]":
        """Replace the segment with smaller pieces; return the segments among them."""
        self.parts = [
            piece if isinstance(piece, str) else Segment(piece, self.route, align=self.align, is_part=True)
            for piece in pieces
        ]
        self.done = True
        segments = [part for part in self.parts if isinstance(part, Segment)]
        if segments:
            segments[0].prefix = self.prefix
        return segments

    def undo_replace(self) -> None:
        """Drop the parts again, because they could not be submitted."""
        self.parts, self.done = None, False

    def keep_source(self, warning: str) -> None:
        """Finish with the source text as the translation."""
        self.warnings.add(warning)
        self.done = True
        source = self.unit.source
        self.hypotheses = [RestoredHypothesis(AlignedText.identity(source), source, Hypothesis([]), aligned=True)]

    @property
    def stable_prefix(self) -> str:
        """The beginning of the translation, as streamed so far, that later tokens cannot change."""
        text = self.route[-1].model.codec.decode([self.streamed_ids])[0] if self.streamed_ids else ""
        # Without half a character, and without a full stop that may be removed again.
        return text.rstrip("\ufffd").rstrip(f"{FULL_STOPS} \u00a0\u202f")

    def all_warnings(self) -> set[str]:
        """Return its warnings and those of its parts."""
        inner = [part.all_warnings() for part in self.parts or () if isinstance(part, Segment)]
        return self.warnings.union(*inner)


Part = str | Segment  # of a text: text that stays as it is, or a segment
