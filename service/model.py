"""A served model: text in, answers out, through its own workers."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from service.artifact import Artifact, Direction, Manifest
from service.engine.options import Options
from service.engine.scheduler import Answer, Closed, QueueFull, Ticket
from service.engine.search import NotANumber
from service.engine.worker import Crew, EngineFailure
from service.errors import (
    ClientGone,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    ModelRequired,
    NotReady,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from service.metrics import ModelMetrics
from service.text.tokenizer import TextCodec

# Resolves when the caller has left; asked while an answer is being computed.
Departure = Callable[[], Awaitable[None]]
SHORT = 2000  # characters


def default_target_length(source_tokens: int, limit: int) -> int:
    """How many target tokens an answer may take when nobody says otherwise."""
    return min(limit, 2 * source_tokens + 16)


@dataclass(frozen=True)
class Wanted:
    """What a request asks of its translations: a prefix and a length in the caller's terms, and the other options."""

    options: Options = Options()
    prefix: str = ""
    max_length: int | None = None


@dataclass
class Answered:
    """The answers to a request's texts, in order, with what they took."""

    answers: list[Answer]
    source_tokens: int

    @property
    def target_tokens(self) -> int:
        return sum(len(answer.ids) for answer in self.answers)

    @property
    def queue_ms(self) -> float:
        """The longest wait of any text."""
        return max(answer.queue_ms for answer in self.answers)

    @property
    def compute_ms(self) -> float:
        """The longest computation of any text."""
        return max(answer.compute_ms for answer in self.answers)


