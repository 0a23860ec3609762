"""A text of a request while it is translated: segments on their way, and what stays as it is between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.artifact import Direction
from service.engine.scheduler import Hypothesis
from service.job import Detection, Draft, Piece, Reading
from service.model import ServedModel
from service.text.alignment import Translation
from service.text.document import Plan, joined, unchanged
from service.text.units import Unit


@dataclass(eq=False)
class Leg:
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


class Rendering(NamedTuple):
    """A segment's translation with everything put back, and the hypothesis that it was made of."""

    translation: Translation
    hypothesis: Hypothesis


@dataclass(eq=False)
class Segment:
    """A unit to translate. It ends with renderings, best first, or in parts that take its place."""

    unit: Unit
    route: Sequence[Leg]
    prefix: str = ""
    renderings: list[Rendering] = field(default_factory=list)
    parts: "list[str | Segment] | None" = None
    warnings: set[str] = field(default_factory=set)

    def divide(self, pieces: Sequence[str | Unit]) -> "list[Segment]":
        """Let these pieces take its place; returns the segments among them."""
        parts = [piece if isinstance(piece, str) else Segment(piece, self.route) for piece in pieces]
        segments = [part for part in parts if isinstance(part, Segment)]
        if segments:
            segments[0].prefix = self.prefix
        self.parts = list(parts)
        return segments

    def leave(self, warning: str) -> None:
        """Let it say what it says in the source's language."""
        self.warnings.add(warning)
        self.renderings = [Rendering(unchanged(self.unit.source), Hypothesis([]))]

    def leaves(self) -> "Iterator[str | Segment]":
        """The segment, or what has taken its place."""
        if self.parts is None:
            yield self
            return
        for part in self.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from part.leaves()

    def all_warnings(self) -> set[str]:
        """Its own and its parts'."""
        inner = [part.all_warnings() for part in self.parts or () if isinstance(part, Segment)]
        return self.warnings.union(*inner)


class Passage:
    """One text of a request, cut up for a route."""

    def __init__(self, plan: Plan, route: Sequence[Leg], languages: tuple[str, str]) -> None:
        self.route, self.languages = route, languages
        self.detected: Detection | None = None
        self.warnings = set(plan.warnings)
        self._row = [piece if isinstance(piece, str) else Segment(piece, route) for piece in plan.pieces]
        self.segments = [piece for piece in self._row if isinstance(piece, Segment)]

    def begin_with(self, prefix: str) -> None:
        """Have the first segment's translation start with it."""
        if self.segments:
            self.segments[0].prefix = prefix

    def _leaves(self) -> Iterator[str | Segment]:
        for piece in self._row:
            if isinstance(piece, str):
                yield piece
            else:
                yield from piece.leaves()

    def draft(self, include: frozenset[str]) -> Draft:
        """The text's translation, once all its segments are done."""
        leaves = list(self._leaves())
        segments = [leaf for leaf in leaves if isinstance(leaf, Segment)]
        choices = best_choices([[one.hypothesis.score or 0.0 for one in leaf.renderings] for leaf in segments])
        best, *others = [self._reading(leaves, choice, include) for choice in choices]
        warnings = self.warnings.union(*(segment.all_warnings() for segment in self.segments))
        return Draft(
            **vars(best),
            source=self.languages[0],
            target=self.languages[1],
            detected=self.detected,
            alternatives=others,
            warnings=sorted(warnings),
        )

    def _reading(self, leaves: list[str | Segment], choice: tuple[int, ...], include: frozenset[str]) -> Reading:
        chosen = iter(choice)
        parts: list[tuple[str, Translation]] = []
        hypotheses: list[Hypothesis] = []
        for leaf in leaves:
            if isinstance(leaf, str):
                parts.append((leaf, unchanged(leaf)))
                continue
            rendering = leaf.renderings[next(chosen)]
            parts.append((leaf.unit.source, rendering.translation))
            hypotheses.append(rendering.hypothesis)
        scores = [hypothesis.score for hypothesis in hypotheses if hypothesis.score is not None]
        return Reading(
            joined(parts).text,
            "length" if any(hypothesis.finish_reason == "length" for hypothesis in hypotheses) else "stop",
            sum(scores) if "score" in include and scores else None,
            [token for one in hypotheses for token in self._tokens(one)] if "tokens" in include else None,
        )

    def _tokens(self, hypothesis: Hypothesis) -> list[Piece]:
        spell = self.route[-1].model.codec.piece
        gains = hypothesis.log_probabilities
        # The end mark has a log-probability too, and no token.
        return [Piece(token, spell(token), gain) for token, gain in zip(hypothesis.ids, gains, strict=False)]


def best_choices(scores: list[list[float]]) -> list[tuple[int, ...]]:
    """Which rendering to take of each segment, for the text's best, second best, ... translation.

    `scores` are the segments' renderings', best first; there are as many choices as the segment with most has
    renderings. The best has the best of each; every other has the greatest sum that is left.
    """
    count = max(map(len, scores), default=1)
    rows: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for row in scores:
        longer = [(total + score, (*taken, k)) for total, taken in rows for k, score in enumerate(row)]
        rows = sorted(longer, key=lambda one: -one[0])[:count]
    return [taken for _, taken in rows]
