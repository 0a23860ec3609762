"""The lifetime of one HTTP request inside the engine: deadline, disconnect, pending engine requests."""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from service.engine.decoding.search import NotANumber
from service.engine.occupancy import SMALL_REQUEST
from service.engine.result_future import ResultFuture
from service.engine.types import EngineFailure, EngineRequest, EngineResult, EngineUnavailable, Sender
from service.errors import ClientGone, DeadlineExceeded, EngineDown, InternalError, Overloaded
from service.models.background import BackgroundThreads
from service.models.engine_client import EngineClient
from service.models.loop_turns import LoopTurns
from service.models.open_requests import OpenRequests
from service.tracing.spans import current_trace

T = TypeVar("T")
Check = Callable[[], None]  # raises if the request has ended
# Returns when the client has closed the connection.
WaitForDisconnect = Callable[[], Awaitable[None]]
# Has a function called when the client has closed the connection; None instead of it: no longer.
OnClientGone = Callable[[Callable[[], None] | None], None]

# Seconds before the connection is watched: many results arrive earlier, and watching may need a task of its own.
DISCONNECT_WATCH_DELAY = 0.05
# Updates that are returned at once, so that other tasks of the event loop run in between: one decoding step may finish
# a hundred segments.
MAX_UPDATES = 8
TURN_SECONDS = 0.0005  # after which work of many pieces lets others run
REPEAT_SECONDS = 0.2  # after which a large request that finds the queue full tries again
_numbers = itertools.count(1)  # of HTTP requests
_threads = BackgroundThreads()


