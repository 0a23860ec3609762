"""The service's side of a worker pool in the engine process: requests are admitted here and computed there.

The limits of a queue are checked here, so that requests are rejected at once; the order of requests is kept there.
Everything but `close` and `drain` happens in the event loop's thread, from the first request on.
"""

import asyncio
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from service.engine.interfaces import BatchWatcher, Observer, PoolConfig, pool_name
from service.engine.occupancy import SMALL_REQUEST, Occupancy, decrement
from service.engine.process import messages
from service.engine.queue import Closed, Unavailable
from service.engine.result_future import ResultFuture
from service.engine.types import EngineFailure, EngineRequest, EngineResult, EngineUnavailable, Sender

# Results that are passed on before the event loop does other work: each makes a request write its response, and one
# step may finish a hundred.
LARGE_AT_ONCE = 4  # of large requests
SMALL_AT_ONCE = 16  # of small ones: fewer would split the next batch, since their clients send the next request
SENT_AT_ONCE = 32  # requests in one message: the process reads no other one meanwhile
Send = Callable[[messages.Command], None]


class RemoteQueue:
    """The unfinished requests of one worker pool: those that wait, whose number is limited, and those that run."""

    def __init__(self, id: str, pool_config: PoolConfig, send: Send) -> None:
        self.id, self.limits, self.rows_per_worker = id, pool_config.limits, pool_config.rows_per_worker
        self._send = send
        self._numbers = itertools.count()
        self._unfinished: dict[int, EngineRequest] = {}
        self._by_sender = Counter[Sender]()  # unfinished requests
        self._waiting: dict[int, EngineRequest] = {}  # by number: the requests that have not joined a batch
        self._occupancy = Occupancy(pool_config.limits)
        self._idle = threading.Event()
        self._idle.set()
        self.closed = False
        self.problem = ""  # why no request can be computed now

    @property
    def waiting(self) -> int:
        """Segments that have not joined a batch."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Segments that have joined a batch."""
        return len(self._unfinished) - len(self._waiting)

    def reserve(self, sender: Sender, segments: int) -> None:
        """Hold a place for so many segments until the sender submits something, or until `end_reservation`.

        Raises:
            QueueFull: there is none.
        """
        self._occupancy.reserve(sender, segments)

    def end_reservation(self, sender: Sender) -> None:
        """Give up the place that is held for a sender, if there is one."""
        self._occupancy.end_reservation(sender)

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Add all of the requests, which have the same sender, or none of them.

        Raises:
            QueueFull: they exceed the limits together with the requests that already wait.
            Closed: the queue accepts no more requests.
            Unavailable: the engine process is being restarted, or does not respond.
        """
        if self.closed:
            raise Closed("the model takes no more requests")
        if self.problem:
            raise Unavailable(self.problem)
        if not requests:
            return
        sender = requests[0].sender
        self._occupancy.use_reservation(requests)
        self._idle.clear()
        self._by_sender[sender] += len(requests)
        self._occupancy.add(requests)
        large = sender.bulk or self._by_sender[sender] > SMALL_REQUEST
        registered = [self._register(request, large) for request in requests]
        for start in range(0, len(registered), SENT_AT_ONCE):
            self._send(messages.SubmitRequests(self.id, sender, registered[start : start + SENT_AT_ONCE], large))

    def _register(self, request: EngineRequest, large: bool) -> messages.RequestMessage:
        number = next(self._numbers)
        request.large = large
        self._unfinished[number] = self._waiting[number] = request
        request.future.add_done_callback(partial(self._on_done, number))
        stream_tokens = request.on_token is not None
        return messages.RequestMessage(
            number, request.ids, request.options, request.translation, request.submitted, stream_tokens
        )

    def _on_done(self, number: int, future: ResultFuture[EngineResult]) -> None:
        """If the caller has cancelled the request, free its place in the queue and cancel it there."""
        if future.cancelled() and self._remove(number):
            self._send(messages.CancelRequest(self.id, number))

    def _remove(self, number: int) -> EngineRequest | None:
        self._leave_queue(number)
        request = self._unfinished.pop(number, None)
        if request is not None:
            decrement(self._by_sender, request.sender)
        if not self._unfinished:
            self._idle.set()
        return request

    def _leave_queue(self, number: int) -> None:
        if (request := self._waiting.pop(number, None)) is not None:
            self._occupancy.remove(request)

    def unfinished(self, number: int) -> EngineRequest | None:
        """Return an unfinished request; None if it was cancelled."""
        return self._unfinished.get(number)

    def is_large(self, number: int) -> bool:
        """Return whether a request is one of many of its sender, so that others come first."""
        request = self._unfinished.get(number)
        return request is not None and request.large

    def mark_running(self, numbers: Sequence[int]) -> list[EngineRequest]:
        """Record that these requests have joined a batch; return them, without those cancelled meanwhile."""
        for number in numbers:
            self._leave_queue(number)
        return [self._unfinished[number] for number in numbers if number in self._unfinished]

    def stream_token(self, number: int, token: int) -> None:
        """Pass a generated token to the request's caller, unless it was cancelled."""
        request = self._unfinished.get(number)
        if request is not None and request.on_token is not None:
            request.on_token(token)

    def finish(self, number: int, outcome: EngineResult | Exception) -> None:
        """Set the result or the error of a request, unless it was cancelled."""
        if (request := self._remove(number)) is None:
            return
        if isinstance(outcome, EngineResult):
            request.future.set_result(outcome)
        else:
            request.future.set_exception(outcome)

    def close(self) -> None:
        """Accept no more requests; the admitted ones are still computed."""
        self.closed = True

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until no request is unfinished; return whether none is."""
        return self._idle.wait(timeout)

    def fail_waiting(self, error: Exception) -> None:
        """Close, and fail every request that has not joined a batch."""
        self.closed = True
        for number in list(self._waiting):
            self.finish(number, error)

    def fail_all(self, error: Exception) -> None:
        """Fail every request."""
        for number in list(self._unfinished):
            self.finish(number, error)


class RemoteWorkerPool:
    """A worker pool whose workers run in the engine process."""

    def __init__(
        self, id: str, pool_config: PoolConfig, send: Send, observer: Observer, on_drained: Callable[[str], None]
    ) -> None:
        self.id, self.name, self.size = id, pool_name(id), pool_config.workers
        self.queue = RemoteQueue(id, pool_config, send)
        self.pool_bytes = 0
        self.watcher: BatchWatcher | None = None  # None while nobody looks at the batches
        self._worker_died = False
        self._small: deque[messages.RequestDone] = deque()  # results that are not passed on yet
        self._large: deque[messages.RequestDone] = deque()
        self._observer, self._on_drained = observer, on_drained

    @property
    def problem(self) -> str:
        """Why the pool cannot compute requests now; empty if it can."""
        if self.queue.problem:
            return self.queue.problem
        return "a worker has died: restart the service" if self._worker_died else ""

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""
        return self.queue.running

    def handle(self, message: messages.PoolEvents) -> None:
        """Apply the events of the pool in the engine process, and pass results on: those of large requests last."""
        self.pool_bytes = message.pool_bytes
        deferred = bool(self._small or self._large)
        for event in message.events:
            if isinstance(event, messages.RequestDone):
                if self.watcher is not None and (request := self.queue.unfinished(event.number)) is not None:
                    self.watcher.on_left(request)
                (self._large if self.queue.is_large(event.number) else self._small).append(event)
            else:
                self._handle_event(event)
        if message.worker_died:
            self._worker_died = True
            self._pass_on_all()
            self.queue.fail_waiting(EngineFailure("a worker died"))
        elif not deferred:
            self._pass_on_some()

    def _pass_on_some(self) -> None:
        """Pass on as many results as one turn of the event loop may take."""
        self._pass_on(self._small, SMALL_AT_ONCE)
        self._pass_on(self._large, LARGE_AT_ONCE)
        if self._small or self._large:
            asyncio.get_running_loop().call_soon(self._pass_on_some)

    def _pass_on_all(self) -> None:
        self._pass_on(self._small, len(self._small))
        self._pass_on(self._large, len(self._large))

    def _pass_on(self, results: deque[messages.RequestDone], count: int) -> None:
        for _ in range(min(count, len(results))):
            number, outcome = results.popleft()
            self.queue.finish(number, outcome)

    def _handle_event(self, event: messages.Event) -> None:
        match event:
            case messages.TokenGenerated(number, token):
                self.queue.stream_token(number, token)
            case messages.StepComputed(rows, seconds, worker):
                self._observer.on_step(rows, seconds)
                if self.watcher is not None:
                    self.watcher.on_step(worker)
            case messages.RequestsFinished(requests):
                self._observer.on_finished(requests)
            case messages.GroupEncoded(numbers, seconds, worker):
                if group := self.queue.mark_running(numbers):
                    self._observer.on_encoded(group, seconds)
                    if self.watcher is not None:
                        self.watcher.on_joined(worker, group)
            case messages.ComputationFailed():
                self._observer.on_failure()

    def on_process_death(self, problem: str) -> None:
        """Fail every request, and refuse new ones until `on_process_start`."""
        self._pass_on_all()
        self.queue.problem = problem
        self.queue.fail_all(EngineUnavailable(problem))
        self.pool_bytes = 0

    def on_process_start(self) -> None:
        """Accept requests again: a new process has started, with new workers."""
        self.queue.problem = ""
        if self._worker_died:
            self._worker_died = self.queue.closed = False

    def drain(self, timeout: float) -> bool:
        """Close the queue and wait up to `timeout` seconds for all requests; return whether all are done."""
        self.queue.close()
        in_time = self.queue.wait(timeout)
        self._on_drained(self.id)
        return in_time
