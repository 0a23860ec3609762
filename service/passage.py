"""A text of a request while it is translated: segments on their way, and what stays as it is between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.artifact import Direction
from service.engine.scheduler import Answer, Hypothesis
from service.job import Draft, Piece, Reading
from service.model import ServedModel
from service.text.alignment import Translation
from service.text.document import SPLIT_AT_PROTECTED, Plan, joined, unchanged
from service.text.units import Unit

NOT_TRANSLATED = "not_translated"


@dataclass(frozen=True, eq=False)
class Leg:
    """A model, and the direction in which it is used."""

    model: ServedModel
    direction: Direction


class Rendering(NamedTuple):
    """A segment's translation, put in order, and the hypothesis that it was made of."""

    translation: Translation
    hypothesis: Hypothesis


@dataclass(eq=False)
class Segment:
    """A unit on its way through a model. It ends with renderings, best first, or in parts that take its place."""

    unit: Unit
    leg: Leg
    prefix: str = ""
    renderings: list[Rendering] = field(default_factory=list)
    parts: "list[str | Segment] | None" = None
    warnings: set[str] = field(default_factory=set)

    def settle(self, answer: Answer) -> "list[Segment]":
        """Take an answer; returns the segments to translate in its place, if it lost what it must keep."""
        texts = self.leg.model.codec.decode([hypothesis.ids for hypothesis in answer.hypotheses])
        for text, hypothesis in zip(texts, answer.hypotheses, strict=True):
            restored = self.unit.restored(Translation(text))
            if restored is not None:
                self.renderings.append(Rendering(restored, hypothesis))
            elif not self.renderings:
                return self._divide()
        return []

    def _divide(self) -> "list[Segment]":
        smaller = self.unit.smaller()
        if len(smaller) > 1:
            self.warnings.add(SPLIT_AT_PROTECTED)
        parts = [piece if isinstance(piece, str) else Segment(piece, self.leg) for piece in smaller]
        segments = [part for part in parts if isinstance(part, Segment)]
        if segments:
            segments[0].prefix = self.prefix
        self.parts = list(parts)
        return segments

    def give_up(self) -> None:
        """Keep what it says in the source's language: nothing else is sure to be complete."""
        self.warnings.add(NOT_TRANSLATED)
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


class Passage:
    """One text of a request."""

    def __init__(self, plan: Plan, leg: Leg, prefix: str) -> None:
        self.leg = leg
        self._warnings = set(plan.warnings)
        self._row = [piece if isinstance(piece, str) else Segment(piece, leg) for piece in plan.pieces]
        self.segments = [piece for piece in self._row if isinstance(piece, Segment)]
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
        return Draft(
            **vars(best),
            source=self.leg.direction.source,
            target=self.leg.direction.target,
            alternatives=others,
            warnings=sorted(self._all_warnings()),
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
        spell = self.leg.model.codec.piece
        gains = hypothesis.log_probabilities
        # The end mark has a log-probability too, and no token.
        return [Piece(token, spell(token), gain) for token, gain in zip(hypothesis.ids, gains, strict=False)]

    def _all_warnings(self) -> set[str]:
        found = set(self._warnings)
        waiting = list(self.segments)
        while waiting:
            segment = waiting.pop()
            found |= segment.warnings
            waiting += [part for part in segment.parts or () if isinstance(part, Segment)]
        return found


def best_choices(scores: list[list[float]]) -> list[tuple[int, ...]]:
    """Which rendering to take of each segment, for the text's best, second best, ... translation.

    `scores` are the segments' renderings', best first; there are as many choices as the segment with most has
    renderings. The best has the best of each; each choice has the greatest sum among those not chosen before.
    """
    count = max(map(len, scores), default=1)
    rows: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for row in scores:
        longer = [(total + score, (*taken, k)) for total, taken in rows for k, score in enumerate(row)]
        rows = sorted(longer, key=lambda one: -one[0])[:count]
    return [taken for _, taken in rows]
