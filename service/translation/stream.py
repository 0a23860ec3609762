"""A translation that is told while it is being made: the first sentences first, and everything in order."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from service.models.request_scope import RequestScope
from service.translation.document import DocumentTranslation
from service.translation.pipeline import TranslationPipeline
from service.translation.request import Delta, StreamEvent, TextFinished, TranslationRequest, TranslationResult
from service.translation.segment import Segment
from service.translation.source import SourceText, cut

Aside = Callable[[Callable[[], list[Segment]]], Awaitable[list[Segment]]]


class TranslationStream:
    """One stream.

    To be soon, the first sentences, one for each worker, are done before the rest joins; and of a long text with lines,
    they are handed in before the rest is even cut: threads that run Python would only be in each other's way.
    """

    def __init__(
        self, sources: list[SourceText], request: TranslationRequest, scope: RequestScope, aside: Aside
    ) -> None:
        self.request, self.pipeline = request, TranslationPipeline(scope, request.options, request.glossary)
        self._sources, self._aside = sources, aside
        self._passages: list[DocumentTranslation] = []
        self._waiting: list[Segment] = []
        self._cut_at: int | None = None  # where the first text's rest begins, while that is not cut

    async def news(self) -> AsyncGenerator[StreamEvent]:
        """Deltas and drafts of all texts in order; see `TranslationPipeline.start` and `TranslationPipeline.proceed`
        for the errors."""
        await self._begin()
        results: list[TranslationResult] = []
        for index in range(len(self._sources)):
            async for delta in self._deltas(index):
                yield delta
            results.append(self._passages[index].result(self.request.include))
            yield TextFinished(index, results[-1])
        yield self.pipeline.account(self._passages, results)

    async def _begin(self) -> None:
        opening = self._sources[0].opening(self.request) if self.request.long else None
        if opening is None:
            self._waiting = await self._aside(self._cut_all)
        else:
            document_translation, self._cut_at = opening
            document_translation.complete = False
            self._passages, self._waiting = [document_translation], list(document_translation.segments)
        if not self._waiting:
            return  # nothing to translate, or not so early
        head = self._waiting[0].route[0].model.worker_pool.size
        first, self._waiting = self._waiting[:head], self._waiting[head:]
        alone = len(first) == 1 and not self._waiting and self._cut_at is None
        self.pipeline.start(first, listening=alone and self.request.format == "text" and not self.request.glossary)

    def _cut_all(self) -> list[Segment]:
        self._passages = cut(self._sources, self.request)
        return [segment for document_translation in self._passages for segment in document_translation.segments]

    def _cut_rest(self) -> list[Segment]:
        assert self._cut_at is not None
        found = self._passages[0].extend(self._sources[0].rest(self._cut_at))
        self._cut_at = None
        self._passages = cut(self._sources[1:], self.request, self._passages)
        return found + [
            segment for document_translation in self._passages[1:] for segment in document_translation.segments
        ]

    async def _go_on(self) -> None:
        """Wait for news; let the rest join when the first are done."""
        if not self.pipeline.ended:
            await self.pipeline.proceed()
        elif not self._waiting and self._cut_at is None:
            raise RuntimeError("a part of the text is never done")  # and to ask again would be to ask for ever
        if self.pipeline.ended and (self._waiting or self._cut_at is not None):
            rest, self._waiting = self._waiting, []
            if self._cut_at is not None:
                rest += await self._aside(self._cut_rest)
            self.pipeline.start(rest)

    async def _deltas(self, index: int) -> AsyncIterator[Delta]:
        """A text's translation as it comes; what is kept between two sentences comes with the second."""
        held = ""
        for part in self._passages[index].streamed():
            held += part or ""
            if any(map(str.isalnum, held)):
                yield Delta(index, held)
                held = ""
            if part is None:
                await self._go_on()
        if held:
            yield Delta(index, held)
