"""The lifetime of one HTTP request inside the engine: deadline, disconnect, pending engine requests."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType

from service.engine.decoding.search import NotANumber
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import EngineFailure
from service.errors import ClientGone, DeadlineExceeded, InternalError
from service.models.engine_client import EngineClient

# Resolves when the caller has left; asked while an answer is being computed.
WaitForDisconnect = Callable[[], Awaitable[None]]


UNWATCHED = 0.05  # seconds, in which most answers come: to look out for a caller's departure takes a task of its own


AT_ONCE = 8  # news that are followed up before the event loop goes on: a step may answer a hundred segments


class RequestScope:
    """One request's wait for its requests; use it as a context, in the event loop's thread."""

    def __init__(self, timeout: float, wait_for_disconnect: WaitForDisconnect) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._open: dict[EngineRequest, EngineClient] = {}
        self._news: deque[tuple[EngineRequest, int | None]] = deque()  # appended to by workers' threads
        self._rung = False
        self._late = False
        self._awake: asyncio.Future[None] | None = None
        self._departure = wait_for_disconnect
        self._leaving: asyncio.Future[None] | None = None
        self._timers = [self._loop.call_later(UNWATCHED, self._watch), self._loop.call_later(timeout, self._expire)]

    def __enter__(self) -> "RequestScope":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._leaving is not None:
            self._leaving.cancel()
        opened, self._open = self._open, {}
        for engine_request in opened:
            engine_request.future.cancel()

    @property
    def waiting(self) -> int:
        """Tickets handed in whose answer has not been taken."""
        return len(self._open)

    def submit(self, engine_client: EngineClient, engine_requests: Sequence[EngineRequest]) -> None:
        """Hand requests in at a desk; see `EngineClient.submit` for the errors."""
        engine_client.submit(engine_requests)
        for engine_request in engine_requests:
            self._open[engine_request] = engine_client
            engine_request.future.add_done_callback(partial(self._settled, engine_request))

    def listen(self, engine_request: EngineRequest) -> None:
        """Have the request's tokens among the news, before it is handed in."""
        engine_request.on_token = lambda token: self._tell(engine_request, token)

    async def news(self) -> list[tuple[EngineRequest, EngineResult | int]]:
        """Wait for the next answers, and tokens of requests listened to; nothing comes only if nothing is open.

        They come a few at a time, between which other requests have their turn.

        Raises:
            DeadlineExceeded, ClientGone: given up.
            InternalError: the engine failed on a request.
        """
        if self._news:
            # They may come faster than they are followed up: other requests have their turn, and the deadline its.
            await asyncio.sleep(0)
        while self._open:
            if self._leaving is not None and self._leaving.done():
                raise ClientGone("the client closed the connection")
            if self._late:
                raise DeadlineExceeded(f"no answer within {self._timeout:g} s")
            if self._news:
                break
            self._awake = self._loop.create_future()
            await self._awake
        found = [self._news.popleft() for _ in range(min(len(self._news), AT_ONCE))]
        return [
            (engine_request, self._taken(engine_request) if token is None else token) for engine_request, token in found
        ]

    async def answers(
        self, engine_client: EngineClient, engine_requests: Sequence[EngineRequest]
    ) -> list[EngineResult]:
        """Hand in requests and wait for all of them; see `submit` and `news` for the errors."""
        self.submit(engine_client, engine_requests)
        found: dict[EngineRequest, EngineResult] = {}
        while self._open:
            found |= {
                engine_request: answer
                for engine_request, answer in await self.news()
                if isinstance(answer, EngineResult)
            }
        return [found[engine_request] for engine_request in engine_requests]

    def _taken(self, engine_request: EngineRequest) -> EngineResult:
        engine_client = self._open.pop(engine_request)
        try:
            answer = engine_request.future.result()
        except (EngineFailure, NotANumber) as failure:
            raise InternalError(str(failure)) from failure
        engine_client.settled(answer)
        return answer

    def _settled(self, engine_request: EngineRequest, future: "Future[EngineResult]") -> None:
        if not future.cancelled():
            self._tell(engine_request, None)

    def _tell(self, engine_request: EngineRequest, token: int | None) -> None:
        """In a worker's thread; all that one step tells wakes the loop once."""
        self._news.append((engine_request, token))
        if not self._rung and not self._loop.is_closed():
            self._rung = True
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._rung = False
        self._wake()

    def _watch(self) -> None:
        self._leaving = asyncio.ensure_future(self._departure())
        self._leaving.add_done_callback(lambda _: self._wake())

    def _expire(self) -> None:
        self._late = True
        self._wake()

    def _wake(self) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)
