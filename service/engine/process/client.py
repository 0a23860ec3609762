"""The service's side of the engine process: worker pools that admit requests here and compute them there.

The limits of a queue are checked here, so that requests are rejected at once; the order of requests is kept there.
Everything but `close` and `drain` happens in the event loop's thread, from the first request on, including the
handling of events from the engine process.
"""

import asyncio
import itertools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType

from service.artifact import Artifact, ArtifactError
from service.engine.interfaces import Observer, PoolConfig
from service.engine.process import messages
from service.engine.process.channel import CAN_INHERIT, MessageChannel, MessageProtocol, encode, start_process
from service.engine.queue import Closed, Occupancy
from service.engine.types import EngineFailure, EngineRequest, EngineResult, fail, resolve

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]  # the folder that contains the package `service`
EXIT_SECONDS = 1.0  # until a process that does not exit is killed, unless `exit_seconds` says otherwise

Send = Callable[[messages.Command], None]


class RemoteQueue:
    """The unfinished requests of one worker pool: those that wait, whose number is limited, and those that run."""

    def __init__(self, name: str, pool_config: PoolConfig, send: Send) -> None:
        self.name, self.limits, self.rows_per_worker = name, pool_config.limits, pool_config.rows_per_worker
        self._send = send
        self._numbers = itertools.count()
        self._unfinished: dict[int, EngineRequest] = {}
        self._waiting: dict[int, EngineRequest] = {}  # by number: the requests that have not joined a batch
        self._occupancy = Occupancy(pool_config.limits)
        self._idle = threading.Event()
        self._idle.set()
        self.closed = False

    @property
    def waiting(self) -> int:
        """Segments that have not joined a batch."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Segments that have joined a batch."""
        return len(self._unfinished) - len(self._waiting)

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Add all of the requests, which have the same sender, or none of them.

        Raises:
            QueueFull: they exceed the limits together with the requests that already wait.
            Closed: the queue accepts no more requests.
        """
        if self.closed:
            raise Closed("the model takes no more requests")
        if not requests:
            return
        self._occupancy.check(requests)
        self._idle.clear()
        registered = [self._register(request) for request in requests]
        self._send(messages.SubmitRequests(self.name, requests[0].sender, registered))

    def _register(self, request: EngineRequest) -> messages.RequestMessage:
        number = next(self._numbers)
        self._unfinished[number] = self._waiting[number] = request
        self._occupancy.add(request)
        request.future.add_done_callback(partial(self._on_done, number))
        stream_tokens = request.on_token is not None
        return messages.RequestMessage(
            number, request.ids, request.options, request.translation, request.submitted, stream_tokens
        )

    def _on_done(self, number: int, future: "Future[EngineResult]") -> None:
        """If the caller has cancelled the request, free its place in the queue and cancel it there."""
        if future.cancelled() and self._remove(number):
            self._send(messages.CancelRequest(self.name, number))

    def _remove(self, number: int) -> EngineRequest | None:
        self._leave_queue(number)
        request = self._unfinished.pop(number, None)
        if not self._unfinished:
            self._idle.set()
        return request

    def _leave_queue(self, number: int) -> None:
        if (request := self._waiting.pop(number, None)) is not None:
            self._occupancy.remove(request)

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
            resolve(request, outcome)
        else:
            fail(request, outcome)

    def close(self) -> None:
        """Accept no more requests; the admitted ones are still computed."""
        self.closed = True

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until no request is unfinished; return whether none is."""
        return self._idle.wait(timeout)

    def fail_waiting(self, error: Exception) -> None:
        """Close, and fail every request that has not joined a batch."""
        self._fail(list(self._waiting), error)

    def fail_all(self, error: Exception) -> None:
        """Close, and fail every request."""
        self._fail(list(self._unfinished), error)

    def _fail(self, numbers: Sequence[int], error: Exception) -> None:
        self.closed = True
        for number in numbers:
            self.finish(number, error)


