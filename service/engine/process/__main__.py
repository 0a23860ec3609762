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
from collections.abc import Mapping, Sequence
from contextlib import suppress

from service.engine.cores import available_cores
from service.engine.device import DeviceError
from service.engine.factory import start_pools
from service.engine.process import messages
from service.engine.process.channel import MessageChannel, open_connection
from service.engine.process.runtime import configure_interpreter, freeze_gc
from service.engine.queue import Closed
from service.engine.result_future import ResultFuture
from service.engine.types import EngineRequest, EngineResult, Sender
from service.engine.worker import LocalWorkerPool

log = logging.getLogger(__name__)

# The service's process comes first where both want a core: it answers probes and refuses overload, which must not wait
# for a step, and it is what gives this process its work. On several cores less is enough, and more does harm: Linux
# balances cores by the weight of their threads, and would put workers of little weight on the same core.
NICENESS, NICENESS_ON_ONE_CORE = 2, 5
LAST_STEP_TIMEOUT = 10.0  # seconds for the running steps when the service has closed the connection


class PoolServer:
    """Serves one worker pool over the connection: submits its requests, and sends its events after each iteration.

    It is the observer of the pool's workers.
    """

    def __init__(self, name: str, channel: MessageChannel) -> None:
        self.name, self._channel = name, channel
        self._pool: LocalWorkerPool | None = None
        self._requests: dict[int, EngineRequest] = {}
        self._numbers: dict[EngineRequest, int] = {}
        self._events: deque[messages.Event] = deque()  # several threads append
        self._workers: dict[int, int] = {}  # numbers of the pool's workers, by thread
        self._sending = threading.Lock()

    def serve(self, pool: LocalWorkerPool) -> None:
        """Set the pool that requests are submitted to."""
        self._pool = pool

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
                self._channel.send(
                    messages.PoolEvents(self.name, events, self._pool.pool_bytes, self._pool.queue.closed)
                )

    def _on_done(self, request: EngineRequest, future: ResultFuture[EngineResult]) -> None:
        number = self._numbers.pop(request)
        del self._requests[number]
        if not future.cancelled():
            error = future.exception()
            self._events.append(
                messages.RequestDone(number, error if isinstance(error, Exception) else future.result())
            )


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
            self._channel.send(messages.Pong([name for name, pool in self._pools.items() if pool.stalled]))


def main(arguments: Sequence[str]) -> int:
    """Serve until the service closes the connection; return the exit status."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # the service handles them: it drains, then closes the connection
    log_format, connection = arguments
    configure_interpreter(log_format)
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS if available_cores() > 1 else NICENESS_ON_ONE_CORE)
    channel = MessageChannel(open_connection(connection))
    servers: dict[str, PoolServer] = {}

    def observer(name: str) -> PoolServer:
        return servers.setdefault(name, PoolServer(name, channel))

    load: messages.LoadModels | None = channel.receive()
    if load is None:
        return 0
    try:
        started = start_pools(load.artifacts, load.pool_config, observer)
    except DeviceError as error:
        channel.send(messages.CannotStart(str(error)))
        return 1
    except (MemoryError, OSError, RuntimeError) as error:  # no memory, no thread
        log.error("the engine process cannot start: %s: %s", type(error).__name__, error)  # noqa: TRY400 -- says it all
        return 1
    pools = started.pools
    for name, pool in pools.items():
        servers[name].serve(pool)
    freeze_gc()
    channel.send(messages.ModelsLoaded({name: pool.size for name, pool in pools.items()}, started.faults))
    heartbeat = Heartbeat(pools, channel)
    while (commands := channel.receive()) is not None:
        for command in commands:
            if isinstance(command, messages.SubmitRequests):
                servers[command.pool].submit(command.sender, command.requests)
            elif isinstance(command, messages.CancelRequest):
                servers[command.pool].cancel(command.number)
            else:
                heartbeat.ask()
    for server in servers.values():
        server.cancel_all()
    # A thread that still runs a graph when the interpreter exits would abort the process.
    return 0 if all([pool.drain(LAST_STEP_TIMEOUT) for pool in pools.values()]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
