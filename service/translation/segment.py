"""A sentence of a request on its way through one model, or two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.artifact import Direction
from service.engine.types import Hypothesis
from service.models.served_model import ServedModel
from service.text.alignment import AlignedText
from service.text.segmentation.units import FULL_STOPS, Unit


@dataclass(eq=False)
class RouteStep:
    """A model, and the direction in which a request uses it; a text is tokenised once."""

    model: ServedModel
    direction: Direction
    _known: dict[str, list[int]] = field(default_factory=dict)

    def sources(self, texts: list[str]) -> list[list[int]]:
        """Texts as the encoder reads them."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self.model.sources(new, self.direction), strict=True))
        return [self._known[text] for text in texts]

    def lengths(self, texts: list[str]) -> list[int]:
        """Their tokens."""
        return [len(ids) for ids in self.sources(texts)]


class RestoredHypothesis(NamedTuple):
    """A segment's translation with everything put back, what the model said, and the hypothesis behind it."""

    translation: AlignedText
    said: str
    hypothesis: Hypothesis
    aligned: bool = False  # the translation's links tell where all its words come from


@dataclass(eq=False)
class Segment:
    """A unit to translate. It ends with renderings, best first, or in parts that take its place."""

    unit: Unit
    route: Sequence[RouteStep]
    prefix: str = ""
    linked: bool = False  # whether it is to be known which word came from which
    between: list[str] = field(default_factory=list)  # what it says in the languages between
    restored_hypotheses: list[RestoredHypothesis] = field(default_factory=list)
    parts: "list[str | Segment] | None" = None
    done: bool = False
    token_ids: list[int] = field(default_factory=list)  # tokens told while they are being written
    warnings: set[str] = field(default_factory=set)

    def divide(self, pieces: Sequence[str | Unit]) -> "list[Segment]":
        """Let these pieces take its place; returns the segments among them."""
        parts = [
            piece if isinstance(piece, str) else Segment(piece, self.route, linked=self.linked) for piece in pieces
        ]
        segments = [part for part in parts if isinstance(part, Segment)]
        if segments:
            segments[0].prefix = self.prefix
        self.parts, self.done = list(parts), True
        return segments

    def rejoin(self) -> None:
        """Take its place again: its parts could not be handed in."""
        self.parts, self.done = None, False

    def leave(self, warning: str) -> None:
        """Let it say what it says in the source's language."""
        self.warnings.add(warning)
        self.done = True
        self.restored_hypotheses = [
            RestoredHypothesis(AlignedText.identity(self.unit.source), self.unit.source, Hypothesis([]), aligned=True)
        ]

    @property
    def stable_prefix(self) -> str:
        """What of a plain unit's translation is certain while it is being written."""
        text = self.route[-1].model.codec.decode([self.token_ids])[0] if self.token_ids else ""
        return text.rstrip("\ufffd").rstrip(FULL_STOPS)  # half a character, and a point that may go again

    def all_warnings(self) -> set[str]:
        """Its own and its parts'."""
        inner = [part.all_warnings() for part in self.parts or () if isinstance(part, Segment)]
        return self.warnings.union(*inner)