class RequestScope:
    """The engine requests of one HTTP request, with its deadline and a watch on its connection.

    Use it as a context manager in the event loop's thread. The timeout (seconds) starts when the context is entered.
    Leaving the context cancels the engine requests that are still pending.
    """

    def __init__(
        self,
        timeout: float,
        wait_for_disconnect: WaitForDisconnect,
        caller: str = "",
        bulk: bool = False,
        on_client_gone: OnClientGone | None = None,
    ) -> None:
        """`caller` is the key or the address of the client; a `bulk` request gives way to all others.

        With `on_client_gone`, which needs no task, `wait_for_disconnect` is not called.
        """
        self._timeout, self._wait_for_disconnect = timeout, wait_for_disconnect
        self._on_client_gone = on_client_gone
        self._sender = Sender(hash(caller), next(_numbers), bulk)
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._open_requests = OpenRequests.of(self._loop)
        self._pending: dict[EngineRequest, EngineClient] = {}
        # (request, token), or (request, None) for a request that is done; worker threads append to it.
        self._updates: deque[tuple[EngineRequest, int | None]] = deque()
        self._wake_scheduled = False
        self._expired = self._client_gone = self._left = False
        self._waiter: asyncio.Future[None] | None = None
        self._disconnect: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._trace = current_trace.get()
        self._has_submitted = False
        self._reserved: list[EngineClient] = []  # those in whose queue a place was held

    def __enter__(self) -> Self:
        self._open_requests.add(self)
        now = self._loop.time()
        self._deadline = now + self._timeout
        watches = self._timeout > DISCONNECT_WATCH_DELAY
        self._timer = self._loop.call_at(
            now + DISCONNECT_WATCH_DELAY if watches else self._deadline,
            self._watch_connection if watches else self._expire,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left = True
        self._open_requests.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._disconnect is not None:
            self._disconnect.cancel()
        if self._on_client_gone is not None:
            self._on_client_gone(None)
        for client in self._reserved:
            client.end_reservation(self._sender)
        pending, self._pending = self._pending, {}
        for request in pending:
            request.future.cancel()

    @property
    def pending(self) -> int:
        """Submitted requests whose result has not been returned yet."""
        return len(self._pending)

    async def reserve(self, client: EngineClient, segments: int) -> None:
        """Hold a place in a model's queue until something is submitted to it; see `EngineClient.reserve`.

        A large request for which there is none tries once more before it is refused. Else a client that repeats its
        refused requests at once, which is common, would take the time of all others with reading them.
        """
        try:
            client.reserve(self._sender, segments)
        except Overloaded:
            if segments <= SMALL_REQUEST:
                raise
            await asyncio.sleep(REPEAT_SECONDS)
            self.check()
            client.reserve(self._sender, segments)
        self._reserved.append(client)

    @property
    def is_large(self) -> bool:
        """Whether so much of the request is pending that it leaves room for others."""
        return len(self._pending) > SMALL_REQUEST

    async def next_turn(self, large: bool = False) -> None:
        """Let other tasks of the event loop run; a large request waits for the other large ones, too."""
        await (LoopTurns.of(self._loop).next() if self.is_large or large else asyncio.sleep(0))

    def submit(self, client: EngineClient, requests: Sequence[EngineRequest]) -> None:
        """Submit requests to a model; see `EngineClient.submit` for the errors."""
        for request in requests:
            self.watch(request)
        self.submit_watched(client, requests)

    def watch(self, request: EngineRequest) -> None:
        """Set the request's sender, and have `updates` return its result. Call it before `submit`, in any thread."""
        request.sender = self._sender
        request.future.add_done_callback(partial(self._done, request))

    def submit_watched(self, client: EngineClient, requests: Sequence[EngineRequest]) -> None:
        """Submit requests that are watched already: for thousands of them, this halves the time in the event loop."""
        client.submit(requests)
        if not self._has_submitted and len(requests) <= SMALL_REQUEST:
            LoopTurns.of(self._loop).note_small(self._loop)
        self._has_submitted = True
        self._pending.update(dict.fromkeys(requests, client))

    def stream_tokens(self, request: EngineRequest) -> None:
        """Have `updates` return each token of the request. Call it before `submit`."""
        request.on_token = lambda token: self._add_update(request, token)

    async def updates(self) -> list[tuple[EngineRequest, EngineResult | int]]:
        """Wait for the next updates: results of requests, and tokens of those that stream.

        Returns at most `MAX_UPDATES`, so that other requests are served in between; an empty list only if no request
        is pending.

        Raises:
            DeadlineExceeded: the timeout has passed.
            ClientGone: the client closed the connection.
            InternalError: the engine failed on a request.
            EngineDown: the engine died.
        """
        if self._updates:
            # Results may come faster than they are processed: let other requests, the deadline and the watch run.
            await self.next_turn()
        while self._pending:
            self.check()
            if self._updates:
                break
            self._waiter = self._loop.create_future()
            await self._waiter
            if self.is_large:
                await self.next_turn()
        updates = [self._updates.popleft() for _ in range(min(len(self._updates), MAX_UPDATES))]
        return [(request, self._result(request) if token is None else token) for request, token in updates]

    def check(self) -> None:
        """Raise if nobody waits for the answer any more. Long work in a thread calls it every few milliseconds.

        Raises:
            DeadlineExceeded: the timeout has passed.
            ClientGone: the client closed the connection, or the service has stopped.
        """
        if self._client_gone or (self._disconnect is not None and self._disconnect.done()):
            raise ClientGone("the client closed the connection")
        if self._expired:
            raise DeadlineExceeded(f"no answer within {self._timeout:g} s")
        if self._left:
            raise ClientGone("the request has ended")

    async def run(self, work: Callable[[], T], *, in_thread: bool) -> T:
        """Do CPU-bound work, in another thread if it is long.

        If the request ends meanwhile, raise at once, see `check`. The work must call `check` often, so that its thread
        ends soon too.
        """
        if not in_thread:
            return work()
        future = asyncio.wrap_future(_threads.submit(self._sender, work))
        future.add_done_callback(lambda _: self._wake())
        try:
            while not future.done():
                self.check()
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            future.cancel()  # work that has not begun is dropped
        return future.result()

    async def run_in_turns(self, pieces: Iterable[T]) -> list[T]:
        """Do CPU-bound work that consists of many short pieces; all of it at once if it is short.

        In the event loop, for a millisecond in a turn: another thread would compete with the loop for the interpreter.

        Raises:
            DeadlineExceeded, ClientGone: see `check`.
        """
        done: list[T] = []
        started = time.perf_counter()
        for piece in pieces:
            done.append(piece)
            if time.perf_counter() - started > TURN_SECONDS:
                await self.next_turn(large=True)
                self.check()
                started = time.perf_counter()
        return done

    async def results(self, client: EngineClient, requests: Sequence[EngineRequest]) -> list[EngineResult]:
        """Submit requests and wait for all results; see `submit` and `updates` for the errors."""
        if len(requests) > SMALL_REQUEST:
            await self.next_turn(large=True)
        self.submit(client, requests)
        results: dict[EngineRequest, EngineResult] = {}
        while self._pending:
            results |= {request: update for request, update in await self.updates() if isinstance(update, EngineResult)}
        return [results[request] for request in requests]

    def _result(self, request: EngineRequest) -> EngineResult:
        client = self._pending.pop(request)
        try:
            result = request.future.result()
        except EngineUnavailable as failure:
            raise EngineDown(str(failure)) from None
        except (EngineFailure, NotANumber) as failure:
            raise InternalError(str(failure)) from failure
        if self._trace is None:
            client.record(result)
        else:
            client.record(result, self._trace.exemplar)
            self._trace.on_result(client.name, request, result)
        return result

    def _done(self, request: EngineRequest, future: ResultFuture[EngineResult]) -> None:
        if not future.cancelled():
            self._add_update(request, None)

    def _add_update(self, request: EngineRequest, token: int | None) -> None:
        """Called in any thread; all updates of one decoding step of a worker wake the event loop once."""
        self._updates.append((request, token))
        if threading.get_ident() == self._thread:  # of a pool in the engine process
            self._wake()
        elif not self._wake_scheduled and not self._loop.is_closed():
            self._wake_scheduled = True
            self._loop.call_soon_threadsafe(self._wake_from_worker)

    def _wake_from_worker(self) -> None:
        self._wake_scheduled = False
        self._wake()

    def _watch_connection(self) -> None:
        self._timer = self._loop.call_at(self._deadline, self._expire)
        if self._on_client_gone is not None:
            self._on_client_gone(self._leave)
            return
        self._disconnect = asyncio.ensure_future(self._wait_for_disconnect())
        self._disconnect.add_done_callback(lambda _: self._wake())

    def _leave(self) -> None:
        self._client_gone = True
        self._wake()

    def _expire(self) -> None:
        self._expired = True
        self._open_requests.remove(self)  # it submits no more, even if its client does not read what it has got
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
