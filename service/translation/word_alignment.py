"""Where the words of a segment's translation come from, asked of the models that made it."""

from service.engine.types import EngineRequest, EngineResult
from service.errors import NotReady, Overloaded, UnknownModel
from service.models.request_scope import RequestScope
from service.models.scorer import EncodedPair, Pair
from service.text.alignment import AlignedText, AlignmentLink, anchor_identical_words, compose_links
from service.translation.segment import Segment

NOT_ALIGNED = "not_aligned"


class WordAligner:
    """The segments of a visit whose translations are being read once more, for the links alone."""

    def __init__(self, scope: RequestScope) -> None:
        self.scope = scope
        self._open: dict[EngineRequest, _Chain] = {}
        self._asked: dict[Segment, int] = {}  # translations that wait for their links

    def start(self, segment: Segment) -> None:
        """Ask for the links of a segment's translations, and have it done with them; without them it has a warning."""
        self._asked[segment] = len(segment.restored_hypotheses)
        for k in range(len(segment.restored_hypotheses)):
            if not self._ask(segment, k):
                self._have(segment)

    def _have(self, segment: Segment) -> None:
        """One more translation has all the links that it will get."""
        self._asked[segment] -= 1
        if not self._asked[segment]:
            del self._asked[segment]
            segment.done = True

    def _ask(self, segment: Segment, k: int) -> bool:
        """Hand in what tells the links of the k-th translation; whether there is anything to wait for."""
        restored_hypothesis = segment.restored_hypotheses[k]
        texts = [segment.unit.model_input, *segment.between, restored_hypothesis.said]
        if texts[0] == texts[-1]:  # nothing was translated, and everything is where it was
            segment.restored_hypotheses[k] = restored_hypothesis._replace(aligned=True)
            return False
        given: list[EncodedPair] = []
        try:
            for route_step, *pair in zip(segment.route, texts, texts[1:], strict=False):
                [one] = route_step.model.scorer.given([Pair(*pair)], route_step.direction)
                if route_step.model.scorer.fault(one) is not None:
                    segment.warnings.add(NOT_ALIGNED)
                    return False
                given.append(one)
            chain = _Chain(segment, k, given)
            for route_step, one in zip(segment.route, given, strict=True):
                self.scope.submit(route_step.model.scorer.engine_client, [one.engine_request])
                self._open[one.engine_request] = chain
        except (UnknownModel, Overloaded, NotReady):
            segment.warnings.add(NOT_ALIGNED)
            return False
        return True

    @property
    def ended(self) -> bool:
        """Whether nothing is asked for any more."""
        return not self._open

    def settle(self, engine_request: EngineRequest, answer: EngineResult) -> bool:
        """Take an answer, if it is one of these."""
        chain = self._open.pop(engine_request, None)
        if chain is not None and chain.settle(engine_request, answer):
            self._have(chain.segment)
        return chain is not None


class _Chain:
    """A rendering of a segment, and the texts on the way to it two by two."""

    def __init__(self, segment: Segment, k: int, given: list[EncodedPair]) -> None:
        self.segment, self._k, self._given = segment, k, given
        self._links: dict[EngineRequest, tuple[AlignmentLink, ...]] = {}

    def settle(self, engine_request: EngineRequest, answer: EngineResult) -> bool:
        """Take the links of two texts; whether they were the last."""
        [given] = [one for one in self._given if one.engine_request is engine_request]
        self._links[engine_request] = given.links(answer)
        if len(self._links) < len(self._given):
            return False
        links = self._links[self._given[0].engine_request]
        for one in self._given[1:]:
            links = compose_links(links, self._links[one.engine_request])
        restored_hypothesis = self.segment.restored_hypotheses[self._k]
        links = anchor_identical_words(links, self._given[0].pair.text, restored_hypothesis.said)
        restored = self.segment.unit.restore(AlignedText(restored_hypothesis.said, links))
        assert restored is not None  # it was restored without links before
        self.segment.restored_hypotheses[self._k] = restored_hypothesis._replace(translation=restored, aligned=True)
        return True
