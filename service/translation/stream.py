"""Streaming of a translation: parts of the texts, in order, as soon as they are translated."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from service.models.request_scope import RequestScope
from service.tracing.spans import REASSEMBLE, SEGMENT, span
from service.translation.document import DocumentTranslation, segment_all
from service.translation.pipeline import TranslationPipeline
from service.translation.request import Delta, StreamEvent, TextFinished, TranslationRequest, TranslationResult
from service.translation.segment import Segment

T = TypeVar("T")


class TranslationStream:
    """The events of one streamed request.

    For a short time to the first event, the first segments, one for each worker, are translated before the others are
    submitted. Of a long text with line breaks they are submitted before the rest is even segmented: threads that run
    Python code would only slow each other down.
    """

    def __init__(
        self,
        documents: Sequence[DocumentTranslation],
        request: TranslationRequest,
        pipeline: TranslationPipeline,
        scope: RequestScope,
    ) -> None:
        self._documents, self._request, self._pipeline, self._scope = documents, request, pipeline, scope
        self._waiting: list[Segment] = []  # segments that have not been submitted

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Yield the deltas and the result of each text in order, then the whole response.

        See `TranslationPipeline.start` and `TranslationPipeline.advance` for the errors.
        """
        await self._start()
        results: list[TranslationResult] = []
        for index, document in enumerate(self._documents):
            async for delta in self._deltas(index, document):
                yield delta
            with span(REASSEMBLE):
                results.append(await self._run(partial(document.result, self._scope.check)))
            yield TextFinished(index, results[-1])
        yield self._pipeline.response(self._documents, results)

    async def _start(self) -> None:
        """Submit the first segments."""
        if self._request.long and self._documents[0].segment_opening():
            self._waiting = list(self._documents[0].segments)
        else:
            await self._segment_rest()
        if not self._waiting:
            return
        workers = self._waiting[0].route[0].model.worker_pool.size
        first, self._waiting = self._waiting[:workers], self._waiting[workers:]
        single = len(first) == 1 and not self._waiting and self._segmented
        plain = not self._documents[0].has_markup and not self._request.glossary
        await self._pipeline.start(first, stream=single and plain)

    @property
    def _segmented(self) -> bool:
        return all(document.segmented for document in self._documents)

    async def _segment_rest(self) -> None:
        known = len(self._documents[0].segments)
        with span(SEGMENT):
            segments = await self._run(lambda: segment_all(self._documents, self._scope.check))
        self._waiting += segments[known:]

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._scope.run(work, in_thread=self._request.long)

    async def _advance(self) -> None:
        """Wait for results; submit the remaining segments when the first are done."""
        repairs = [segment for document in self._documents for segment in document.take_repairs()]
        if repairs:
            await self._pipeline.repair(repairs)
        elif not self._pipeline.done:
            await self._pipeline.advance()
        elif not self._waiting and self._segmented:
            raise RuntimeError("a part of the text is never done")  # waiting for it would never end
        if self._pipeline.done and (self._waiting or not self._segmented):
            if not self._segmented:
                await self._segment_rest()
            waiting, self._waiting = self._waiting, []
            await self._pipeline.start(waiting)

    async def _deltas(self, index: int, document: DocumentTranslation) -> AsyncIterator[Delta]:
        """Yield a text's translation as it comes; text between two sentences comes with the second."""
        held: list[str] = []
        parts = document.streamed()
        while following := await self._next(parts):
            [part] = following
            if part is None:
                await self._advance()
                continue
            held.append(part)
            if any(map(str.isalnum, part)):
                yield Delta(index, "".join(held))
                held = []
        if any(held):
            yield Delta(index, "".join(held))

    async def _next(self, parts: Iterator[str | None]) -> list[str | None]:
        """Return the next part of a text, if there is one; a long block of markup is rendered in another thread."""
        if not self._request.long:
            return list(islice(parts, 1))
        return await self._run(lambda: list(islice(parts, 1)))
