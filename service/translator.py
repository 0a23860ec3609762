"""Translation as every dialect asks for it: whole texts in, whole texts out."""

import asyncio
from collections.abc import Iterable

from service.desk import Departure, Visit
from service.job import AUTO, Job, Translated
from service.journey import Journey
from service.passage import Leg, Passage
from service.registry import Registry
from service.settings import Settings
from service.text.document import plan_text
from service.text.tokenizer import SHORT


class Translator:
    """The one core under the dialects."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.registry, self.settings = registry, settings

    async def translate(self, job: Job, timeout: float, departure: Departure) -> Translated:
        """All texts of a job, their sentences together in the running batch.

        Raises:
            UnknownModel, ModelRequired: no model, or several, for these languages.
            InvalidRequest, TooLarge: what is asked for is impossible.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `Visit`.
        """
        with Visit(timeout, departure) as visit:
            passages = await self._passages(job)
            journey = Journey(visit, job.wanted)
            journey.start([segment for passage in passages for segment in passage.segments])
            while not journey.ended:
                await journey.proceed()
        return Translated(
            model=_names(passage.leg for passage in passages),
            drafts=[passage.draft(job.include) for passage in passages],
            source_tokens=journey.source_tokens,
            target_tokens=journey.target_tokens,
            queue_ms=journey.queue_ms,
            compute_ms=journey.compute_ms,
        )

    def languages(self) -> list[tuple[str, str]]:
        """Every (source, target) that is translated."""
        directions = [direction for model in self.registry for direction in model.manifest.directions]
        return sorted({(direction.source, direction.target) for direction in directions})

    async def _passages(self, job: Job) -> list[Passage]:
        leg = Leg(*self.registry.translator(job.model, None if job.source == AUTO else job.source, job.target))
        # A short request is cut sooner than it could be handed to another thread.
        if sum(map(len, job.texts)) <= SHORT:
            return [_passage(text, leg, job.wanted.prefix) for text in job.texts]
        return await asyncio.to_thread(lambda: [_passage(text, leg, job.wanted.prefix) for text in job.texts])


def _passage(text: str, leg: Leg, prefix: str) -> Passage:
    """A text cut into segments that the model can read."""
    model, direction = leg.model, leg.direction

    def count(texts: list[str]) -> list[int]:
        return [len(ids) for ids in model.sources(texts, direction)]

    plan = plan_text(text, direction.source, direction.target, count, model.manifest.limits.source_length)
    return Passage(plan, leg, prefix)


def _names(legs: Iterable[Leg]) -> str:
    return "+".join(dict.fromkeys(leg.model.name for leg in legs))
