"""The engine process: all worker pools, in an interpreter of their own. `client.py` starts it.

    python -m service.engine.process LOG_FORMAT CONNECTION

A worker needs the interpreter lock several times between two steps. In the process that serves HTTP requests it would
wait for their threads each time.
"""

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from service.engine.cores import available_cores
from service.engine.device import DeviceError
from service.engine.factory import start_pools
from service.engine.interfaces import score_pool_id
from service.engine.process import messages
from service.engine.process.channel import MessageChannel, open_connection
from service.engine.process.runtime import configure_interpreter, freeze_gc, release_memory
from service.engine.queue import Closed
from service.engine.result_future import ResultFuture
from service.engine.types import EngineRequest, EngineResult, Sender
from service.engine.worker import LocalWorkerPool

log = logging.getLogger(__name__)

# The service's process comes first where both want a core: it answers probes and refuses overload, which must not wait
# for a step, and it is what gives this process its work. On several cores less is enough, and more does harm: Linux
# balances cores by the weight of their threads, and would put workers of little weight on the same core.
NICENESS, NICENESS_ON_ONE_CORE = 2, 5
# The service handles the signals that stop it: it drains, then closes the connection. SIGHUP may tell it to reload.
IGNORED_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
LAST_STEP_TIMEOUT = 10.0  # seconds for the running steps when the service has closed the connection


class PoolServer:
    """Serves one worker pool over the connection: submits its requests, and sends its events after each iteration.

    It is the observer of the pool's workers.
    """

    def __init__(self, id: str, channel: MessageChannel) -> None:
        self.id, self._channel = id, channel
        self._pool: LocalWorkerPool | None = None
        self._requests: dict[int, EngineRequest] = {}
        self._numbers: dict[EngineRequest, int] = {}
        self._events: deque[messages.Event] = deque()  # several threads append
        self._workers: dict[int, int] = {}  # numbers of the pool's workers, by thread
        self._sending = threading.Lock()

    def serve(self, pool: LocalWorkerPool) -> None:
        """Set the pool that requests are submitted to."""
        self._pool = pool

    def end(self) -> None:
        """Forget the pool, which is drained: it refers to this server, and would not be freed."""
        self._pool = None

    def submit(self, sender: Sender, requests: Sequence[messages.RequestMessage]) -> None:
        """Submit requests that the service has admitted."""
        assert self._pool is not None
        with suppress(Closed):  # a worker has died: the service knows, and fails the waiting requests itself
            self._pool.queue.submit_admitted([self._request(message, sender) for message in requests])

    def _request(self, message: messages.RequestMessage, sender: Sender) -> EngineRequest:
        number = message.number
        request = EngineRequest(
            message.ids, message.options, message.translation, sender=sender, submitted=message.submitted
        )
        if message.stream_tokens:
            request.on_token = lambda token: self._events.append(messages.TokenGenerated(number, token))
        self._requests[number], self._numbers[request] = request, number
        request.future.add_done_callback(lambda future: self._on_done(request, future))
        return request

    def cancel(self, number: int) -> None:
        """Cancel a request, unless it is done."""
        if (request := self._requests.get(number)) is not None:
            request.future.cancel()

    def cancel_all(self) -> None:
        """Cancel all requests."""
        for request in list(self._requests.values()):
            request.future.cancel()

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None:
        found = [self._numbers.get(request) for request in group]  # None for a request cancelled meanwhile
        numbers = [number for number in found if number is not None]
        self._events.append(messages.GroupEncoded(numbers, seconds, self._worker()))

    def on_step(self, rows: int, seconds: float) -> None:
        self._events.append(messages.StepComputed(rows, seconds, self._worker()))

    def _worker(self) -> int:
        """Return the number of the worker whose thread calls."""
        thread = threading.get_ident()
        number = self._workers.get(thread)
        if number is None:
            with self._sending:
                number = self._workers.setdefault(thread, len(self._workers))
        return number

    def on_finished(self, requests: int) -> None:
        self._events.append(messages.RequestsFinished(requests))

    def on_failure(self) -> None:
        self._events.append(messages.ComputationFailed())

    def on_iteration_end(self) -> None:
        """Send the events since the last message, in order."""
        assert self._pool is not None
        with self._sending:
            events = [self._events.popleft() for _ in range(len(self._events))]
            if events:
                self._channel.send(messages.PoolEvents(self.id, events, self._pool.pool_bytes, self._pool.queue.closed))

    def _on_done(self, request: EngineRequest, future: ResultFuture[EngineResult]) -> None:
        number = self._numbers.pop(request)
        del self._requests[number]
        if not future.cancelled():
            error = future.exception()
            self._events.append(
                messages.RequestDone(number, error if isinstance(error, Exception) else future.result())
            )


