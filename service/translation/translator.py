"""Translation as every dialect asks for it: whole texts in, whole texts out."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from service.errors import UnknownModel
from service.models.registry import Registry
from service.models.request_scope import Departure, Visit
from service.settings import Settings
from service.text.markup.document import Document, parse
from service.translation.detection import LEAST, UNSURE, Detector, chosen
from service.translation.pipeline import Journey
from service.translation.request import AUTO, Detection, Job, News, Translated
from service.translation.segment import Leg
from service.translation.source import Origin, Route, Source, cut
from service.translation.stream import Telling

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

    async def detect(self, texts: list[str], timeout: float, departure: Departure) -> list[list[Detection]]:
        """For each text the languages that it may be in, the most probable first.

        Raises:
            UnknownModel: no model is served that finds out languages.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `Visit`.
        """
        if self._detector is None:
            raise UnknownModel(f"no model {self.settings.detector!r} is served to find out languages")
        with Visit(timeout, departure) as visit:
            found = await self._detector.detect(texts, visit)
        return [[one for one in ranked if one.confidence >= LEAST] or ranked[:1] for ranked in found]

    async def translate(self, job: Job, timeout: float, departure: Departure) -> Translated:
        """All texts of a job, their sentences together in the running batch.

        Raises:
            UnknownModel, ModelRequired: no model, or several, for these languages.
            InvalidRequest, TooLarge: what is asked for is impossible.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `Visit`.
        """
        job = self._guarded(job)
        with Visit(timeout, departure) as visit:
            sources = await self._sources(job, visit)
            passages = await _aside(job, lambda: cut(sources, job))
            journey = Journey(visit, job.wanted, job.glossary)
            journey.start([segment for passage in passages for segment in passage.segments])
            while not journey.ended:
                await journey.proceed()
        return journey.account(passages, [passage.draft(job.include) for passage in passages])

    async def stream(self, job: Job, timeout: float, departure: Departure) -> AsyncGenerator[News]:
        """The same, told bit by bit: sentences in order, each as soon as it is done; and the whole at the end.

        Of a single sentence that is searched greedily, or sampled, and has nothing in it to be protected, every token
        is told as it comes. It is not tried again if it looks wrong: what is told is told.
        """
        job = self._guarded(job)
        with Visit(timeout, departure) as visit:
            sources = await self._sources(job, visit)
            async with aclosing(Telling(sources, job, visit, partial(_aside, job)).news()) as news:
                async for one in news:
                    yield one

    def _guarded(self, job: Job) -> Job:
        return replace(job, wanted=replace(job.wanted, guarded=self.settings.guard))

    async def _sources(self, job: Job, visit: Visit) -> list[Source]:
        documents = await _aside(job, lambda: [_document(text, job) for text in job.texts])
        origins = await self._origins(job, documents, visit)
        routes = {language: self._route(job, language) for language in {origin.language for origin in origins}}
        return [
            Source(text, document, origin, routes[origin.language])
            for text, document, origin in zip(job.texts, documents, origins, strict=True)
        ]

    async def _origins(self, job: Job, documents: list[Document | None], visit: Visit) -> list[Origin]:
        """What language each text is in: as given, or found out, or None where only one can be meant."""
        if job.source not in (None, AUTO):
            return [Origin(job.source)] * len(job.texts)
        sources = {source for source, target in self.registry.pairs(job.model) if target == job.target}
        if self._detector is None or not sources.intersection(self._detector.languages):
            return [Origin(None)] * len(job.texts)
        read = [
            text if document is None else " ".join(document.blocks)
            for text, document in zip(job.texts, documents, strict=True)
        ]
        ranked = await self._detector.detect(read, visit)
        return [_origin(one, sources, job.target) for one in ranked]

    def _route(self, job: Job, source: str | None) -> Route:
        """No leg at all for a text that is in the target's language already."""
        if source is None:
            return [Leg(*self.registry.translator(job.model, None, job.target))]
        if source == job.target and any(source in pair for pair in self.registry.pairs(job.model)):
            return []
        return [Leg(model, direction) for model, direction in self.registry.route(job.model, source, job.target)]


async def _aside(job: Job, work: Callable[[], T]) -> T:
    """Do it in another thread, unless the job is so short that it is done sooner than it could be handed over."""
    return await asyncio.to_thread(work) if job.long else work()


def _origin(ranked: list[Detection], sources: set[str], target: str) -> Origin:
    found = chosen(ranked, sources, target)
    return Origin(found.language, found, {SOURCE_UNSURE} if found.confidence < UNSURE else set())


def _document(text: str, job: Job) -> Document | None:
    return None if job.format == "text" else parse(text, job.format, job.splitting, job.ignored)
