"""Where the words of a segment's translation come from, asked of the models that made it."""

from collections import Counter

from service.desk import Visit
from service.engine.scheduler import Answer, Ticket
from service.errors import NotReady, Overloaded, UnknownModel
from service.scorer import Given, Pair
from service.segment import Segment
from service.text.alignment import Link, Span, Translation, composed
from service.text.words import words

NOT_ALIGNED = "not_aligned"


class Linking:
    """The segments of a visit whose best translations are being read once more, for the links alone."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._open: dict[Ticket, _Chain] = {}

    def start(self, segment: Segment) -> None:
        """Ask for the links of a segment's best translation, and have it done with them or with a warning."""
        texts = [segment.unit.text, *segment.between, segment.renderings[0].said]
        if texts[0] == texts[-1]:  # nothing was translated, and everything is where it was
            segment.renderings[0] = segment.renderings[0]._replace(aligned=True)
            segment.done = True
            return None
        given: list[Given] = []
        try:
            for leg, *pair in zip(segment.route, texts, texts[1:], strict=False):
                [one] = leg.model.scorer.given([Pair(*pair)], leg.direction)
                if leg.model.scorer.fault(one) is not None:
                    return _without(segment)
                given.append(one)
            chain = _Chain(segment, given)
            for leg, one in zip(segment.route, given, strict=True):
                self.visit.submit(leg.model.scorer.desk, [one.ticket])
                self._open[one.ticket] = chain
        except (UnknownModel, Overloaded, NotReady):
            return _without(segment)
        return None

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
    """A segment, and its texts two by two."""

    def __init__(self, segment: Segment, given: list[Given]) -> None:
        self._segment, self._given = segment, given
        self._links: dict[Ticket, tuple[Link, ...]] = {}

    def settle(self, ticket: Ticket, answer: Answer) -> None:
        [given] = [one for one in self._given if one.ticket is ticket]
        self._links[ticket] = given.links(answer)
        if len(self._links) < len(self._given):
            return
        links = self._links[self._given[0].ticket]
        for one in self._given[1:]:
            links = composed(links, self._links[one.ticket])
        best = self._segment.renderings[0]
        links = anchored(links, self._given[0].pair.text, best.said)
        restored = self._segment.unit.restored(Translation(best.said, links))
        assert restored is not None  # it was restored without links before
        self._segment.renderings[0] = best._replace(translation=restored, aligned=True)
        self._segment.done = True


def _without(segment: Segment) -> None:
    segment.warnings.add(NOT_ALIGNED)
    segment.done = True


def anchored(links: tuple[Link, ...], source: str, target: str) -> tuple[Link, ...]:
    """The links, but a word that stands once in either text, letter by letter, comes from itself."""
    here, there = _single(source), _single(target)
    fixed = {here[word]: there[word] for word in here.keys() & there.keys()}
    kept = [link for link in links if link[2:] not in fixed.values()]
    return tuple(sorted([*kept, *(Link(*a, *b) for a, b in fixed.items())], key=lambda link: link[2:]))


def _single(text: str) -> dict[str, Span]:
    spans = [span for span in words(text) if text[span[0]].isalnum()]
    counts = Counter(text[start:end] for start, end in spans)
    return {text[start:end]: (start, end) for start, end in spans if counts[text[start:end]] == 1}