class RemoteWorkerPool:
    """A worker pool whose workers run in the engine process."""

    def __init__(
        self, name: str, pool_config: PoolConfig, send: Send, observer: Observer, on_drained: Callable[[str], None]
    ) -> None:
        self.name, self.size = name, pool_config.workers
        self.queue = RemoteQueue(name, pool_config, send)
        self.alive = True
        self.pool_bytes = 0
        self._observer, self._on_drained = observer, on_drained

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""
        return self.queue.running

    def handle(self, message: messages.PoolEvents) -> None:
        """Apply the events of the pool in the engine process."""
        self.pool_bytes = message.pool_bytes
        for event in message.events:
            self._handle_event(event)
        if message.worker_died:
            self.alive = False
            self.queue.fail_waiting(EngineFailure("a worker died"))

    def _handle_event(self, event: messages.Event) -> None:
        match event:
            case messages.RequestDone(number, outcome):
                self.queue.finish(number, outcome)
            case messages.TokenGenerated(number, token):
                self.queue.stream_token(number, token)
            case messages.StepComputed(rows, seconds):
                self._observer.on_step(rows, seconds)
            case messages.RequestsFinished(requests):
                self._observer.on_finished(requests)
            case messages.GroupEncoded(numbers, seconds):
                if group := self.queue.mark_running(numbers):
                    self._observer.on_encoded(group, seconds)
            case messages.ComputationFailed():
                self._observer.on_failure()

    def fail_all(self, error: Exception) -> None:
        """Fail every request, because the engine process has died."""
        self.alive = False
        self.queue.fail_all(error)

    def drain(self, timeout: float) -> bool:
        """Close the queue and wait up to `timeout` seconds for all requests; return whether all are done."""
        self.queue.close()
        in_time = self.queue.wait(timeout)
        self._on_drained(self.name)
        return in_time


class EngineProcess:
    """The engine process and the connection to it; a context manager that ends the process.

    If the process dies before its worker pools are drained, all requests fail and `on_death` is called.
    `inherit_socket` says how the process gets its end of the connection, see `channel.py`.
    `exit_seconds` is how long the process may take to exit at the end; then it is killed.
    """

    def __init__(self, on_death: Callable[[], object] = lambda: None, *, inherit_socket: bool = CAN_INHERIT) -> None:
        self.died = False
        self.exit_seconds = EXIT_SECONDS
        self._on_death = on_death
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "service.engine.process"]
        self._process, self._socket = start_process(command, {**os.environ, "PYTHONPATH": path}, inherit_socket)
        self._pools: dict[str, RemoteWorkerPool] = {}
        self._undrained: set[str] = set()  # names of pools
        self._commands: list[messages.Command] = []  # not sent yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[None] | None = None  # the event loop keeps only a weak reference to a task
        self._transport: asyncio.Transport | None = None

    def start_pools(
        self, artifacts: Sequence[Artifact], pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> dict[str, RemoteWorkerPool]:
        """Start the worker pools of the artifacts in the engine process and return them by name.

        `observer` is called with the name of each pool and returns its observer.

        Raises:
            ArtifactError: graphs cannot be loaded; the message lists all of them.
            EngineFailure: the engine process has exited.
        """
        channel = MessageChannel(self._socket)
        channel.send(messages.LoadModels(artifacts, pool_config))
        reply: messages.ModelsLoaded | ArtifactError | None = channel.receive()
        if reply is None:
            raise EngineFailure(f"the engine process ended at once, with status {self._process.wait()}")
        if isinstance(reply, ArtifactError):
            raise reply
        self._pools = {
            name: RemoteWorkerPool(name, pool_config, self._send, observer(name), self._on_drained)
            for name in reply.pools
        }
        self._undrained = set(self._pools)
        return self._pools

    def _send(self, command: messages.Command) -> None:
        """Send a command; the commands of one iteration of the event loop share a message, which wakes the process."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._connecting = self._loop.create_task(self._connect(self._loop))
        elif self._transport is not None and not self._commands:
            self._loop.call_soon(self._flush)
        self._commands.append(command)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, _ = await loop.create_connection(
            lambda: MessageProtocol(self._on_message, self._on_connection_lost), sock=self._socket
        )
        self._flush()

    def _flush(self) -> None:
        assert self._transport is not None
        data = encode(self._commands)
        self._commands = []
        self._transport.write(data)

    def _on_message(self, message: messages.PoolEvents) -> None:
        self._pools[message.pool].handle(message)

    def _on_drained(self, name: str) -> None:
        """When all pools are drained, close the connection, which ends the engine process."""
        self._undrained.discard(name)
        if not self._undrained and self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _on_connection_lost(self) -> None:
        self.died = bool(self._undrained)
        for pool in self._pools.values():
            pool.fail_all(EngineFailure("the engine process died"))
        if self.died:
            log.error("the engine process has died")
            self._on_death()

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection, which ends the process; kill the process if it does not exit in time."""
        self._socket.close()
        try:
            self._process.wait(self.exit_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the process, stopped or not. It holds nothing that has to be saved."""
        self._process.kill()
