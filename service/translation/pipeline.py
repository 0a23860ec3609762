"""The calls to models that translate a request's segments: retries, glossary, restoration, word alignment."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from service.engine.types import EngineRequest, EngineResult, Hypothesis
from service.errors import EngineDown, InvalidRequest, NotReady, Overloaded, TooLarge
from service.models.options import TranslationOptions
from service.models.registry import RouteStep
from service.models.request_scope import RequestScope
from service.text.alignment import AlignedText
from service.text.glossary import Glossary, Term, missing_terms
from service.text.numbers import compare_numbers
from service.text.quality_checks import EMPTY, LENGTH, NUMBER, REPETITION, SIGN, find_issues
from service.text.segmentation.segmenter import SPLIT_AT_PROTECTED, SPLIT_LONG_SENTENCE
from service.text.segmentation.units import TextPart, Unit
from service.text.signs import has_changed_signs
from service.translation.decoding import pivot_decoding, safer, with_end_loops
from service.translation.document import DocumentTranslation
from service.translation.request import TranslationResponse, TranslationResult
from service.translation.segment import RestoredHypothesis, Segment
from service.translation.word_alignment import WordAligner, place_quotes_in

MAX_TURN = 0.005  # seconds of processing after which other tasks of the event loop run in between
MAX_INLINE_CALLS = 32  # up to so many, making engine requests takes less time than passing them to another thread
MAX_SPLIT_CHARACTERS = 100  # parts of a longer sentence would lose their context
NOT_TRANSLATED = "not_translated"
GLOSSARY_MISSED = "glossary_missed"
PROTECTED, GLOSSARY = "protected", "glossary"  # reasons to translate again, in the metrics, beside the issues


@dataclass(eq=False)
class _ModelCall:
    """A text for one model on behalf of a segment, and the hypotheses that came back."""

    segment: Segment
    text: str
    ids: list[int] | None = None  # of the text, if it has been encoded
    step_index: int = 0  # in the segment's route
    stream: bool = False  # whether to stream its tokens, if the unit is verbatim
    pivot_texts: tuple[str, ...] = ()  # translations into the languages before this step
    first_try: "_ModelCall | None" = None  # the call that this one repeats with safer options
    glossary_unit: Unit | None = None  # the segment's unit with placeholders for glossary terms
    numbers_unit: Unit | None = None  # the segment's unit with placeholders for numbers
    texts: list[str] = field(init=False)  # of the hypotheses, best first
    hypotheses: list[Hypothesis] = field(init=False)
    issues: list[str] = field(init=False)  # that the quality checks found in the best hypothesis

    @property
    def unit(self) -> Unit:
        """The unit whose `model_input` the text is, or the translation of it into a pivot language."""
        return self.glossary_unit or self.numbers_unit or self.segment.unit

    @property
    def step(self) -> RouteStep:
        return self.segment.route[self.step_index]

    @property
    def is_last_step(self) -> bool:
        return self.step_index == len(self.segment.route) - 1


_EngineRequests = dict[RouteStep, dict[EngineRequest, _ModelCall]]


class TranslationPipeline:
    """Takes the segments of one request through their models.

    `start` submits segments, all of them together; `advance` processes results as they come, each of which may lead
    to a further call: the next model of the route, a retry, or a smaller piece.
    """

    def __init__(
        self, scope: RequestScope, options: TranslationOptions, glossary: Mapping[str, str], guard: bool
    ) -> None:
        """With `guard`, a segment with quality issues is tried again, a loop is stopped, lost numbers are repaired."""
        self._scope, self._options, self._guard = scope, options, guard
        self._decoding = with_end_loops(options.decoding, guard)
        self._terms = glossary
        self._glossaries: dict[str, Glossary] = {}  # by source language
        self._pending: dict[EngineRequest, _ModelCall] = {}
        self._aligner = WordAligner(scope)
        self._source_tokens = self._target_tokens = 0
        self._queue_ms = self._compute_ms = 0.0

    @property
    def done(self) -> bool:
        """Whether all segments are done."""
        return not self._pending and self._aligner.done

    async def start(self, segments: Sequence[Segment], stream: bool = False) -> None:
        """Submit segments, with one submission per model.

        With `stream`, the tokens of verbatim units are appended to the segment's `streamed_ids` as they are generated.
        See `EngineClient.submit` and `ServedModel.engine_request` for the errors.
        """
        for language in {segment.unit.languages[0] for segment in segments} if self._terms else ():
            if language not in self._glossaries:
                glossary = await self._scope.run(partial(Glossary, self._terms, language), in_thread=True)
                self._glossaries[language] = glossary
        calls = [_ModelCall(segment, segment.unit.model_input, segment.ids, stream=stream) for segment in segments]
        many = len(calls) > MAX_INLINE_CALLS
        groups = await self._scope.run(lambda: self._prepare(calls), in_thread=many)
        if many:
            await self._scope.next_turn(large=True)
        self._send(groups)

    async def repair(self, segments: Sequence[Segment]) -> None:
        """Submit segments that take the place of translated ones; if they are rejected, they keep their source."""
        try:
            await self.start(segments)
        except EngineDown:
            raise
        except (Overloaded, NotReady, TooLarge, InvalidRequest):
            submitted = {call.segment for call in self._pending.values()}
            for segment in segments:
                if segment not in submitted:
                    segment.undo_replace()
                    segment.keep_source(NOT_TRANSLATED)

    async def advance(self) -> None:
        """Wait for the next updates and process them; see `RequestScope.updates` for the errors."""
        updates = await self._scope.updates()
        turn_started = time.perf_counter()
        for request, update in updates:
            if time.perf_counter() > turn_started + MAX_TURN:
                await self._scope.next_turn()
                turn_started = time.perf_counter()
            if isinstance(update, int):
                self._pending[request].segment.streamed_ids.append(update)
            elif self._aligner.process(request, update):
                for segment in self._aligner.take_incomplete():
                    self._follow_up(self._split_around_signs(segment))
            else:
                call = self._pending.pop(request)
                self._count(request, update)
                self._follow_up(self._process(call, update))

    def _count(self, request: EngineRequest, result: EngineResult) -> None:
        self._source_tokens += len(request.ids)
        self._target_tokens += len(result.ids)
        self._queue_ms = max(self._queue_ms, result.queue_ms)
        self._compute_ms = max(self._compute_ms, result.compute_ms)

    def response(
        self, documents: Sequence[DocumentTranslation], results: list[TranslationResult]
    ) -> TranslationResponse:
        """Return the documents' results with the names of the models and what they took."""
        names = dict.fromkeys(step.model.name for document in documents for step in document.route)
        return TranslationResponse(
            model="+".join(names) or "none",
            results=results,
            source_tokens=self._source_tokens,
            target_tokens=self._target_tokens,
            queue_ms=self._queue_ms,
            compute_ms=self._compute_ms,
        )

    def _follow_up(self, calls: list[_ModelCall]) -> None:
        """Submit calls that a result led to; if they are rejected, finish with what the segment has."""
        try:
            self._submit(calls)
        except EngineDown:
            raise
        except (Overloaded, NotReady, InvalidRequest):
            for call in calls:
                call.segment.undo_replace()
                if call.glossary_unit is not None:
                    self._finish(call.segment)
                elif call.first_try is not None:
                    self._follow_up(self._accept(call.first_try))
                else:
                    call.segment.keep_source(NOT_TRANSLATED)

    def _submit(self, calls: list[_ModelCall]) -> None:
        self._send(self._prepare(calls))

    def _prepare(self, calls: list[_ModelCall]) -> _EngineRequests:
        """Make the engine requests of calls; texts that exceed the model's limit are halved."""
        groups: _EngineRequests = {}
        while calls:
            _encode(calls)
            halves: list[_ModelCall] = []
            for call in calls:
                ids = call.ids
                assert ids is not None
                if len(ids) > call.step.model.manifest.limits.source_length:
                    halves += self._halve(call)
                    continue
                request = self._engine_request(call, ids)
                self._scope.watch(request)
                if call.stream and call.is_last_step and call.segment.unit.is_verbatim:
                    self._scope.stream_tokens(request)
                groups.setdefault(call.step, {})[request] = call
            calls = halves
        return groups

    def _send(self, groups: _EngineRequests) -> None:
        """Submit engine requests, with one submission per model."""
        for step, group in groups.items():
            self._scope.submit_watched(step.model.engine_client, list(group))
            self._pending |= group

    def _engine_request(self, call: _ModelCall, ids: list[int]) -> EngineRequest:
        model, direction, required = call.step.model, call.step.direction, call.unit.required
        decoding = model.with_defaults(self._decoding, self._options.given)
        if not call.is_last_step:
            decoding = pivot_decoding(decoding)
        if call.first_try is not None:
            if call.numbers_unit is not None:
                decoding = replace(decoding, suppressed=(*decoding.suppressed, *model.codec.digit_tokens))
            if call.numbers_unit is None or call.first_try.issues != [NUMBER]:
                decoding = safer(decoding)
        if call.is_last_step:
            prefix, max_length = call.segment.prefix, self._options.max_length
            return model.engine_request(ids, direction, decoding, prefix, max_length, required)
        return model.engine_request(ids, direction, decoding, required=required)

    def _halve(self, call: _ModelCall) -> list[_ModelCall]:
        """Split a segment whose text exceeds the model's limit, with placeholders inserted or after the pivot."""
        segment, halves = call.segment, call.segment.unit.split_in_half()
        if len(halves) == 1:
            segment.keep_source(NOT_TRANSLATED)
            return []
        segment.warnings.add(SPLIT_LONG_SENTENCE)
        return [_ModelCall(part, part.unit.model_input) for part in segment.replace_with(halves)]

    def _process(self, call: _ModelCall, result: EngineResult) -> list[_ModelCall]:
        """Take a result; return the calls that it leads to."""
        call.hypotheses = result.hypotheses
        call.texts = call.step.model.codec.decode([hypothesis.ids for hypothesis in result.hypotheses])
        call.issues = self._find_issues(call)
        may_retry = self._guard and call.first_try is None and call.glossary_unit is None
        if _serious(call) and may_retry and not call.segment.streamed_ids:
            call.stream = False  # the other try may be the one that is taken
            _count_retries(call.step, (issue for issue in call.issues if issue != SIGN))
            return [self._second_try(call)]
        if call.first_try is not None and not _is_better(call, call.first_try):
            call = call.first_try
        return self._accept(call)

    def _second_try(self, call: _ModelCall) -> _ModelCall:
        """Return the call that repeats another; if that changed numbers, with placeholders for all of them."""
        if NUMBER in call.issues and call.step_index == 0:
            unit = call.segment.unit.with_numbers(words=not call.segment.is_part)
            digits = any(map(str.isdecimal, call.text + call.texts[0]))
            if unit is not None and (digits or unit.spans != call.segment.unit.spans):
                return replace(call, first_try=call, text=unit.model_input, ids=None, numbers_unit=unit)
        return replace(call, first_try=call)

    def _find_issues(self, call: _ModelCall) -> list[str]:
        source, target = call.step.direction.source, call.step.direction.target
        issues = find_issues(call.text, call.texts[0], target)
        if any(compare_numbers(call.text, call.texts[0], source, target)):
            issues.append(NUMBER)
        if call.is_last_step and has_changed_signs(call.unit.model_input, call.texts[0]):
            issues.append(SIGN)
        finish_reason = call.hypotheses[0].finish_reason
        if finish_reason == "loop" and REPETITION not in issues:
            issues.append(REPETITION)
        if call.is_last_step and self._options.max_length is not None and finish_reason == "length":
            return [issue for issue in issues if issue not in {EMPTY, LENGTH}]  # the caller asked for a short one
        return issues

    def _accept(self, call: _ModelCall) -> list[_ModelCall]:
        """Go on with the hypotheses of a call, whatever their quality; return the calls that follow."""
        segment = call.segment
        if call.glossary_unit is not None and _serious(call):
            return self._finish(segment)
        if not call.is_last_step:
            segment.warnings.update(call.issues)
            text = call.texts[0]
            pivot_texts = (*call.pivot_texts, text)
            next_step = call.step_index + 1
            return [replace(call, text=text, ids=None, step_index=next_step, pivot_texts=pivot_texts, first_try=None)]
        if EMPTY in call.issues and self._guard and not segment.streamed_ids:
            return self._keep_words(call)
        unit = call.unit
        hypotheses = _restored_hypotheses(unit, call)
        if hypotheses:
            segment.unit, segment.hypotheses, segment.pivot_texts = unit, hypotheses, call.pivot_texts
            # Without guards, and where they have been streamed, hypotheses stay as they are.
            segment.places_signs = SIGN in call.issues and self._guard and not segment.streamed_ids
            if segment.places_signs and (placed := place_quotes_in(unit, hypotheses)):
                segment.hypotheses, call.issues = placed, [issue for issue in call.issues if issue != SIGN]
                segment.places_signs = False
            segment.warnings.update(issue for issue in call.issues if issue != SIGN or not segment.places_signs)
        elif call.glossary_unit is None:
            if parts := _parts_around_spans(segment.unit):
                _count_retries(call.step, [PROTECTED])
                return self._split(segment, parts)
            # There is nothing to split around: the same text again would end here again.
            if call.first_try is not None:
                return self._accept(call.first_try)
            segment.keep_source(NOT_TRANSLATED)
            return []
        return self._finish(segment) if call.glossary_unit is not None else self._enforce_glossary(segment)

    def _keep_words(self, call: _ModelCall) -> list[_ModelCall]:
        """Translate a segment of which nothing is left apart from its numbers and spans, or else keep its words."""
        if parts := _parts_around_spans(call.segment.unit):
            _count_retries(call.step, [EMPTY])
            return self._split(call.segment, parts)
        call.segment.keep_source(EMPTY)
        return []

    def _split_around_signs(self, segment: Segment) -> list[_ModelCall]:
        """Translate a short segment in pieces around the signs that it lacks; a longer one gets a warning."""
        parts = segment.unit.split_around_signs() if len(segment.unit.source) <= MAX_SPLIT_CHARACTERS else []
        if len(parts) > 1:
            _count_retries(segment.route[0], [SIGN])
            return self._split(segment, parts)
        segment.warnings.add(SIGN)
        segment.done = True
        return []

    def _split(self, segment: Segment, smaller: Sequence[TextPart]) -> list[_ModelCall]:
        """Translate a segment in smaller pieces."""
        if len(smaller) > 1:
            segment.warnings.add(SPLIT_AT_PROTECTED)
        return [_ModelCall(part, part.unit.model_input) for part in segment.replace_with(smaller)]

    def _enforce_glossary(self, segment: Segment) -> list[_ModelCall]:
        """Translate once more, with placeholders for the glossary terms that the translation does not have."""
        missed = self._missed_terms(segment)
        unit = segment.unit.with_terms(missed) if missed else None
        if unit is None:
            return self._finish(segment)
        step = segment.route[0]
        [ids] = step.model.encode([unit.model_input], step.direction)
        if len(ids) > step.model.manifest.limits.source_length:
            return self._finish(segment)
        _count_retries(step, [GLOSSARY])
        return [_ModelCall(segment, unit.model_input, ids, glossary_unit=unit)]

    def _missed_terms(self, segment: Segment) -> list[Term]:
        if not self._terms:
            return []
        unit, language = segment.unit, segment.unit.languages[0]
        replaced = {span for span, _ in unit.replacements}
        kept = [span for span in unit.spans if span not in replaced]
        terms = self._glossaries[language].find_terms(unit.source, kept)
        return missing_terms(terms, segment.hypotheses[0].translation.text)

    def _finish(self, segment: Segment) -> list[_ModelCall]:
        """Take the segment's hypotheses as final; only word alignment, and lost signs by it, may still be pending."""
        segment.warnings.update(f"{GLOSSARY_MISSED}: {term.source}" for term in self._missed_terms(segment))
        if segment.align or segment.places_signs:
            self._aligner.start(segment)
        else:
            segment.done = True
        return []


