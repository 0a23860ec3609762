"""The engine process as the service sees it: worker pools whose requests are admitted here and computed there.

The bounds of a queue are kept here, so that a request is refused at once; the order of its requests there. Everything
but `close` and `drain` happens in the event loop's thread, from the first request on; so does the reading of the pipe.
"""

import asyncio
import itertools
import logging
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from service.artifact import Artifact, ArtifactError
from service.engine.interfaces import Observer, PoolConfig
from service.engine.process import messages
from service.engine.queue import Closed, QueueFull
from service.engine.types import EngineFailure, EngineRequest, EngineResult, fail, resolve

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]  # what `service` is imported from
LEAVING = 20.0  # seconds until a process that does not end by itself is ended

HEAD = struct.Struct("!i")  # bytes of the message that follows

Send = Callable[[messages.Command], None]


class RemoteQueue:
    """The requests of one worker pool that are not settled, and which of them wait there; see `Queue`."""

    def __init__(self, name: str, pool_config: PoolConfig, send: Send) -> None:
        self.name, self.limits, self.rows_per_worker = name, pool_config.limits, pool_config.rows_per_worker
        self._send = send
        self._numbers = itertools.count()
        self._open: dict[int, EngineRequest] = {}
        self._waiting: dict[int, int] = {}  # tokens of each request that has not joined a batch
        self._tokens = 0
        self._idle = threading.Event()
        self._idle.set()
        self.closed = False  # whether no request is taken any more

    @property
    def waiting(self) -> int:
        """Segments that have not joined a batch."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Segments that have."""
        return len(self._open) - len(self._waiting)

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Admit all requests of a request, or none.

        Raises:
            QueueFull: they do not fit beside what waits already.
            Closed: no request is taken any more.
        """
        if self.closed:
            raise Closed("the model takes no more requests")
        tokens = sum(request.tokens for request in requests)
        if not self.limits.allows(len(self._waiting) + len(requests), self._tokens + tokens):
            raise QueueFull(len(self._waiting))
        self._idle.clear()
        self._send(messages.SubmitRequests(self.name, [self._admit(request) for request in requests]))

    def _admit(self, request: EngineRequest) -> messages.RequestMessage:
        number = next(self._numbers)
        self._open[number], self._waiting[number] = request, request.tokens
        self._tokens += request.tokens
        request.future.add_done_callback(partial(self._left, number))
        listening = request.on_token is not None
        return messages.RequestMessage(
            number, request.ids, request.options, request.translation, request.submitted, listening
        )

    def _left(self, number: int, future: "Future[EngineResult]") -> None:
        """Whoever waited for a request may have left; it takes no room in the queue any more."""
        if future.cancelled() and self._forget(number):
            self._send(messages.CancelRequest(self.name, number))

    def _forget(self, number: int) -> EngineRequest | None:
        self._tokens -= self._waiting.pop(number, 0)
        request = self._open.pop(number, None)
        if not self._open:
            self._idle.set()
        return request

    def joined(self, numbers: Sequence[int]) -> list[EngineRequest]:
        """Tickets that wait no longer, but for those that have been withdrawn."""
        for number in numbers:
            self._tokens -= self._waiting.pop(number, 0)
        return [self._open[number] for number in numbers if number in self._open]

    def written(self, number: int, token: int) -> None:
        """Tell whoever listens to a request its next token."""
        request = self._open.get(number)
        if request is not None and request.on_token is not None:
            request.on_token(token)

    def ended(self, number: int, outcome: EngineResult | Exception) -> None:
        """Settle a request, unless it has been withdrawn."""
        if (request := self._forget(number)) is None:
            return
        if isinstance(outcome, EngineResult):
            resolve(request, outcome)
        else:
            fail(request, outcome)

    def close(self) -> None:
        """Take no more requests; those admitted are still answered."""
        self.closed = True

    def wait(self, timeout: float) -> bool:
        """Until every request is settled; False when that took longer than `timeout` seconds."""
        return self._idle.wait(timeout)

    def fail(self, numbers: Sequence[int], error: Exception) -> None:
        """Close, and fail these requests."""
        self.closed = True
        for number in numbers:
            self.ended(number, error)

    def fail_waiting(self, error: Exception) -> None:
        """Close, and fail every request that has not joined a batch."""
        self.fail(list(self._waiting), error)

    def fail_all(self, error: Exception) -> None:
        """Close, and fail every request."""
        self.fail(list(self._open), error)


class RemoteWorkerPool:
    """A model's workers in the engine process; see `LocalWorkerPool`."""

    def __init__(
        self, name: str, pool_config: PoolConfig, send: Send, observer: Observer, drained: Callable[[str], None]
    ) -> None:
        self.name, self.size = name, pool_config.workers
        self.queue = RemoteQueue(name, pool_config, send)
        self.alive = True
        self.pool_bytes = 0
        self._observer, self._drained = observer, drained

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""
        return self.queue.running

    def hear(self, report: messages.Report) -> None:
        """What happened there."""
        self.pool_bytes = report.pool_bytes
        for event in report.events:
            self._follow(event)
        if report.died:
            self.alive = False
            self.queue.fail_waiting(EngineFailure("a worker died"))

    def _follow(self, event: messages.Event) -> None:
        match event:
            case messages.RequestDone(number, outcome):
                self.queue.ended(number, outcome)
            case messages.TokenGenerated(number, token):
                self.queue.written(number, token)
            case messages.Stepped(rows, seconds):
                self._observer.on_step(rows, seconds)
            case messages.RequestsAnswered(answers):
                self._observer.on_finished(answers)
            case messages.Encoded(numbers, seconds):
                if group := self.queue.joined(numbers):
                    self._observer.on_encoded(group, seconds)
            case messages.StepFailed():
                self._observer.on_failure()

    def lose(self, error: Exception) -> None:
        """The process has gone, and its answers with it."""
        self.alive = False
        self.queue.fail_all(error)

    def drain(self, timeout: float) -> bool:
        """Take no more requests, wait for the answers of those admitted; False when that took longer."""
        self.queue.close()
        in_time = self.queue.wait(timeout)
        self._drained(self.name)
        return in_time


