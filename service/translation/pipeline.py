"""A request's segments on their way through the models: handed in together, followed up as their answers come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from service.engine.types import EngineRequest, EngineResult, Hypothesis
from service.errors import InvalidRequest, NotReady, Overloaded
from service.models.options import TranslationOptions
from service.models.request_scope import RequestScope
from service.text.alignment import AlignedText
from service.text.glossary import Glossary, Term, missing_terms
from service.text.quality_checks import EMPTY, LENGTH, REPETITION, find_issues
from service.text.segmentation.segmenter import SPLIT_AT_PROTECTED, SPLIT_LONG_SENTENCE
from service.text.segmentation.units import Unit
from service.translation.document import DocumentTranslation
from service.translation.model_call import CallOutcome, ModelCall, between, safer
from service.translation.request import TranslationResponse, TranslationResult
from service.translation.segment import RestoredHypothesis, RouteStep, Segment
from service.translation.word_alignment import WordAligner

NOT_TRANSLATED = "not_translated"
GLOSSARY_MISSED = "glossary_missed"


Groups = dict[RouteStep, dict[EngineRequest, ModelCall]]


class TranslationPipeline:
    """What is on its way in a visit."""

    def __init__(self, scope: RequestScope, options: TranslationOptions, glossary: Mapping[str, str]) -> None:
        self.scope, self.options = scope, options
        self._terms = glossary
        self._glossaries: dict[str, Glossary] = {}  # by source language
        self._open: dict[EngineRequest, ModelCall] = {}
        self._linking = WordAligner(scope)
        self.source_tokens = self.target_tokens = 0
        self.queue_ms = self.compute_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether all segments are done."""
        return not self._open and self._linking.ended

    def start(self, segments: Sequence[Segment], listening: bool = False) -> None:
        """Hand segments in, all at once to each model; see `EngineClient.submit` and `ServedModel.engine_request`
        for the errors.

        With `listening`, the tokens of plain ones are `token_ids` as they are written.
        """
        self._submit(
            self._engine_requests(
                [ModelCall(segment, segment.unit.model_input, listening=listening) for segment in segments]
            )
        )

    async def proceed(self) -> None:
        """Wait for some news and follow them up at once; see `RequestScope.updates` for the errors."""
        for engine_request, news in await self.scope.updates():
            if isinstance(news, int):
                self._open[engine_request].segment.token_ids.append(news)
            elif not self._linking.settle(engine_request, news):
                call = self._open.pop(engine_request)
                self._count(engine_request, news)
                self._follow(self._settle(call, news))

    def _count(self, engine_request: EngineRequest, answer: EngineResult) -> None:
        self.source_tokens += len(engine_request.ids)
        self.target_tokens += len(answer.ids)
        self.queue_ms = max(self.queue_ms, answer.queue_ms)
        self.compute_ms = max(self.compute_ms, answer.compute_ms)

    def account(
        self, document_translations: Sequence[DocumentTranslation], results: list[TranslationResult]
    ) -> TranslationResponse:
        """The passages' drafts, with the models that made them and what they took."""
        names = dict.fromkeys(
            route_step.model.name
            for document_translation in document_translations
            for route_step in document_translation.route
        )
        return TranslationResponse(
            model="+".join(names) or "none",
            results=results,
            source_tokens=self.source_tokens,
            target_tokens=self.target_tokens,
            queue_ms=self.queue_ms,
            compute_ms=self.compute_ms,
        )

    def _follow(self, calls: list[ModelCall]) -> None:
        """Let them join the running batch; what the queue has no room for ends with what there is."""
        try:
            self._submit(self._engine_requests(calls))
        except (Overloaded, NotReady, InvalidRequest):
            for call in calls:
                call.segment.rejoin()
                if call.binding is not None:
                    self._finish(call.segment)
                elif call.earlier is not None:
                    self._follow(self._accept(call, call.earlier))
                else:
                    call.segment.leave(NOT_TRANSLATED)

    def _engine_requests(self, calls: list[ModelCall]) -> Groups:
        groups: Groups = {}
        while calls:
            longer = []
            for call, ids in _read(calls):
                if len(ids) > call.route_step.model.manifest.limits.source_length:
                    longer += self._halved(call)
                    continue
                engine_request = call.route_step.model.engine_request(ids, self._options(call))
                if call.listening and call.last and call.segment.unit.is_verbatim:
                    self.scope.stream_tokens(engine_request)
                groups.setdefault(call.route_step, {})[engine_request] = call
            calls = longer
        return groups

    def _submit(self, groups: Groups) -> None:
        for route_step, group in groups.items():
            self.scope.submit(route_step.model.engine_client, list(group))
            self._open |= group

    def _halved(self, call: ModelCall) -> list[ModelCall]:
        """Of a text that got too long on its way: with stand-ins for numbers, or in the language between."""
        segment, halves = call.segment, call.segment.unit.split_in_half()
        if len(halves) == 1:
            segment.leave(NOT_TRANSLATED)
            return []
        segment.warnings.add(SPLIT_LONG_SENTENCE)
        return [ModelCall(part, part.unit.model_input) for part in segment.divide(halves)]

    def _options(self, call: ModelCall) -> TranslationOptions:
        options = replace(self.options, prefix=call.segment.prefix) if call.last else between(self.options)
        return options if call.earlier is None else replace(options, options=safer(options.options))

    def _settle(self, call: ModelCall, answer: EngineResult) -> list[ModelCall]:
        """What is to be done with an answer."""
        texts = call.route_step.model.codec.decode([hypothesis.ids for hypothesis in answer.hypotheses])
        outcome = CallOutcome(texts, answer.hypotheses, self._faults(call, texts[0], answer.hypotheses[0]))
        first = call.earlier is None and call.binding is None
        if outcome.find_issues and self.options.guarded and first and not call.segment.token_ids:
            return [replace(call, earlier=outcome, listening=False)]  # whose tokens may not be what is taken
        if call.earlier is not None and len(call.earlier.find_issues) <= len(outcome.find_issues):
            outcome = call.earlier
        return self._accept(call, outcome)

    def _faults(self, call: ModelCall, text: str, best: Hypothesis) -> list[str]:
        found = find_issues(call.text, text, call.route_step.direction.target)
        if best.finish_reason == "loop" and REPETITION not in found:
            found.append(REPETITION)
        if call.last and self.options.max_length is not None and best.finish_reason == "length":
            return [fault for fault in found if fault not in {EMPTY, LENGTH}]  # as the caller wants it
        return found

    def _accept(self, call: ModelCall, outcome: CallOutcome) -> list[ModelCall]:
        """Go on with an attempt, good or not."""
        segment = call.segment
        if call.binding is None:
            segment.warnings.update(outcome.find_issues)
        elif outcome.find_issues:
            return self._finish(segment)
        if not call.last:
            on_the_way = (*call.between, outcome.texts[0])
            return [replace(call, text=outcome.texts[0], stage=call.stage + 1, earlier=None, between=on_the_way)]
        unit = call.binding or segment.unit
        if not self.options.guarded:
            unit = replace(unit, numbers_protected=True)  # nobody is to look for those that got lost
        restored_hypotheses = _restored_hypotheses(unit, outcome)
        if restored_hypotheses:
            segment.unit, segment.restored_hypotheses, segment.between = unit, restored_hypotheses, list(call.between)
        elif call.binding is None:
            return self._mended(segment)
        return self._finish(segment) if call.binding is not None else self._bound(segment)

    def _mended(self, segment: Segment) -> list[ModelCall]:
        smaller = segment.unit.fallback_parts()
        if len(smaller) > 1:
            segment.warnings.add(SPLIT_AT_PROTECTED)
        return [ModelCall(part, part.unit.model_input) for part in segment.divide(smaller)]

    def _bound(self, segment: Segment) -> list[ModelCall]:
        """Another try that holds what the glossary wants and the translation has not."""
        lost = self._lost(segment)
        binding = segment.unit.with_terms(lost) if lost else None
        first = segment.route[0]
        if binding is None or first.lengths([binding.model_input])[0] > first.model.manifest.limits.source_length:
            return self._finish(segment)
        return [ModelCall(segment, binding.model_input, binding=binding)]

    def _lost(self, segment: Segment) -> list[Term]:
        if not self._terms:
            return []
        unit, language = segment.unit, segment.unit.languages[0]
        if language not in self._glossaries:
            self._glossaries[language] = Glossary(self._terms, language)
        written = {span for span, _ in unit.replacements}
        kept = [span for span in unit.spans if span not in written]
        return missing_terms(
            self._glossaries[language].find_terms(unit.source, kept), segment.restored_hypotheses[0].translation.text
        )

    def _finish(self, segment: Segment) -> list[ModelCall]:
        """It stays as it is, but for its links."""
        segment.warnings.update(f"{GLOSSARY_MISSED}: {term.source}" for term in self._lost(segment))
        if segment.linked:
            self._linking.start(segment)
        else:
            segment.done = True
        return []


def _restored_hypotheses(unit: Unit, outcome: CallOutcome) -> list[RestoredHypothesis]:
    """What an attempt said with everything put back, none if the best lost something; worse ones that did are out."""
    found = []
    for text, hypothesis in zip(outcome.texts, outcome.hypotheses, strict=True):
        restored = unit.restore(AlignedText(text))
        if restored is not None:
            found.append(RestoredHypothesis(restored, text, hypothesis))
        elif not found:
            return []
    return found


def _read(calls: Sequence[ModelCall]) -> Iterable[tuple[ModelCall, list[int]]]:
    """The errands with what their models read."""
    texts: dict[RouteStep, list[str]] = {}
    for call in calls:
        texts.setdefault(call.route_step, []).append(call.text)
    for route_step, group in texts.items():
        route_step.sources(group)
    return [(call, call.route_step.sources([call.text])[0]) for call in calls]
