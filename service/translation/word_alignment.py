"""Where the words of a segment's translation come from, asked of the models that made it."""

from service.engine.types import Answer, Ticket
from service.errors import NotReady, Overloaded, UnknownModel
from service.models.request_scope import Visit
from service.models.scorer import Given, Pair
from service.text.alignment import Link, Translation, anchored, composed
from service.translation.segment import Segment

NOT_ALIGNED = "not_aligned"


class Linking:
    """The segments of a visit whose translations are being read once more, for the links alone."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._open: dict[Ticket, _Chain] = {}
        self._asked: dict[Segment, int] = {}  # translations that wait for their links

    def start(self, segment: Segment) -> None:
        """Ask for the links of a segment's translations, and have it done with them; without them it has a warning."""
        self._asked[segment] = len(segment.renderings)
        for k in range(len(segment.renderings)):
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
        rendering = segment.renderings[k]
        texts = [segment.unit.text, *segment.between, rendering.said]
        if texts[0] == texts[-1]:  # nothing was translated, and everything is where it was
            segment.renderings[k] = rendering._replace(aligned=True)
            return False
        given: list[Given] = []
        try:
            for leg, *pair in zip(segment.route, texts, texts[1:], strict=False):
                [one] = leg.model.scorer.given([Pair(*pair)], leg.direction)
                if leg.model.scorer.fault(one) is not None:
                    segment.warnings.add(NOT_ALIGNED)
                    return False
                given.append(one)
            chain = _Chain(segment, k, given)
            for leg, one in zip(segment.route, given, strict=True):
                self.visit.submit(leg.model.scorer.desk, [one.ticket])
                self._open[one.ticket] = chain
        except (UnknownModel, Overloaded, NotReady):
            segment.warnings.add(NOT_ALIGNED)
            return False
        return True

    @property
    def ended(self) -> bool:
        """Whether nothing is asked for any more."""
        return not self._open

    def settle(self, ticket: Ticket, answer: Answer) -> bool:
        """Take an answer, if it is one of these."""
        chain = self._open.pop(ticket, None)
        if chain is not None and chain.settle(ticket, answer):
            self._have(chain.segment)
        return chain is not None


class _Chain:
    """A rendering of a segment, and the texts on the way to it two by two."""

    def __init__(self, segment: Segment, k: int, given: list[Given]) -> None:
        self.segment, self._k, self._given = segment, k, given
        self._links: dict[Ticket, tuple[Link, ...]] = {}

    def settle(self, ticket: Ticket, answer: Answer) -> bool:
        """Take the links of two texts; whether they were the last."""
        [given] = [one for one in self._given if one.ticket is ticket]
        self._links[ticket] = given.links(answer)
        if len(self._links) < len(self._given):
            return False
        links = self._links[self._given[0].ticket]
        for one in self._given[1:]:
            links = composed(links, self._links[one.ticket])
        rendering = self.segment.renderings[self._k]
        links = anchored(links, self._given[0].pair.text, rendering.said)
        restored = self.segment.unit.restored(Translation(rendering.said, links))
        assert restored is not None  # it was restored without links before
        self.segment.renderings[self._k] = rendering._replace(translation=restored, aligned=True)
        return True
