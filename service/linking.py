"""Where the words of a segment's translation come from, asked of the models that made it."""

from service.desk import Visit
from service.engine.scheduler import Answer, Ticket
from service.errors import NotReady, Overloaded, UnknownModel
from service.scorer import Given, Pair
from service.segment import Segment
from service.text.alignment import Link, Translation, composed
from service.text.links import anchored

NOT_ALIGNED = "not_aligned"


class Linking:
    """The segments of a visit whose translations are being read once more, for the links alone."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._open: dict[Ticket, _Chain] = {}

    def start(self, segment: Segment) -> None:
        """Ask for the links of a segment's translations; without them it has a warning."""
        for k in range(len(segment.renderings)):
            self._ask(segment, k)

    def _ask(self, segment: Segment, k: int) -> None:
        rendering = segment.renderings[k]
        texts = [segment.unit.text, *segment.between, rendering.said]
        if texts[0] == texts[-1]:  # nothing was translated, and everything is where it was
            segment.renderings[k] = rendering._replace(aligned=True)
            return
        given: list[Given] = []
        try:
            for leg, *pair in zip(segment.route, texts, texts[1:], strict=False):
                [one] = leg.model.scorer.given([Pair(*pair)], leg.direction)
                if leg.model.scorer.fault(one) is not None:
                    segment.warnings.add(NOT_ALIGNED)
                    return
                given.append(one)
            chain = _Chain(segment, k, given)
            for leg, one in zip(segment.route, given, strict=True):
                self.visit.submit(leg.model.scorer.desk, [one.ticket])
                self._open[one.ticket] = chain
        except (UnknownModel, Overloaded, NotReady):
            segment.warnings.add(NOT_ALIGNED)

    @property
    def ended(self) -> bool:
        """Whether nothing is asked for any more."""
        return not self._open

    def settle(self, ticket: Ticket, answer: Answer) -> bool:
        """Take an answer, if it is one of these."""
        chain = self._open.pop(ticket, None)
        if chain is not None:
            chain.settle(ticket, answer)
        return chain is not None


class _Chain:
    """A rendering of a segment, and the texts on the way to it two by two."""

    def __init__(self, segment: Segment, k: int, given: list[Given]) -> None:
        self._segment, self._k, self._given = segment, k, given
        self._links: dict[Ticket, tuple[Link, ...]] = {}

    def settle(self, ticket: Ticket, answer: Answer) -> None:
        [given] = [one for one in self._given if one.ticket is ticket]
        self._links[ticket] = given.links(answer)
        if len(self._links) < len(self._given):
            return
        links = self._links[self._given[0].ticket]
        for one in self._given[1:]:
            links = composed(links, self._links[one.ticket])
        rendering = self._segment.renderings[self._k]
        links = anchored(links, self._given[0].pair.text, rendering.said)
        restored = self._segment.unit.restored(Translation(rendering.said, links))
        assert restored is not None  # it was restored without links before
        self._segment.renderings[self._k] = rendering._replace(translation=restored, aligned=True)
