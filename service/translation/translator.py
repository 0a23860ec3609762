"""Translation as every dialect asks for it: whole texts in, whole texts out."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from service.errors import UnknownModel
from service.models.registry import Registry
from service.models.request_scope import RequestScope
from service.settings import Settings
from service.text.markup.document import Document, parse
from service.translation.detection import LEAST, UNSURE, Detector, chosen
from service.translation.pipeline import TranslationPipeline
from service.translation.request import AUTO, Detection, StreamEvent, TranslationRequest, TranslationResponse
from service.translation.segment import RouteStep
from service.translation.source import Route, SourceLanguage, SourceText, cut
from service.translation.stream import TranslationStream

SOURCE_UNSURE = "source_unsure"
T = TypeVar("T")


class Translator:
    """The one core under the dialects."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.registry, self.settings = registry, settings
        model = registry.detector(settings.detector)
        self._detector = Detector(model) if model else None

    def languages(self) -> list[tuple[str, str]]:
        """Source and target of everything that can be translated, directly or by way of English."""
        return self.registry.pairs()

    async def detect(self, texts: list[str], scope: RequestScope) -> list[list[Detection]]:
        """For each text the languages that it may be in, the most probable first.

        Raises:
            UnknownModel: no model is served that finds out languages.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        if self._detector is None:
            raise UnknownModel(f"no model {self.settings.detector!r} is served to find out languages")
        found = await self._detector.detect(texts, scope)
        return [[one for one in ranked if one.confidence >= LEAST] or ranked[:1] for ranked in found]

    async def translate(self, request: TranslationRequest, scope: RequestScope) -> TranslationResponse:
        """All texts of a job, their sentences together in the running batch.

        Raises:
            UnknownModel, ModelRequired: no model, or several, for these languages.
            InvalidRequest, TooLarge: what is asked for is impossible.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        request = self._guarded(request)
        sources = await self._sources(request, scope)
        document_translations = await _aside(request, lambda: cut(sources, request))
        pipeline = TranslationPipeline(scope, request.options, request.glossary)
        pipeline.start(
            [segment for document_translation in document_translations for segment in document_translation.segments]
        )
        while not pipeline.ended:
            await pipeline.proceed()
        return pipeline.account(
            document_translations,
            [document_translation.result(request.include) for document_translation in document_translations],
        )

    async def stream(self, request: TranslationRequest, scope: RequestScope) -> AsyncGenerator[StreamEvent]:
        """The same, told bit by bit: sentences in order, each as soon as it is done; and the whole at the end.

        Of a single sentence that is searched greedily, or sampled, and has nothing in it to be protected, every token
        is told as it comes. It is not tried again if it looks wrong: what is told is told.
        """
        request = self._guarded(request)
        sources = await self._sources(request, scope)
        async with aclosing(TranslationStream(sources, request, scope, partial(_aside, request)).news()) as news:
            async for one in news:
                yield one

    def _guarded(self, request: TranslationRequest) -> TranslationRequest:
        return replace(request, options=replace(request.options, guarded=self.settings.guard))

    async def _sources(self, request: TranslationRequest, scope: RequestScope) -> list[SourceText]:
        documents = await _aside(request, lambda: [_document(text, request) for text in request.texts])
        source_languages = await self._source_languages(request, documents, scope)
        routes = {
            language: self._route(request, language)
            for language in {source_language.language for source_language in source_languages}
        }
        return [
            SourceText(text, document, source_language, routes[source_language.language])
            for text, document, source_language in zip(request.texts, documents, source_languages, strict=True)
        ]

    async def _source_languages(
        self, request: TranslationRequest, documents: list[Document | None], scope: RequestScope
    ) -> list[SourceLanguage]:
        """What language each text is in: as given, or found out, or None where only one can be meant."""
        if request.source not in (None, AUTO):
            return [SourceLanguage(request.source)] * len(request.texts)
        sources = {source for source, target in self.registry.pairs(request.model) if target == request.target}
        if self._detector is None or not sources.intersection(self._detector.languages):
            return [SourceLanguage(None)] * len(request.texts)
        read = [
            text if document is None else " ".join(document.block_texts)
            for text, document in zip(request.texts, documents, strict=True)
        ]
        ranked = await self._detector.detect(read, scope)
        return [_source_language(one, sources, request.target) for one in ranked]

    def _route(self, request: TranslationRequest, source: str | None) -> Route:
        """No leg at all for a text that is in the target's language already."""
        if source is None:
            return [RouteStep(*self.registry.translator(request.model, None, request.target))]
        if source == request.target and any(source in pair for pair in self.registry.pairs(request.model)):
            return []
        return [
            RouteStep(model, direction)
            for model, direction in self.registry.route(request.model, source, request.target)
        ]


async def _aside(request: TranslationRequest, work: Callable[[], T]) -> T:
    """Do it in another thread, unless the job is so short that it is done sooner than it could be handed over."""
    return await asyncio.to_thread(work) if request.long else work()


def _source_language(ranked: list[Detection], sources: set[str], target: str) -> SourceLanguage:
    found = chosen(ranked, sources, target)
    return SourceLanguage(found.language, found, {SOURCE_UNSURE} if found.confidence < UNSURE else set())


def _document(text: str, request: TranslationRequest) -> Document | None:
    return None if request.format == "text" else parse(text, request.format, request.splitting, request.ignored)
