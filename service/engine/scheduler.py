"""Who waits, who runs, who joins the next step and who leaves. No tensor is touched here.

A model has one Queue and, for each of its workers, a Scheduler. Admission is the only thing that other threads do.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from service.engine.queue import Queue
from service.engine.types import EngineRequest, FinishedRequest, fail, resolve


@dataclass(frozen=True)
class IterationPlan:
    """What happens before the next step: these requests are dropped, then these groups join."""

    leave: list[EngineRequest]
    join: list[list[EngineRequest]]


class Scheduler:
    """The requests that one worker runs: it takes them from the model's queue and settles what became of them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._joined: dict[EngineRequest, float] = {}  # when each request joined, in the order in which they did
        self.rows = 0

    @property
    def running(self) -> list[EngineRequest]:
        """The requests that run, in the order in which they joined."""
        return list(self._joined)

    def pick(self) -> IterationPlan | None:
        """Wait until there is something to do and say what; None when closed and everything is done."""
        leave = [request for request in self._joined if request.cancelled]
        self._forget(leave)
        newcomers = self.queue.take(self.rows, wait=not leave)
        return None if newcomers is None else IterationPlan(leave, group_by_length(newcomers))

    def admit(self, group: list[EngineRequest]) -> None:
        """The group has joined."""
        now = time.monotonic()
        for request in group:
            self._joined[request] = now
            self.rows += request.rows

    def reject(self, group: list[EngineRequest], error: Exception) -> None:
        """The group that was picked could not join: its requests get the error."""
        self.queue.release(sum(request.rows for request in group))
        for request in group:
            fail(request, error)

    def settle(self, finished: Iterable[FinishedRequest]) -> None:
        """Answer the requests that left their rows in a step, or tell them what went wrong."""
        now = time.monotonic()
        left = []
        for request, outcome in finished:
            left.append(request)
            if isinstance(outcome, Exception):
                fail(request, outcome)
                continue
            joined = self._joined[request]
            outcome.queue_ms = 1000 * (joined - request.submitted)
            outcome.compute_ms = 1000 * (now - joined)
            resolve(request, outcome)
        self._forget(left)

    def _forget(self, requests: list[EngineRequest]) -> None:
        if not requests:
            return
        for request in requests:
            del self._joined[request]
        rows = sum(request.rows for request in requests)
        self.rows -= rows
        self.queue.release(rows)

    def fail_running(self, error: Exception) -> None:
        """Every running request gets the error; the rows are free."""
        for request in self._joined:
            fail(request, error)
        self._forget(self.running)


def group_by_length(requests: list[EngineRequest]) -> list[list[EngineRequest]]:
    """Sort by length and cut where a group's longest would pass twice its shortest plus 8 tokens of padding room."""
    groups: list[list[EngineRequest]] = []
    for request in sorted(requests, key=lambda request: len(request.ids)):
        if groups and len(request.ids) <= 2 * len(groups[-1][0].ids) + 8:
            groups[-1].append(request)
        else:
            groups.append([request])
    return groups
