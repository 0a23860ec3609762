"""A request's segments on their way through the models: handed in together, followed up as their answers come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from service.engine.types import Answer, Hypothesis, Ticket
from service.errors import InvalidRequest, NotReady, Overloaded
from service.models.options import Wanted
from service.models.request_scope import Visit
from service.text.alignment import Translation
from service.text.glossary import Glossary, Term, missing
from service.text.quality_checks import EMPTY, LENGTH, REPETITION, faults
from service.text.segmentation.segmenter import SPLIT_AT_PROTECTED, SPLIT_LONG_SENTENCE
from service.text.segmentation.units import Unit
from service.translation.document import Passage
from service.translation.model_call import Attempt, Errand, between, safer
from service.translation.request import Draft, Translated
from service.translation.segment import Leg, Rendering, Segment
from service.translation.word_alignment import Linking

NOT_TRANSLATED = "not_translated"
GLOSSARY_MISSED = "glossary_missed"


Groups = dict[Leg, dict[Ticket, Errand]]


class Journey:
    """What is on its way in a visit."""

    def __init__(self, visit: Visit, wanted: Wanted, glossary: Mapping[str, str]) -> None:
        self.visit, self.wanted = visit, wanted
        self._terms = glossary
        self._glossaries: dict[str, Glossary] = {}  # by source language
        self._open: dict[Ticket, Errand] = {}
        self._linking = Linking(visit)
        self.source_tokens = self.target_tokens = 0
        self.queue_ms = self.compute_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether all segments are done."""
        return not self._open and self._linking.ended

    def start(self, segments: Sequence[Segment], listening: bool = False) -> None:
        """Hand segments in, all at once to each model; see `Desk.submit` and `ServedModel.ticket` for the errors.

        With `listening`, the tokens of plain ones are `heard` as they are written.
        """
        self._submit(self._tickets([Errand(segment, segment.unit.text, listening=listening) for segment in segments]))

    async def proceed(self) -> None:
        """Wait for some news and follow them up at once; see `Visit.news` for the errors."""
        for ticket, news in await self.visit.news():
            if isinstance(news, int):
                self._open[ticket].segment.heard.append(news)
            elif not self._linking.settle(ticket, news):
                errand = self._open.pop(ticket)
                self._count(ticket, news)
                self._follow(self._settle(errand, news))

    def _count(self, ticket: Ticket, answer: Answer) -> None:
        self.source_tokens += len(ticket.ids)
        self.target_tokens += len(answer.ids)
        self.queue_ms = max(self.queue_ms, answer.queue_ms)
        self.compute_ms = max(self.compute_ms, answer.compute_ms)

    def account(self, passages: Sequence[Passage], drafts: list[Draft]) -> Translated:
        """The passages' drafts, with the models that made them and what they took."""
        names = dict.fromkeys(leg.model.name for passage in passages for leg in passage.route)
        return Translated(
            model="+".join(names) or "none",
            drafts=drafts,
            source_tokens=self.source_tokens,
            target_tokens=self.target_tokens,
            queue_ms=self.queue_ms,
            compute_ms=self.compute_ms,
        )

    def _follow(self, errands: list[Errand]) -> None:
        """Let them join the running batch; what the queue has no room for ends with what there is."""
        try:
            self._submit(self._tickets(errands))
        except (Overloaded, NotReady, InvalidRequest):
            for errand in errands:
                errand.segment.rejoin()
                if errand.binding is not None:
                    self._finish(errand.segment)
                elif errand.earlier is not None:
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
        first = errand.earlier is None and errand.binding is None
        if attempt.faults and self.wanted.guarded and first and not errand.segment.heard:
            return [replace(errand, earlier=attempt, listening=False)]  # whose tokens may not be what is taken
        if errand.earlier is not None and len(errand.earlier.faults) <= len(attempt.faults):
            attempt = errand.earlier
        return self._accept(errand, attempt)

    def _faults(self, errand: Errand, text: str, best: Hypothesis) -> list[str]:
        found = faults(errand.text, text, errand.leg.direction.target)
        if best.finish_reason == "loop" and REPETITION not in found:
            found.append(REPETITION)
        if errand.last and self.wanted.max_length is not None and best.finish_reason == "length":
            return [fault for fault in found if fault not in {EMPTY, LENGTH}]  # as the caller wants it
        return found

    def _accept(self, errand: Errand, attempt: Attempt) -> list[Errand]:
        """Go on with an attempt, good or not."""
        segment = errand.segment
        if errand.binding is None:
            segment.warnings.update(attempt.faults)
        elif attempt.faults:
            return self._finish(segment)
        if not errand.last:
            on_the_way = (*errand.between, attempt.texts[0])
            return [replace(errand, text=attempt.texts[0], stage=errand.stage + 1, earlier=None, between=on_the_way)]
        unit = errand.binding or segment.unit
        if not self.wanted.guarded:
            unit = replace(unit, numbers_held=True)  # nobody is to look for those that got lost
        renderings = _renderings(unit, attempt)
        if renderings:
            segment.unit, segment.renderings, segment.between = unit, renderings, list(errand.between)
        elif errand.binding is None:
            return self._mended(segment)
        return self._finish(segment) if errand.binding is not None else self._bound(segment)

    def _mended(self, segment: Segment) -> list[Errand]:
        smaller = segment.unit.smaller()
        if len(smaller) > 1:
            segment.warnings.add(SPLIT_AT_PROTECTED)
        return [Errand(part, part.unit.text) for part in segment.divide(smaller)]

    def _bound(self, segment: Segment) -> list[Errand]:
        """Another try that holds what the glossary wants and the translation has not."""
        lost = self._lost(segment)
        binding = segment.unit.binding(lost) if lost else None
        first = segment.route[0]
        if binding is None or first.lengths([binding.text])[0] > first.model.manifest.limits.source_length:
            return self._finish(segment)
        return [Errand(segment, binding.text, binding=binding)]

    def _lost(self, segment: Segment) -> list[Term]:
        if not self._terms:
            return []
        unit, language = segment.unit, segment.unit.languages[0]
        if language not in self._glossaries:
            self._glossaries[language] = Glossary(self._terms, language)
        written = {span for span, _ in unit.written}
        kept = [span for span in unit.spans if span not in written]
        return missing(self._glossaries[language].found(unit.source, kept), segment.renderings[0].translation.text)

    def _finish(self, segment: Segment) -> list[Errand]:
        """It stays as it is, but for its links."""
        segment.warnings.update(f"{GLOSSARY_MISSED}: {term.source}" for term in self._lost(segment))
        if segment.linked:
            self._linking.start(segment)
        else:
            segment.done = True
        return []


def _renderings(unit: Unit, attempt: Attempt) -> list[Rendering]:
    """What an attempt said with everything put back, none if the best lost something; worse ones that did are out."""
    found = []
    for text, hypothesis in zip(attempt.texts, attempt.hypotheses, strict=True):
        restored = unit.restored(Translation(text))
        if restored is not None:
            found.append(Rendering(restored, text, hypothesis))
        elif not found:
            return []
    return found


def _read(errands: Sequence[Errand]) -> Iterable[tuple[Errand, list[int]]]:
    """The errands with what their models read."""
    texts: dict[Leg, list[str]] = {}
    for errand in errands:
        texts.setdefault(errand.leg, []).append(errand.text)
    for leg, group in texts.items():
        leg.sources(group)
    return [(errand, errand.leg.sources([errand.text])[0]) for errand in errands]
