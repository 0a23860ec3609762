"""A text of a request while it is translated: segments on their way, and what stays as it is between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from service.engine.types import Hypothesis
from service.text.alignment import AlignedText, concatenate
from service.text.markup.document import Document
from service.text.markup.tag_placement import proportional_links
from service.text.segmentation.segmenter import SegmentationPlan
from service.translation.request import Detection, Piece, TranslationCandidate, TranslationResult
from service.translation.segment import RestoredHypothesis, RouteStep, Segment

Leaf = str | Segment


@dataclass(frozen=True)
class SegmentedDocument:
    """A text cut up: a plan for each block of a document, or one for the text itself."""

    plans: list[SegmentationPlan]
    document: Document | None = None


class DocumentTranslation:
    """One text of a request, cut up for a route, to be translated from one language to another."""

    def __init__(self, cut: SegmentedDocument, route: Sequence[RouteStep], languages: tuple[str, str]) -> None:
        self.route, self.languages, self._document = route, languages, cut.document
        self.detected: Detection | None = None
        self.complete = True  # False while it is only the beginning of its text
        self.warnings = set().union(*(plan.warnings for plan in cut.plans))
        self._rows = [_row(plan, route) for plan in cut.plans]
        self._wish = "", frozenset[str]()

    @property
    def segments(self) -> list[Segment]:
        """What it was cut into, in order."""
        return [leaf for row in self._rows for leaf in row if isinstance(leaf, Segment)]

    def extend(self, plan: SegmentationPlan) -> list[Segment]:
        """Take in the rest of a plain text; returns the segments in it."""
        [row] = self._rows
        new = _row(plan, self.route)
        row += new
        self.warnings |= plan.warnings
        self.want(*self._wish)
        self.complete = True
        return [leaf for leaf in new if isinstance(leaf, Segment)]

    def want(self, prefix: str, include: frozenset[str]) -> None:
        """Have the first segment's translation start with a prefix, and those linked that need it."""
        self._wish = prefix, include
        for segment in self.segments[:1]:
            segment.prefix = prefix
        for k, row in enumerate(self._rows):
            if "alignment" in include or (self._document is not None and self._document.has_inline_tags[k]):
                for leaf in row:
                    if isinstance(leaf, Segment):
                        leaf.linked = True

    def streamed(self) -> Iterator[str | None]:
        """The best translation, part by part in order; None again and again while the next part is not there."""
        if self._document is None:
            [row], at = self._rows, 0
            while at < len(row) or not self.complete:
                if at < len(row):
                    yield from _streamed(row[at])
                    at += 1
                else:
                    yield None
            return
        for k, row in enumerate(self._rows):
            while not _done(row):
                yield None
            leaves = list(_leaves(row))
            best = [leaf if isinstance(leaf, str) else leaf.restored_hypotheses[0] for leaf in leaves]
            yield self._document.render_block(k, self._joined(leaves, best))
        yield self._document.end

    def result(self, include: frozenset[str]) -> TranslationResult:
        """The text's translation, once all its segments are done."""
        rows = [list(_leaves(row)) for row in self._rows]
        segments = [leaf for leaf in chain(*rows) if isinstance(leaf, Segment)]
        choices = best_choices([[one.hypothesis.score or 0.0 for one in leaf.restored_hypotheses] for leaf in segments])
        best, *others = [self._candidate(rows, choice, include) for choice in choices]
        return TranslationResult(
            **vars(best),
            source=self.languages[0],
            target=self.languages[1],
            detected=self.detected,
            alternatives=others,
            warnings=sorted(self.warnings.union(*(segment.all_warnings() for segment in self.segments))),
        )

    def _candidate(
        self, rows: list[list[Leaf]], choice: tuple[int, ...], include: frozenset[str]
    ) -> TranslationCandidate:
        numbers = iter(choice)
        taken = [
            [leaf if isinstance(leaf, str) else leaf.restored_hypotheses[next(numbers)] for leaf in row] for row in rows
        ]
        translations = [self._joined(*row) for row in zip(rows, taken, strict=True)]
        hypotheses = [one.hypothesis for one in chain(*taken) if isinstance(one, RestoredHypothesis)]
        scores = [hypothesis.score for hypothesis in hypotheses if hypothesis.score is not None]
        candidate = TranslationCandidate(
            translations[0].text if self._document is None else self._document.render(translations)
        )
        reasons = {hypothesis.finish_reason for hypothesis in hypotheses}
        candidate.finish_reason = next((reason for reason in ("length", "loop") if reason in reasons), "stop")
        if "score" in include and scores:
            candidate.score = sum(scores)
        if "tokens" in include:
            candidate.tokens = [piece for hypothesis in hypotheses for piece in self._tokens(hypothesis)]
        if "alignment" in include:
            links = translations[0].links
            candidate.alignment = [one for one in links if one.source_end > one.source_start]
        return candidate

    def _joined(self, leaves: list[Leaf], taken: Sequence[str | RestoredHypothesis]) -> AlignedText:
        parts = []
        for leaf, one in zip(leaves, taken, strict=True):
            if isinstance(leaf, str) or isinstance(one, str):
                # Only markup has use for where it went.
                kept = AlignedText(str(leaf)) if self._document is None else AlignedText.identity(str(leaf))
                parts.append((str(leaf), kept))
                continue
            translation, source = one.translation, leaf.unit.source
            if self._document is not None and not one.aligned:
                guessed = proportional_links(source, translation.text)
                translation = AlignedText(translation.text, (*translation.links, *guessed))
            parts.append((source, translation))
        return concatenate(parts)

    def _tokens(self, hypothesis: Hypothesis) -> list[Piece]:
        spell, gains = self.route[-1].model.codec.token_text, hypothesis.log_probabilities
        # The end mark has a log-probability too, and no token.
        return [Piece(token, spell(token), gain) for token, gain in zip(hypothesis.ids, gains, strict=False)]


def _leaves(row: Sequence[Leaf]) -> Iterator[Leaf]:
    """What is in a row at last, parts in the places of what was divided."""
    for leaf in row:
        if isinstance(leaf, str) or leaf.parts is None:
            yield leaf
        else:
            yield from _leaves(leaf.parts)


def _done(row: Sequence[Leaf]) -> bool:
    return all(isinstance(leaf, str) or (leaf.done and _done(leaf.parts or ())) for leaf in row)


def _row(plan: SegmentationPlan, route: Sequence[RouteStep]) -> list[Leaf]:
    return [piece if isinstance(piece, str) else Segment(piece, route) for piece in plan.parts]


def _streamed(leaf: Leaf) -> Iterator[str | None]:
    if isinstance(leaf, str):
        yield leaf
        return
    said = ""
    while not leaf.done:
        more = leaf.stable_prefix[len(said) :]
        said += more
        yield more or None
    if leaf.parts is None:
        yield leaf.restored_hypotheses[0].translation.text[len(said) :]
    for part in leaf.parts or ():
        yield from _streamed(part)


def best_choices(scores: list[list[float]]) -> list[tuple[int, ...]]:
    """Which rendering to take of each segment, for the text's best, second best, ... translation.

    `scores` are the segments' renderings', best first, which a cut answer of greater score is not: it counts as no
    better than what is before it. There are as many choices as the segment with most has renderings. The best has the
    best of each; every other has the greatest sum that is left.
    """
    count = max(map(len, scores), default=1)
    rows: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for row in scores:
        longer = [(total + score, (*taken, k)) for total, taken in rows for k, score in enumerate(accumulate(row, min))]
        rows = sorted(longer, key=lambda one: -one[0])[:count]
    return [taken for _, taken in rows]
