"""Translation as every dialect asks for it: whole texts in, whole texts out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from service.desk import Departure, Visit
from service.detector import LEAST, UNSURE, Detector, chosen
from service.errors import UnknownModel
from service.job import AUTO, Delta, Detection, Draft, Finished, Job, Translated
from service.journey import Journey
from service.passage import Cut, Passage
from service.registry import Registry
from service.segment import Leg
from service.settings import Settings
from service.text.document import plan_text, untouched
from service.text.markup import Document, parse
from service.text.tokenizer import SHORT

SOURCE_UNSURE = "source_unsure"
Route = Sequence[Leg]
T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """The language that a text is taken to be in, None for the only one that there is, and how that was found out."""

    language: str | None
    detected: Detection | None = None
    warnings: set[str] = field(default_factory=set)


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
        with Visit(timeout, departure) as visit:
            passages = await self._passages(job, visit)
            journey = Journey(visit, job.wanted, job.glossary)
            journey.start([segment for passage in passages for segment in passage.segments])
            while not journey.ended:
                await journey.proceed()
        return _translated(passages, journey, [passage.draft(job.include) for passage in passages])

    async def stream(
        self, job: Job, timeout: float, departure: Departure
    ) -> AsyncIterator[Delta | Finished | Translated]:
        """The same, told bit by bit: sentences in order, each as soon as it is done; and the whole at the end.

        Of a single sentence that is searched greedily, or sampled, and has nothing in it to be protected, every token
        is told as it comes. It is not tried again if it looks wrong: what is told is told.
        """
        with Visit(timeout, departure) as visit:
            passages = await self._passages(job, visit)
            journey = Journey(visit, job.wanted, job.glossary)
            segments = [segment for passage in passages for segment in passage.segments]
            head = len(segments[0].route[0].model.crew.workers) if segments else None
            alone = len(segments) == 1 and job.format == "text" and not job.glossary
            journey.start(segments, head, listening=alone)
            drafts = []
            for index, passage in enumerate(passages):
                async for delta in _deltas(index, passage, journey):
                    yield delta
                drafts.append(passage.draft(job.include))
                yield Finished(index, drafts[-1])
        yield _translated(passages, journey, drafts)

    async def _passages(self, job: Job, visit: Visit) -> list[Passage]:
        documents = await _aside(job, lambda: [_document(text, job) for text in job.texts])
        origins = await self._origins(job, documents, visit)
        routes = {language: self._route(job, language) for language in {origin.language for origin in origins}}
        rows = list(zip(job.texts, documents, origins, strict=True))
        return await _aside(
            job,
            lambda: [_passage(text, document, origin, routes[origin.language], job) for text, document, origin in rows],
        )

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
        if source == job.target and job.source in (None, AUTO):
            return []
        return [Leg(model, direction) for model, direction in self.registry.route(job.model, source, job.target)]


async def _aside(job: Job, work: Callable[[], T]) -> T:
    """Do it in another thread, unless the job is so short that it is done sooner than it could be handed over."""
    return work() if sum(map(len, job.texts)) <= SHORT else await asyncio.to_thread(work)


def _origin(ranked: list[Detection], sources: set[str], target: str) -> Origin:
    found = chosen(ranked, sources, target)
    return Origin(found.language, found, {SOURCE_UNSURE} if found.confidence < UNSURE else set())


def _document(text: str, job: Job) -> Document | None:
    return None if job.format == "text" else parse(text, job.format, job.splitting, job.ignored)


def _passage(text: str, document: Document | None, origin: Origin, route: Route, job: Job) -> Passage:
    """A text cut into segments that the models can read."""
    if route:
        source, target = route[0].direction.source, route[-1].direction.target
        limit = route[0].model.manifest.limits.source_length
        texts = [text] if document is None else document.blocks
        plans = [plan_text(one, source, target, route[0].lengths, limit) for one in texts]
        passage = Passage(Cut(plans, document), route, (source, target))
        passage.want(job.wanted.prefix, job.include)
    else:
        passage = Passage(Cut([untouched(text)]), route, (job.target, job.target))
    passage.detected = origin.detected
    passage.warnings |= origin.warnings
    return passage


async def _deltas(index: int, passage: Passage, journey: Journey) -> AsyncIterator[Delta]:
    """A passage's translation as it comes; what is kept between two sentences comes with the second."""
    held = ""
    for part in passage.told():
        held += part or ""
        if any(map(str.isalnum, held)):
            yield Delta(index, held)
            held = ""
        if part is None:
            await journey.proceed()
    if held:
        yield Delta(index, held)


def _translated(passages: list[Passage], journey: Journey, drafts: list[Draft]) -> Translated:
    return Translated(
        model=_names(passages),
        drafts=drafts,
        source_tokens=journey.source_tokens,
        target_tokens=journey.target_tokens,
        queue_ms=journey.queue_ms,
        compute_ms=journey.compute_ms,
    )


def _names(passages: list[Passage]) -> str:
    names = dict.fromkeys(leg.model.name for passage in passages for leg in passage.route)
    return "+".join(names) or "none"
