"""Translation of whole texts, shared by all API dialects."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from service.errors import UnknownModel
from service.models.registry import Registry, Route
from service.models.request_scope import Check, RequestScope
from service.settings import Settings
from service.text.markup.document import Document, parse
from service.text.markup.markdown import parse_markdown
from service.text.markup.plain_text import parse_marks
from service.tracing.spans import REASSEMBLE, SEGMENT, span
from service.translation.detection import (
    DEFAULT_LANGUAGE,
    MIN_REPORTED_CONFIDENCE,
    MIN_SURE_CONFIDENCE,
    SOURCE_UNSURE,
    Detector,
    choose_source,
)
from service.translation.document import DocumentTranslation, segment_all
from service.translation.pipeline import TranslationPipeline
from service.translation.request import AUTO, Detection, StreamEvent, TranslationRequest, TranslationResponse
from service.translation.stream import TranslationStream

REPAIR_WINDOW = 256  # segments that are submitted at once in the place of translated ones; a queue has room for them


class Translator:
    """Detects languages, chooses models, and translates texts."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry, self._settings = registry, settings

    @property
    def snapshot(self) -> "Translator":
        """The translator with the models that are served now, whatever is served later."""
        return Translator(self._registry.snapshot, self._settings)

    @property
    def _detector(self) -> Detector | None:
        model = self._registry.detector(self._settings.detector)
        return Detector(model) if model else None

    def language_pairs(self) -> list[tuple[str, str]]:
        """Return (source, target) of every possible translation, direct or by way of English."""
        return self._registry.language_pairs()

    async def detect(self, texts: list[str], scope: RequestScope) -> list[list[Detection]]:
        """Return which of the languages that are translated each text may be in, the most probable first.

        A text without a letter, and one in another language, has one language with confidence 0.

        Raises:
            UnknownModel: no language detector is served.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        detector = self._detector
        if detector is None:
            raise UnknownModel(f"no model {self._settings.detector!r} is served to detect languages")
        served = sorted({language for pair in self.language_pairs() for language in pair})
        languages = served or detector.languages
        default = DEFAULT_LANGUAGE if DEFAULT_LANGUAGE in languages else languages[0]
        return [
            [one for one in ranked if one.confidence >= MIN_REPORTED_CONFIDENCE] or [Detection(default, 0.0)]
            for ranked in await detector.detect(texts, languages, scope)
        ]

    async def detect_source(self, text: str, target: str, scope: RequestScope) -> str | None:
        """Return the language to translate a text from: the target language if the text seems to be in it already.

        None if it need not or cannot be detected. See `RequestScope` for the errors.
        """
        now = self.snapshot
        request = now._with_served_languages(TranslationRequest([text], target))
        [detected] = await now._detect_sources(request, [None], scope)
        return detected.language if detected else None

    def check_languages(self, source: str | None, target: str) -> None:
        """Check that a translation between two languages is possible.

        Raises:
            UnknownModel, ModelRequired: no model fits the languages, or several do.
        """
        request = self._with_served_languages(TranslationRequest([], target, source))
        self._route(request, request.source)

    async def translate(self, request: TranslationRequest, scope: RequestScope) -> TranslationResponse:
        """Translate all texts of a request; their segments share the running batch.

        With a window in the request, that many segments are submitted together, and then the next ones.

        Raises:
            UnknownModel, ModelRequired: no model fits the languages, or several do.
            InvalidRequest, TooLarge: the options or the texts exceed a limit.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        return await self.snapshot._translate(request, scope)

    async def _translate(self, request: TranslationRequest, scope: RequestScope) -> TranslationResponse:
        request = self._with_served_languages(request)
        bounded = request.window is None
        early = bounded and request.source is not None
        if early:
            await _reserve([self._route(request, request.source)] * len(request.texts), scope)
        documents = await self._documents(request, scope)
        if bounded and not early:
            await _reserve([document.route for document in documents], scope)
        with span(SEGMENT):
            segments = await scope.run(lambda: segment_all(documents, scope.check, bounded), in_thread=request.long)
        pipeline = self._pipeline(request, scope)
        window = request.window or len(segments) or 1
        for start in range(0, len(segments), window):
            await pipeline.start(segments[start : start + window])
            while not pipeline.done:
                await pipeline.advance()
        repairs = await scope.run(
            lambda: [segment for document in documents for segment in document.repair(scope.check)],
            in_thread=request.long,
        )
        for start in range(0, len(repairs), REPAIR_WINDOW):
            await pipeline.repair(repairs[start : start + REPAIR_WINDOW])
            while not pipeline.done:
                await pipeline.advance()
        with span(REASSEMBLE):
            results = await scope.run(
                lambda: [document.result(scope.check) for document in documents], in_thread=request.long
            )
        return pipeline.response(documents, results)

    async def stream(self, request: TranslationRequest, scope: RequestScope) -> AsyncGenerator[StreamEvent]:
        """Translate like `translate`, but yield each sentence, in order, as soon as it is done; the response is last.

        A single plain sentence without a beam is yielded token by token. It is not tried again if it has quality
        issues, because its tokens have been sent already.
        """
        now = self.snapshot
        request = now._with_served_languages(request)
        documents = await now._documents(request, scope)
        stream = TranslationStream(documents, request, self._pipeline(request, scope), scope)
        async with aclosing(stream.events()) as events:
            async for event in events:
                yield event

    def _pipeline(self, request: TranslationRequest, scope: RequestScope) -> TranslationPipeline:
        return TranslationPipeline(scope, request.options, request.glossary, self._settings.guard)

    def _with_served_languages(self, request: TranslationRequest) -> TranslationRequest:
        """Return the request with its languages in the spelling of the models: `de-AT` becomes `de`."""
        given = None if request.source and request.source.lower() == AUTO else request.source
        source, target = self._registry.match_languages(request.model, given, request.target)
        unchanged = (source, target) == (request.source, request.target)
        return request if unchanged else replace(request, source=source, target=target)

    async def _documents(self, request: TranslationRequest, scope: RequestScope) -> list[DocumentTranslation]:
        """Parse the texts and find a route for each."""
        markups = list(request.parsed) or await scope.run(
            lambda: [_parsed(text, request, scope.check) for text in request.texts], in_thread=request.long
        )
        detections = await self._detect_sources(request, markups, scope)
        sources = [detected.language if detected else request.source for detected in detections]
        routes = {source: self._route(request, source) for source in set(sources)}
        documents = []
        for text, markup, source, detected in zip(request.texts, markups, sources, detections, strict=True):
            document = DocumentTranslation(text, markup, routes[source], request, detected)
            if detected and 0 < detected.confidence < MIN_SURE_CONFIDENCE:  # 0: no letter, so nothing to be unsure of
                document.warnings.add(SOURCE_UNSURE)
            documents.append(document)
        return documents

    async def _detect_sources(
        self, request: TranslationRequest, markups: list[Document | None], scope: RequestScope
    ) -> list[Detection | None]:
        """Detect the language of each text; None if the request gives it, or if only one is possible."""
        if request.source is not None:
            return [None] * len(request.texts)
        pairs = self._registry.language_pairs(request.model)
        sources = {source for source, target in pairs if target == request.target}
        detector = self._detector
        if detector is None or not detector.can_detect(sources):
            return [None] * len(request.texts)
        texts = [
            text if markup is None else " ".join(markup.block_texts)
            for text, markup in zip(request.texts, markups, strict=True)
        ]
        detections = await detector.detect(texts, {*sources, request.target}, scope)
        return [choose_source(ranked, sources, request.target) for ranked in detections]

    def _route(self, request: TranslationRequest, source: str | None) -> Route:
        """Return the route from a language, which is empty for a text that is in the target language already."""
        if source is None:
            return [self._registry.direct_step(request.model, None, request.target)]
        pairs = self._registry.language_pairs(request.model)
        if source == request.target and any(source in pair for pair in pairs):
            return []
        return self._registry.route(request.model, source, request.target)


async def _reserve(routes: Sequence[Route], scope: RequestScope) -> None:
    """Hold a place for the first step of each text, which has at least one segment, before work is done for it."""
    clients = Counter(route[0].model.engine_client for route in routes if route)
    for client, count in clients.items():
        await scope.reserve(client, count)


def _parsed(text: str, request: TranslationRequest, check: Check) -> Document | None:
    check()
    if request.format == "markdown":
        return parse_markdown(text)
    if request.format == "text":
        # Word alignment is between the text and its translation, marks included.
        return None if "alignment" in request.include else parse_marks(text)
    return parse(text, request.format, request.splitting, request.ignored)