class PoolServers:
    """All worker pools of this process. Models are loaded and unloaded in threads, while others are served."""

    def __init__(self, channel: MessageChannel) -> None:
        self.pools: dict[str, LocalWorkerPool] = {}
        self._servers: dict[str, PoolServer] = {}
        self._channel = channel
        self._changes: set[threading.Thread] = set()

    def load(self, load: messages.LoadModels) -> None:
        """Load models, and start their worker pools."""
        started = start_pools(load.artifacts, load.pool_config, self._observer)
        for id, pool in started.pools.items():
            self._servers[id].serve(pool)
        self.pools.update(started.pools)
        self._channel.send(messages.ModelsLoaded({id: pool.size for id, pool in started.pools.items()}, started.faults))

    def _observer(self, id: str) -> PoolServer:
        return self._servers.setdefault(id, PoolServer(id, self._channel))

    def handle(self, command: messages.Command) -> None:
        """Carry out a command of the service that is not about the process itself."""
        match command:
            case messages.SubmitRequests():
                self._servers[command.pool].submit(command.sender, command.requests)
            case messages.CancelRequest():
                self._servers[command.pool].cancel(command.number)
            case messages.LoadModels():
                self._in_thread(partial(self._load_later, command))
            case messages.UnloadModel():
                self._in_thread(partial(self._unload, command.artifact))

    def _in_thread(self, change: Callable[[], None]) -> None:
        self._changes = {thread for thread in self._changes if thread.is_alive()}
        thread = threading.Thread(target=change, name="loader", daemon=True)
        self._changes.add(thread)
        thread.start()

    def _load_later(self, load: messages.LoadModels) -> None:
        """Load models beside those that are served, which an error must not end."""
        try:
            self.load(load)
        except Exception as error:
            log.exception("models cannot be loaded")
            fault = f"{type(error).__name__}: {error}"
            self._channel.send(messages.ModelsLoaded({}, {artifact.id: fault for artifact in load.artifacts}))

    def _unload(self, artifact: str) -> None:
        for id in (artifact, score_pool_id(artifact)):
            if pool := self.pools.get(id):
                pool.drain(LAST_STEP_TIMEOUT)
                self._servers.pop(id).end()
                del self.pools[id], pool
        release_memory()
        self._channel.send(messages.ModelUnloaded(artifact))

    def drain(self) -> bool:
        """Cancel all requests, and wait until no thread computes; return whether none does."""
        for server in self._servers.values():
            server.cancel_all()
        for thread in self._changes:
            thread.join(LAST_STEP_TIMEOUT)
        # A thread that still runs a graph when the interpreter exits would abort the process.
        return all([pool.drain(LAST_STEP_TIMEOUT) for pool in self.pools.values()])


class Heartbeat:
    """Answers pings from a thread of its own, because the thread that reads must never write."""

    def __init__(self, pools: Mapping[str, LocalWorkerPool], channel: MessageChannel) -> None:
        self._pools, self._channel = pools, channel
        self._asked = threading.Event()
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def ask(self) -> None:
        """Have a `Pong` sent; one answers all pings that have come before it."""
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            # Of a copy, as other threads load models; without a variable, which would keep unloaded ones until later.
            self._channel.send(messages.Pong([id for id, pool in list(self._pools.items()) if pool.stalled]))


def main(arguments: Sequence[str]) -> int:
    """Serve until the service closes the connection; return the exit status."""
    for ignored in IGNORED_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    log_format, connection = arguments
    configure_interpreter(log_format)
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS if available_cores() > 1 else NICENESS_ON_ONE_CORE)
    channel = MessageChannel(open_connection(connection))
    servers = PoolServers(channel)
    load: messages.LoadModels | None = channel.receive()
    if load is None:
        return 0
    try:
        servers.load(load)
    except DeviceError as error:
        channel.send(messages.CannotStart(str(error)))
        return 1
    except (MemoryError, OSError, RuntimeError) as error:  # no memory, no thread
        log.error("the engine process cannot start: %s: %s", type(error).__name__, error)  # noqa: TRY400 -- says it all
        return 1
    freeze_gc()
    heartbeat = Heartbeat(servers.pools, channel)
    while (commands := channel.receive()) is not None:
        for command in commands:
            if isinstance(command, messages.Ping):
                heartbeat.ask()
            else:
                servers.handle(command)
    return 0 if servers.drain() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
