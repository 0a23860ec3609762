"""Continuous batching: which requests join the next step of a worker and which ones end. Touches no tensor.

A worker pool has one `Queue` and one `Scheduler` per worker. Other threads only submit to the queue and cancel futures.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.engine.queue import Queue
from service.engine.types import EngineRequest, FinishedRequest

JOINING_SECONDS = 0.01  # as long newcomers may wait for others to join with them, and until the running step ends


def group_by_length(requests: list[EngineRequest]) -> list[list[EngineRequest]]:
    """Sort by source length; start a new group where a source exceeds twice the group's shortest plus 8 tokens.

    This bounds the padding of a group.
    """
    groups: list[list[EngineRequest]] = []
    for request in sorted(requests, key=lambda request: len(request.ids)):
        if groups and len(request.ids) <= 2 * len(groups[-1][0].ids) + 8:
            groups[-1].append(request)
        else:
            groups.append([request])
    return groups


@dataclass(frozen=True)
class IterationPlan:
    """The changes to the batch before the next step: drop `cancelled`, then add the groups in `joining`."""

    cancelled: list[EngineRequest]
    joining: list[list[EngineRequest]]


class Scheduler:
    """The running requests of one worker: dequeues them, and sets their results.

    `divide` returns the groups in which newcomers join one after the other.
    """

    def __init__(
        self, queue: Queue, divide: Callable[[list[EngineRequest]], list[list[EngineRequest]]] = group_by_length
    ) -> None:
        self.queue, self._worker, self._divide = queue, queue.add_worker(), divide
        # Running request -> when it joined, and the time to encode its group, both in seconds; the oldest first
        self._joined: dict[EngineRequest, tuple[float, float]] = {}
        self.rows = self._large_rows = 0
        self._caught_up = 0.0  # monotonic seconds: the last time at which no newcomer had to wait for others

    @property
    def running(self) -> list[EngineRequest]:
        """The running requests, in the order in which they joined."""
        return list(self._joined)

    def pick(self) -> IterationPlan | None:
        """Wait for work and plan the next iteration; None when the queue is closed and all requests are done.

        Newcomers may wait for others to join with them; the worker goes on with its steps meanwhile.
        """
        cancelled = [request for request in self._joined if request.cancelled]
        self._remove(cancelled)
        now = time.monotonic()
        if now - self._caught_up < JOINING_SECONDS and self.queue.too_few_can_join(self.rows):
            return IterationPlan(cancelled, [])
        self._caught_up = now
        requests = self.queue.dequeue(self._worker, self.rows, self._large_rows, wait=not cancelled)
        return None if requests is None else IterationPlan(cancelled, self._divide(requests))

    def admit(self, group: list[EngineRequest], encode_seconds: float = 0.0) -> None:
        """Record that the group has joined the batch."""
        joined = time.monotonic(), encode_seconds
        for request in group:
            self._joined[request] = joined
            self.rows += request.rows
            self._large_rows += request.rows if request.large else 0

    def reject(self, group: list[EngineRequest], error: Exception) -> None:
        """Fail the requests of a picked group that could not join the batch."""
        self.queue.release(self._worker, group)
        for request in group:
            request.future.set_exception(error)

    def settle(self, finished: Iterable[FinishedRequest]) -> None:
        """Set the results or errors of the requests that finished in a step, and free their rows."""
        now = time.monotonic()
        done = []
        for request, outcome in finished:
            done.append(request)
            if isinstance(outcome, Exception):
                request.future.set_exception(outcome)
                continue
            joined, encode_seconds = self._joined[request]
            outcome.queue_ms = 1000 * (joined - request.submitted)
            outcome.encode_ms = 1000 * encode_seconds
            outcome.compute_ms = 1000 * (now - joined)
            request.future.set_result(outcome)
        self._remove(done)

    def _remove(self, requests: list[EngineRequest]) -> None:
        if not requests:
            return
        for request in requests:
            del self._joined[request]
            self.rows -= request.rows
            self._large_rows -= request.rows if request.large else 0
        self.queue.release(self._worker, requests)

    def fail_running(self, error: Exception) -> None:
        """Fail every running request and free all rows."""
        for request in self._joined:
            request.future.set_exception(error)
        self._remove(self.running)