def _count_retries(step: RouteStep, reasons: Iterable[str]) -> None:
    for reason in reasons:
        step.model.engine_client.observer.on_retry(reason)


def _serious(call: _ModelCall) -> int:
    """Return how many issues a call has for which it is tried again; lost signs are put back by word alignment."""
    return sum(issue != SIGN for issue in call.issues)


def _is_better(second: _ModelCall, first: _ModelCall) -> bool:
    """Return whether the second try is taken: with as many issues only if it has placeholders for its numbers."""
    return EMPTY in first.issues or _serious(second) + (second.numbers_unit is None) <= _serious(first)


def _parts_around_spans(unit: Unit) -> list[TextPart]:
    """Return the parts of a unit around its spans and numbers; nothing if it has neither."""
    parts = unit.fallback_parts()
    return parts if any(part for part in parts if isinstance(part, str)) else []


def _encode(calls: Sequence[_ModelCall]) -> None:
    """Encode the texts that have not been encoded yet, in one batch per step."""
    groups: dict[RouteStep, list[_ModelCall]] = {}
    for call in calls:
        if call.ids is None:
            groups.setdefault(call.step, []).append(call)
    for step, group in groups.items():
        encoded = step.model.encode([call.text for call in group], step.direction)
        for call, ids in zip(group, encoded, strict=True):
            call.ids = ids


def _restored_hypotheses(unit: Unit, call: _ModelCall) -> list[RestoredHypothesis]:
    """Restore the hypotheses of a call; skip those that cannot be restored, return none if the best cannot."""
    found = []
    for text, hypothesis in zip(call.texts, call.hypotheses, strict=True):
        restored = unit.restore(AlignedText(text))
        if restored is not None:
            found.append(RestoredHypothesis(restored, text, hypothesis))
        elif not found:
            return []
    return found
