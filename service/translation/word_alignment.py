"""Word alignment of finished translations: the models that wrote them score them once more, for the attention.

By the links, brackets, quotation marks and dashes that a translation lost are put back, see
`service.text.sign_placement`; before that, quotation marks by the punctuation beside them, which takes no model.
"""

from collections.abc import Sequence

from service.engine.types import EngineRequest, EngineResult
from service.errors import NotReady, Overloaded, UnknownModel
from service.models.request_scope import RequestScope
from service.models.scorer import EncodedPair, Pair
from service.text.alignment import AlignedText, AlignmentLink, anchor_identical_words, compose_links
from service.text.quality_checks import SIGN
from service.text.quote_placement import place_quotes
from service.text.segmentation.units import Unit
from service.text.sign_placement import place_signs
from service.text.signs import has_changed_signs
from service.translation.segment import RestoredHypothesis, Segment

NOT_ALIGNED = "not_aligned"


def place_quotes_in(unit: Unit, hypotheses: Sequence[RestoredHypothesis]) -> list[RestoredHypothesis] | None:
    """Return hypotheses with the quotation marks that punctuation can place; None if one of them still lacks signs."""
    placed = []
    for one in hypotheses:
        if has_changed_signs(unit.model_input, one.output):
            text = place_quotes(unit.model_input, one.output, unit.languages[1])
            if text is None or has_changed_signs(unit.model_input, text):
                return None
            translation = unit.restore(AlignedText(text))
            if translation is None:
                return None
            one = one._replace(translation=translation, output=text)
        placed.append(one)
    return placed


class WordAligner:
    """Aligns the hypotheses of segments with their sources, within one request's scope."""

    def __init__(self, scope: RequestScope) -> None:
        self._scope = scope
        self._pending: dict[EngineRequest, _HypothesisAlignment] = {}
        self._unaligned: dict[Segment, int] = {}  # hypotheses of each segment that are still to be aligned
        self._incomplete: list[Segment] = []

    @property
    def done(self) -> bool:
        """Whether no request is pending."""
        return not self._pending

    def start(self, segment: Segment) -> None:
        """Align the hypotheses of a segment and mark it as done, unless it still lacks signs then.

        Where alignment is impossible, it gets a warning.
        """
        self._unaligned[segment] = len(segment.hypotheses)
        for k in range(len(segment.hypotheses)):
            if not self._submit(segment, k):
                self._finish_one(segment)

    def process(self, request: EngineRequest, result: EngineResult) -> bool:
        """Take the result of a request of the aligner's; return False if the request is not one."""
        alignment = self._pending.pop(request, None)
        if alignment is not None and alignment.add(request, result):
            self._finish_one(alignment.segment)
        return alignment is not None

    def _finish_one(self, segment: Segment) -> None:
        self._unaligned[segment] -= 1
        if not self._unaligned[segment]:
            del self._unaligned[segment]
            if segment.lacks_signs:
                self._incomplete.append(segment)
            else:
                segment.done = True

    def take_incomplete(self) -> list[Segment]:
        """Return the aligned segments that lack signs, and that have not been returned yet; they are not done."""
        incomplete, self._incomplete = self._incomplete, []
        return incomplete

    def _submit(self, segment: Segment, k: int) -> bool:
        """Submit the requests that align the k-th hypothesis; return False if there is nothing to wait for."""
        hypothesis = segment.hypotheses[k]
        texts = [segment.unit.model_input, *segment.pivot_texts, hypothesis.output]
        if texts[0] == texts[-1]:  # nothing was translated, so `restore` linked the whole text with itself
            segment.hypotheses[k] = hypothesis._replace(aligned=True)
            return False
        pairs: list[EncodedPair] = []
        try:
            for step, *pair in zip(segment.route, texts, texts[1:], strict=False):
                [encoded] = step.model.scorer.encode([Pair(*pair)], step.direction)
                if step.model.scorer.length_error(encoded) is not None:
                    _warn(segment)
                    return False
                pairs.append(encoded)
            alignment = _HypothesisAlignment(segment, k, pairs)
            for step, encoded in zip(segment.route, pairs, strict=True):
                self._scope.submit(step.model.scorer.engine_client, [encoded.request])
                self._pending[encoded.request] = alignment
        except (UnknownModel, Overloaded, NotReady):
            _warn(segment)
            return False
        return True


def _warn(segment: Segment) -> None:
    """Add the warnings of a segment that cannot be aligned."""
    segment.warnings.update({NOT_ALIGNED} if segment.align else (), {SIGN} if segment.places_signs else ())


class _HypothesisAlignment:
    """The alignment of one hypothesis, composed of one pair of texts per step of the route."""

    def __init__(self, segment: Segment, k: int, pairs: list[EncodedPair]) -> None:
        self.segment, self._k, self._pairs = segment, k, pairs
        self._links: dict[EngineRequest, tuple[AlignmentLink, ...]] = {}

    def add(self, request: EngineRequest, result: EngineResult) -> bool:
        """Take the links of one pair; return whether it was the last, and the hypothesis is aligned."""
        [pair] = [one for one in self._pairs if one.request is request]
        self._links[request] = pair.links(pair.without_prefix(result))
        if len(self._links) < len(self._pairs):
            return False
        first, *others = self._pairs
        links = self._links[first.request]
        for other in others:
            links = compose_links(links, self._links[other.request])
        hypothesis = self.segment.hypotheses[self._k]
        links = anchor_identical_words(links, first.pair.text, hypothesis.output)
        output = AlignedText(hypothesis.output, links)
        if self.segment.places_signs:
            output = self._with_signs(first.pair.text, output)
        translation = self.segment.unit.restore(output)
        assert translation is not None  # it was restored without links before
        self.segment.hypotheses[self._k] = hypothesis._replace(translation=translation, aligned=True)
        return True

    def _with_signs(self, source: str, output: AlignedText) -> AlignedText:
        """Return the output with the signs of the source, as far as they can be placed."""
        placed = place_signs(source, output, self.segment.unit.languages[1])
        if self.segment.unit.restore(placed) is None:
            placed = output
        if self._k == 0 and has_changed_signs(source, placed.text):
            self.segment.lacks_signs = True
        return placed
