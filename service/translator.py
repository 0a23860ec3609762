"""Translation as every dialect asks for it: whole texts in, whole texts out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.desk import Departure, Visit
from service.detector import LEAST, UNSURE, Detector, chosen
from service.errors import UnknownModel
from service.job import AUTO, Detection, Job, Translated
from service.journey import Journey
from service.passage import Leg, Passage
from service.registry import Registry
from service.settings import Settings
from service.text.document import plan_text, untouched
from service.text.tokenizer import SHORT

SOURCE_UNSURE = "source_unsure"
Route = Sequence[Leg]


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
            journey = Journey(visit, job.wanted)
            journey.start(segment for passage in passages for segment in passage.segments)
            while not journey.ended:
                await journey.proceed()
        return Translated(
            model=_names(passages),
            drafts=[passage.draft(job.include) for passage in passages],
            source_tokens=journey.source_tokens,
            target_tokens=journey.target_tokens,
            queue_ms=journey.queue_ms,
            compute_ms=journey.compute_ms,
        )

    async def _passages(self, job: Job, visit: Visit) -> list[Passage]:
        origins = await self._origins(job, visit)
        routes = {language: self._route(job, language) for language in {origin.language for origin in origins}}

        def cut() -> list[Passage]:
            pairs = zip(job.texts, origins, strict=True)
            return [_passage(text, origin, routes[origin.language], job) for text, origin in pairs]

        # A short request is cut sooner than it could be handed to another thread.
        return cut() if sum(map(len, job.texts)) <= SHORT else await asyncio.to_thread(cut)

    async def _origins(self, job: Job, visit: Visit) -> list[Origin]:
        """What language each text is in: as given, or found out, or None where only one can be meant."""
        if job.source not in (None, AUTO):
            return [Origin(job.source)] * len(job.texts)
        sources = {source for source, target in self.registry.pairs(job.model) if target == job.target}
        if self._detector is None or not sources.intersection(self._detector.languages):
            return [Origin(None)] * len(job.texts)
        ranked = await self._detector.detect(job.texts, visit)
        return [_origin(one, sources, job.target) for one in ranked]

    def _route(self, job: Job, source: str | None) -> Route:
        """No leg at all for a text that is in the target's language already."""
        if source is None:
            return [Leg(*self.registry.translator(job.model, None, job.target))]
        if source == job.target and job.source in (None, AUTO):
            return []
        return [Leg(model, direction) for model, direction in self.registry.route(job.model, source, job.target)]


def _origin(ranked: list[Detection], sources: set[str], target: str) -> Origin:
    found = chosen(ranked, sources, target)
    return Origin(found.language, found, {SOURCE_UNSURE} if found.confidence < UNSURE else set())


def _passage(text: str, origin: Origin, route: Route, job: Job) -> Passage:
    """A text cut into segments that the models can read."""
    if not route:
        passage = Passage(untouched(text), route, (job.target, job.target))
    else:
        first = route[0]
        source, limit = first.direction.source, first.model.manifest.limits.source_length
        passage = Passage(plan_text(text, source, job.target, first.lengths, limit), route, (source, job.target))
        passage.begin_with(job.wanted.prefix)
    passage.detected = origin.detected
    passage.warnings |= origin.warnings
    return passage


def _names(passages: list[Passage]) -> str:
    names = dict.fromkeys(leg.model.name for passage in passages for leg in passage.route)
    return "+".join(names) or "none"
