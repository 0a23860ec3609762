"""A request's segments on their way through the models: handed in together, followed up as their answers come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from service.desk import Visit
from service.engine.options import Options
from service.engine.scheduler import Answer, Hypothesis, Ticket
from service.errors import InvalidRequest, NotReady, Overloaded
from service.linking import Linking
from service.model import Wanted
from service.segment import Leg, Rendering, Segment
from service.text.alignment import Translation
from service.text.document import SPLIT_AT_PROTECTED, SPLIT_LONG_SENTENCE
from service.text.guards import EMPTY, LENGTH, faults

NOT_TRANSLATED = "not_translated"


@dataclass(frozen=True)
class Attempt:
    """What a model made of a text, best first, and what looks wrong with the best."""

    texts: list[str]
    hypotheses: list[Hypothesis]
    faults: list[str]


@dataclass(frozen=True, eq=False)
class Errand:
    """A text for a model, on behalf of a segment; `earlier` is the attempt that it is to do better than."""

    segment: Segment
    text: str
    stage: int = 0  # of the segment's route
    earlier: Attempt | None = None
    listening: bool = False

    @property
    def leg(self) -> Leg:
        return self.segment.route[self.stage]

    @property
    def last(self) -> bool:
        return self.stage == len(self.segment.route) - 1


Groups = dict[Leg, dict[Ticket, Errand]]


class Journey:
    """What is on its way in a visit."""

    def __init__(self, visit: Visit, wanted: Wanted) -> None:
        self.visit, self.wanted = visit, wanted
        self._open: dict[Ticket, Errand] = {}
        self._later: Groups = {}
        self._linking = Linking(visit)
        self.source_tokens = self.target_tokens = 0
        self.queue_ms = self.compute_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether all segments are done."""
        return not self._open and not self._later and self._linking.ended

    def start(self, segments: Sequence[Segment], head: int | None = None, listening: bool = False) -> None:
        """Hand segments in, all at once to each model; see `Desk.submit` and `ServedModel.ticket` for the errors.

        With a `head`, so many of them are done before the rest joins: who reads along need not wait for a crowd.
        With `listening`, the tokens of plain ones are `heard` as they are written.
        """
        errands = [Errand(segment, segment.unit.text, listening=listening) for segment in segments]
        first, rest = self._tickets(errands[:head]), self._tickets(errands[head:] if head else [])
        for leg, group in rest.items():
            leg.model.desk.check([*first.get(leg, {}), *group])
        self._submit(first)
        self._later = rest

    async def proceed(self) -> None:
        """Wait for some news and follow them up at once; see `Visit.news` for the errors, and `start`."""
        for ticket, news in await self.visit.news():
            if isinstance(news, int):
                self._open[ticket].segment.heard.append(news)
            elif not self._linking.settle(ticket, news):
                errand = self._open.pop(ticket)
                self._count(ticket, news)
                self._follow(self._settle(errand, news))
        if self._later and not self._open:
            rest, self._later = self._later, {}
            self._submit(rest)

    def _count(self, ticket: Ticket, answer: Answer) -> None:
        self.source_tokens += len(ticket.ids)
        self.target_tokens += len(answer.ids)
        self.queue_ms = max(self.queue_ms, answer.queue_ms)
        self.compute_ms = max(self.compute_ms, answer.compute_ms)

    def _follow(self, errands: list[Errand]) -> None:
        """Let them join the running batch; what the queue has no room for ends with what there is."""
        try:
            self._submit(self._tickets(errands))
        except (Overloaded, NotReady, InvalidRequest):
            for errand in errands:
                if errand.earlier is not None:
                    self._follow(self._accept(errand, errand.earlier))
                else:
                    errand.segment.leave(NOT_TRANSLATED)

    def _tickets(self, errands: list[Errand]) -> Groups:
        groups: Groups = {}
        while errands:
            longer = []
            for errand, ids in _read(errands):
                if len(ids) > errand.leg.model.manifest.limits.source_length:
                    longer += self._halved(errand)
                    continue
                ticket = errand.leg.model.ticket(ids, self._wanted(errand))
                if errand.listening and errand.last and errand.segment.unit.plain:
                    self.visit.listen(ticket)
                groups.setdefault(errand.leg, {})[ticket] = errand
            errands = longer
        return groups

    def _submit(self, groups: Groups) -> None:
        for leg, group in groups.items():
            self.visit.submit(leg.model.desk, list(group))
            self._open |= group

    def _halved(self, errand: Errand) -> list[Errand]:
        """Of a text that got too long on its way: with stand-ins for numbers, or in the language between."""
        segment, halves = errand.segment, errand.segment.unit.halves()
        if len(halves) == 1:
            segment.leave(NOT_TRANSLATED)
            return []
        segment.warnings.add(SPLIT_LONG_SENTENCE)
        return [Errand(part, part.unit.text) for part in segment.divide(halves)]

    def _wanted(self, errand: Errand) -> Wanted:
        wanted = replace(self.wanted, prefix=errand.segment.prefix) if errand.last else between(self.wanted)
        return wanted if errand.earlier is None else replace(wanted, options=safer(wanted.options))

    def _settle(self, errand: Errand, answer: Answer) -> list[Errand]:
        """What is to be done with an answer."""
        texts = errand.leg.model.codec.decode([hypothesis.ids for hypothesis in answer.hypotheses])
        attempt = Attempt(texts, answer.hypotheses, self._faults(errand, texts[0], answer.hypotheses[0]))
        if attempt.faults and errand.earlier is None and not errand.segment.heard:
            return [replace(errand, earlier=attempt)]
        if errand.earlier is not None and len(errand.earlier.faults) <= len(attempt.faults):
            attempt = errand.earlier
        return self._accept(errand, attempt)

    def _faults(self, errand: Errand, text: str, best: Hypothesis) -> list[str]:
        found = faults(errand.text, text, errand.leg.direction.target)
        if errand.last and self.wanted.max_length is not None and best.finish_reason == "length":
            return [fault for fault in found if fault not in {EMPTY, LENGTH}]  # as the caller wants it
        return found

    def _accept(self, errand: Errand, attempt: Attempt) -> list[Errand]:
        """Go on with an attempt, good or not."""
        segment = errand.segment
        segment.warnings.update(attempt.faults)
        if not errand.last:
            segment.between.append(attempt.texts[0])
            return [Errand(segment, attempt.texts[0], errand.stage + 1)]
        for text, hypothesis in zip(attempt.texts, attempt.hypotheses, strict=True):
            restored = segment.unit.restored(Translation(text))
            if restored is not None:
                segment.renderings.append(Rendering(restored, text, hypothesis))
            elif not segment.renderings:
                return self._mended(segment)
        if segment.linked:
            self._linking.start(segment)
        else:
            segment.done = True
        return []

    def _mended(self, segment: Segment) -> list[Errand]:
        smaller = segment.unit.smaller()
        if len(smaller) > 1:
            segment.warnings.add(SPLIT_AT_PROTECTED)
        return [Errand(part, part.unit.text) for part in segment.divide(smaller)]


def _read(errands: Sequence[Errand]) -> Iterable[tuple[Errand, list[int]]]:
    """The errands with what their models read."""
    texts: dict[Leg, list[str]] = {}
    for errand in errands:
        texts.setdefault(errand.leg, []).append(errand.text)
    for leg, group in texts.items():
        leg.sources(group)
    return [(errand, errand.leg.sources([errand.text])[0]) for errand in errands]


def safer(options: Options) -> Options:
    """The options of a second try: they leave loops."""
    return replace(
        options,
        no_repeat_ngram=options.no_repeat_ngram or 3,
        repetition_penalty=max(options.repetition_penalty, 1.2),
        min_length=max(options.min_length, 1),
    )


def between(wanted: Wanted) -> Wanted:
    """What is wanted of a translation that another one is made of: the search, but nothing that the caller reads."""
    asked = wanted.options
    return Wanted(
        Options(
            beam_size=asked.beam_size,
            length_penalty=asked.length_penalty,
            early_stopping=asked.early_stopping,
            no_repeat_ngram=asked.no_repeat_ngram,
            repetition_penalty=asked.repetition_penalty,
        )
    )
