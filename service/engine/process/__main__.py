"""The engine process: all worker pools, in an interpreter that reads no requests. `service/engine/process/client.py`
starts
it.

    python -m service.engine.process DESCRIPTOR

A worker needs Python several times between two steps, and in the interpreter that reads requests it would have to wait
for those every time.
"""

import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from service.artifact import ArtifactError
from service.engine.factory import start_pools
from service.engine.process import messages
from service.engine.process.runtime import configure_interpreter, freeze_gc
from service.engine.queue import Closed
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import LocalWorkerPool

LAST_STEP = 10.0  # seconds for the steps that run when the service has gone


class Pipe:
    """The engine process's end; workers and the thread that reads write to it."""

    def __init__(self, descriptor: int) -> None:
        self._connection, self._lock = Connection(descriptor), threading.Lock()

    def read(self) -> Any:
        """The next message; None when the service has gone."""
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError):
            return None

    def write(self, reply: messages.Reply) -> None:
        """Nothing is written to a service that has gone."""
        try:
            with self._lock:
                self._connection.send(reply)
        except ConnectionError:
            return


class PoolServer:
    """Takes a worker pool's requests from the pipe, writes down what happens to them, and reports it when a turn
    ends."""

    def __init__(self, name: str, pipe: Pipe) -> None:
        self.name, self._pipe = name, pipe
        self._worker_pool: LocalWorkerPool | None = None
        self._requests: dict[int, EngineRequest] = {}
        self._numbers: dict[EngineRequest, int] = {}
        self._events: deque[messages.Event] = deque()  # several threads append
        self._reporting = threading.Lock()

    def serve(self, worker_pool: LocalWorkerPool) -> None:
        """From now on requests may come for this worker pool."""
        self._worker_pool = worker_pool

    def submit(self, messages_in: Sequence[messages.RequestMessage]) -> None:
        """Hand in what the service has admitted."""
        assert self._worker_pool is not None
        with suppress(Closed):  # the service has been told that a worker died, and fails what waits by itself
            self._worker_pool.queue.submit([self._request(one) for one in messages_in])

    def _request(self, messages_in: messages.RequestMessage) -> EngineRequest:
        number = messages_in.number
        request = EngineRequest(
            messages_in.ids, messages_in.options, messages_in.translation, submitted=messages_in.submitted
        )
        if messages_in.listening:
            request.on_token = lambda token: self._events.append(messages.TokenGenerated(number, token))
        self._requests[number], self._numbers[request] = request, number
        request.future.add_done_callback(lambda future: self._ended(request, future))
        return request

    def withdraw(self, number: int) -> None:
        """Nobody waits for the request any more."""
        if (request := self._requests.get(number)) is not None:
            request.future.cancel()

    def leave(self) -> None:
        """Nobody waits for any request any more."""
        for request in list(self._requests.values()):
            request.future.cancel()

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None:
        numbers = [self._numbers.get(request) for request in group]  # none of those that are withdrawn
        self._events.append(messages.Encoded([number for number in numbers if number is not None], seconds))

    def on_step(self, rows: int, seconds: float) -> None:
        self._events.append(messages.Stepped(rows, seconds))

    def on_finished(self, requests: int) -> None:
        self._events.append(messages.RequestsAnswered(requests))

    def on_failure(self) -> None:
        self._events.append(messages.StepFailed())

    def on_iteration_end(self) -> None:
        """Report what has happened, in the order in which it did."""
        assert self._worker_pool is not None
        with self._reporting:
            events = [self._events.popleft() for _ in range(len(self._events))]
            if events:
                self._pipe.write(
                    messages.Report(self.name, events, self._worker_pool.pool_bytes, self._worker_pool.queue.closed)
                )

    def _ended(self, request: EngineRequest, future: "Future[EngineResult]") -> None:
        number = self._numbers.pop(request)
        del self._requests[number]
        if not future.cancelled():
            error = future.exception()
            self._events.append(
                messages.RequestDone(number, error if isinstance(error, Exception) else future.result())
            )


def main(arguments: Sequence[str]) -> int:
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # they tell the service, which answers what it took before it leaves
    configure_interpreter()
    pipe = Pipe(int(arguments[0]))
    clerks: dict[str, PoolServer] = {}

    def observer(name: str) -> PoolServer:
        return clerks.setdefault(name, PoolServer(name, pipe))

    opening: messages.LoadModels | None = pipe.read()
    if opening is None:
        return 0
    try:
        worker_pools = start_pools(opening.artifacts, opening.pool_config, observer)
    except ArtifactError as error:
        pipe.write(error)
        return 1
    for name, worker_pool in worker_pools.items():
        clerks[name].serve(worker_pool)
    freeze_gc()
    pipe.write(messages.ModelsLoaded(list(worker_pools)))
    while (commands := pipe.read()) is not None:
        for command in commands:
            if isinstance(command, messages.SubmitRequests):
                clerks[command.worker_pool].submit(command.requests)
            else:
                clerks[command.worker_pool].withdraw(command.number)
    for clerk in clerks.values():
        clerk.leave()
    # A thread that still runs a graph when the interpreter ends would abort the process.
    return 0 if all([worker_pool.drain(LAST_STEP) for worker_pool in worker_pools.values()]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