class ServedModel:
    """An artifact with its tokeniser and its workers."""

    def __init__(self, artifact: Artifact, codec: TextCodec, crew: Crew, observer: ModelMetrics) -> None:
        self.manifest: Manifest = artifact.manifest
        self.codec, self.crew, self._observer = codec, crew, observer

    @property
    def name(self) -> str:
        return self.manifest.name

    async def warm_up(self) -> None:
        """Answer made-up tickets, so that the first caller finds everything allocated."""
        tickets = [Ticket([self.manifest.marks.eos]) for _ in self.crew.workers]
        self.crew.queue.submit(tickets)
        for ticket in tickets:
            await asyncio.wrap_future(ticket.future)

    def direction(self, source: str | None, target: str) -> Direction:
        """The direction to `target`, from `source` or from the only language that there is.

        Raises:
            UnknownModel: this model has no such direction.
            ModelRequired: `source` is needed to choose.
        """
        found = [d for d in self.manifest.directions if d.target == target and source in (None, d.source)]
        if not found:
            offered = ", ".join(f"{d.source}-{d.target}" for d in self.manifest.directions) or "no translation"
            raise UnknownModel(
                f"model {self.name!r} does not translate {source or 'anything'} to {target}; it offers {offered}"
            )
        if len(found) > 1:
            raise ModelRequired(
                f"several languages translate to {target}: give source as one of "
                + ", ".join(sorted(d.source for d in found))
            )
        return found[0]

    async def translate(
        self, texts: list[str], direction: Direction, wanted: Wanted, timeout: float, departure: Departure
    ) -> Answered:
        """Translate texts, all together; see `_answer` for more errors.

        Raises:
            InvalidRequest: the options are out of range or contradict each other.
            TooLarge: a text, or what is asked for, is above the model's limits.
        """
        sources = await self._encode(texts, direction.prefix, closed=True)
        prefix = self.codec.target_ids(wanted.prefix) if wanted.prefix else []
        limit = self.manifest.limits.target_length
        if wanted.max_length is not None and wanted.max_length > limit:
            raise TooLarge(f"max_length is {wanted.max_length}; model {self.name!r} writes at most {limit} tokens")
        tickets = []
        for ids in sources:
            length = wanted.max_length or min(limit, default_target_length(len(ids), limit) + len(prefix))
            options = replace(wanted.options, max_length=length, prefix=tuple(prefix))
            if faults := options.faults(self.manifest.vocabulary, limit, self.crew.queue.rows):
                raise InvalidRequest("; ".join(faults))
            tickets.append(Ticket(ids, options))
        return await self._answer(tickets, timeout, departure)

    async def classify(self, texts: list[str], timeout: float, departure: Departure) -> Answered:
        """Classify texts, all together; see `_answer` for the errors."""
        sources = await self._encode(texts, [self.manifest.marks.bos], closed=False)
        return await self._answer([Ticket(ids) for ids in sources], timeout, departure)

    async def _encode(self, texts: list[str], prefix: list[int], closed: bool) -> list[list[int]]:
        # A short request is tokenised sooner than it could be handed to another thread.
        short = sum(map(len, texts)) <= SHORT
        arguments = (texts, prefix, closed)
        sources = self.codec.encode(*arguments) if short else await asyncio.to_thread(self.codec.encode, *arguments)
        limit = self.manifest.limits.source_length
        for i, ids in enumerate(sources):
            if len(ids) > limit:
                raise TooLarge(
                    f"text {i} has {len(ids)} tokens; model {self.name!r} reads at most {limit}: send it in sentences"
                )
        return sources

    async def _answer(self, tickets: list[Ticket], timeout: float, departure: Departure) -> Answered:
        """Submit tickets and wait for all of them; whatever ends the wait early withdraws the rest.

        Raises:
            TooLarge, Overloaded, NotReady: not admitted.
            DeadlineExceeded, ClientGone: given up.
            InternalError: the engine failed on them.
        """
        tokens = sum(len(ticket.ids) for ticket in tickets)
        self._refuse_unqueueable(len(tickets), tokens)
        try:
            self.crew.queue.submit(tickets)
        except QueueFull as full:
            raise Overloaded(f"model {self.name!r} has {full.waiting} texts waiting; try again later") from None
        except Closed:
            raise NotReady(f"model {self.name!r} takes no more requests") from None
        answers = await self._wait(tickets, timeout, departure)
        for answer in answers:
            self._observer.queue_seconds.observe(answer.queue_ms / 1000)
        answered = Answered(answers, tokens)
        self._observer.target_tokens.inc(answered.target_tokens)
        return answered

    def _refuse_unqueueable(self, count: int, tokens: int) -> None:
        """What an empty queue could not take is too large: to come back later would never help."""
        bounds = self.crew.queue.bounds
        if count > bounds.queue_segments or tokens > bounds.queue_tokens:
            raise TooLarge(
                f"{count} texts of {tokens} tokens; model {self.name!r} queues at most {bounds.queue_segments} "
                f"texts and {bounds.queue_tokens} tokens: send several requests"
            )

    async def _wait(self, tickets: list[Ticket], timeout: float, departure: Departure) -> list[Answer]:
        loop = asyncio.get_running_loop()
        awake = loop.create_future()
        leaving = asyncio.ensure_future(departure())
        leaving.add_done_callback(lambda _: _wake(awake))
        timer = loop.call_later(timeout, _wake, awake)
        settled = itertools.count(1)

        def count(future: "Future[Answer]") -> None:
            """In a worker's thread; the loop is woken once, by the last answer or the first failure."""
            last = next(settled) == len(tickets)
            if (last or future.cancelled() or future.exception() is not None) and not loop.is_closed():
                loop.call_soon_threadsafe(_wake, awake)

        for ticket in tickets:
            ticket.future.add_done_callback(count)
        try:
            await awake
            failures = [t.future.exception() for t in tickets if t.left and not t.future.cancelled()]
            if failure := next(filter(None, failures), None):
                raise failure
            if all(ticket.left for ticket in tickets):
                return [ticket.future.result() for ticket in tickets]
            if leaving.done():
                raise ClientGone("the client closed the connection")
            raise DeadlineExceeded(f"no answer within {timeout:g} s")
        except (EngineFailure, NotANumber) as failure:
            raise InternalError(str(failure)) from failure
        finally:
            timer.cancel()
            leaving.cancel()
            for ticket in tickets:
                ticket.future.cancel()


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