class MessageProtocol(asyncio.Protocol):
    """The event loop's end of the pipe, framed as multiprocessing's connections frame it."""

    def __init__(self, hear: Callable[[messages.Report], None], lost: Callable[[], None]) -> None:
        self._hear, self._lost = hear, lost
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        start = 0
        while len(self._received) >= (head := start + HEAD.size):
            end = head + HEAD.unpack_from(self._received, start)[0]
            if len(self._received) < end:
                break
            self._hear(pickle.loads(self._received[head:end]))
            start = end
        del self._received[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


class EngineProcess:
    """The process and its pipe. It ends when the context does; when it dies before, its worker pools are seen to be
    dead.

    Then `on_death` is called, once every request has failed.
    """

    def __init__(self, on_death: Callable[[], object] = lambda: None) -> None:
        self.died = False
        self._on_death = on_death
        self._near, far = socket.socketpair()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with far:
            command = [sys.executable, "-m", "service.engine.process", str(far.fileno())]
            environment = {**os.environ, "PYTHONPATH": path}
            self._process = subprocess.Popen(command, env=environment, pass_fds=[far.fileno()])
        self._crews: dict[str, RemoteWorkerPool] = {}
        self._at_work: set[str] = set()  # worker pools that are not drained
        self._commands: list[messages.Command] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[None] | None = None  # the loop itself keeps no hold of it
        self._transport: asyncio.Transport | None = None

    def start_pools(
        self, artifacts: Sequence[Artifact], pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> dict[str, RemoteWorkerPool]:
        """Crews at work in the process, by name.

        Raises:
            ArtifactError: with the faults of every graph.
            EngineFailure: the process ended.
        """
        with Connection(os.dup(self._near.fileno())) as pipe:
            try:
                pipe.send(messages.LoadModels(artifacts, pool_config))
                reply: messages.ModelsLoaded | ArtifactError = pipe.recv()
            except (EOFError, ConnectionError):
                raise EngineFailure(f"the engine process ended at once, with status {self._process.wait()}") from None
        if isinstance(reply, ArtifactError):
            raise reply
        self._crews = {
            name: RemoteWorkerPool(name, pool_config, self._send, observer(name), self._drained)
            for name in reply.worker_pools
        }
        self._at_work = set(self._crews)
        return self._crews

    def _send(self, command: messages.Command) -> None:
        """What a turn of the event loop has to send goes together: every message wakes the process."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._connecting = self._loop.create_task(self._connect(self._loop))
        elif self._transport is not None and not self._commands:
            self._loop.call_soon(self._post)
        self._commands.append(command)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, _ = await loop.create_connection(
            lambda: MessageProtocol(self._hear, self._lose), sock=self._near
        )
        self._post()

    def _post(self) -> None:
        assert self._transport is not None
        message = pickle.dumps(self._commands, pickle.HIGHEST_PROTOCOL)
        self._commands = []
        self._transport.write(HEAD.pack(len(message)) + message)

    def _hear(self, report: messages.Report) -> None:
        self._crews[report.worker_pool].hear(report)

    def _drained(self, name: str) -> None:
        """A worker pool has nothing to do any more; when that is true of all of them the process may leave."""
        self._at_work.discard(name)
        if not self._at_work and self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _lose(self) -> None:
        self.died = bool(self._at_work)
        for worker_pool in self._crews.values():
            worker_pool.lose(EngineFailure("the engine process died"))
        if self.died:
            log.error("the engine process has died")
            self._on_death()

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """The process leaves when nobody can tell it anything any more."""
        self._near.close()
        try:
            self._process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
