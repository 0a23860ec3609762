"""The queue of one model's engine requests, shared by its workers."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.types import EngineRequest, fail


class QueueFull(Exception):
    """The request does not fit the queue; `waiting` segments are ahead of it."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} segments are waiting")
        self.waiting = waiting


class Closed(Exception):
    """The queue takes no more requests: it is draining, or a worker has died."""


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """The limits of a model's queue and batches."""

    rows: int = 128  # running at once, of all workers together
    encode_tokens: int = 4096  # padded tokens that may join a worker's batch before one step
    queue_segments: int = 2048
    queue_tokens: int = 131_072

    def allows(self, segments: int, tokens: int) -> bool:
        """Whether so much may wait."""
        return segments <= self.queue_segments and tokens <= self.queue_tokens


class Queue:
    """The requests of one model that wait, and how many rows its workers run."""

    def __init__(self, limits: QueueLimits, workers: int = 1) -> None:
        self.limits = limits
        self.workers = workers
        self._waiting: deque[EngineRequest] = deque()
        self._tokens = self._rows_waiting = self._rows_running = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run; a request that needs more never fits."""
        return max(1, self.limits.rows // self.workers)

    @property
    def waiting(self) -> int:
        """Segments in the queue."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no request is taken any more."""
        return self._closed

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Admit all requests of a request, or none.

        Raises:
            QueueFull: they do not fit beside what waits already.
            Closed: no request is taken any more.
        """
        tokens = sum(request.tokens for request in requests)
        with self._changed:
            if self._closed:
                raise Closed("the model takes no more requests")
            if not self._fits(len(requests), tokens):
                self._forget_withdrawn()
                if not self._fits(len(requests), tokens):
                    raise QueueFull(len(self._waiting))
            self._waiting.extend(requests)
            self._tokens += tokens
            self._rows_waiting += sum(request.rows for request in requests)
            self._changed.notify_all()

    def _fits(self, segments: int, tokens: int) -> bool:
        return self.limits.allows(len(self._waiting) + segments, self._tokens + tokens)

    def _forget_withdrawn(self) -> None:
        self._waiting = deque(request for request in self._waiting if not request.cancelled)
        self._tokens = sum(request.tokens for request in self._waiting)
        self._rows_waiting = sum(request.rows for request in self._waiting)

    def take(self, occupied: int, wait: bool = True) -> list[EngineRequest] | None:
        """The next requests for a worker that runs `occupied` rows; None when closed and nothing is left to do.

        Waits, if it may, while there is nothing to do at all. First come, first served, as many as fit the worker's
        rows, its fair share of all the work, and the encode budget.
        """
        with self._changed:
            while wait and not self._waiting and not occupied:
                if self._closed:
                    return None
                self._changed.wait()
            chosen = self._choose(occupied)
            self._rows_running += sum(request.rows for request in chosen)
            return chosen

    def _choose(self, occupied: int) -> list[EngineRequest]:
        """From the head of the queue; a worker below its share may pass it by its last request's rows."""
        share = -(-(self._rows_waiting + self._rows_running) // self.workers)
        chosen: list[EngineRequest] = []
        longest = 0
        while self._waiting and occupied < share:
            request = self._waiting[0]
            if not request.cancelled:
                longest = max(longest, len(request.ids))
                if occupied + request.rows > self.rows_per_worker:
                    break
                if chosen and longest * (len(chosen) + 1) > self.limits.encode_tokens:
                    break
                chosen.append(request)
                occupied += request.rows
            self._waiting.popleft()
            self._tokens -= request.tokens
            self._rows_waiting -= request.rows
        return chosen

    def release(self, rows: int) -> None:
        """Rows that a worker ran are free."""
        with self._changed:
            self._rows_running -= rows

    def close(self) -> None:
        """Take no more requests; those admitted are still answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Close, and fail every request that waits."""
        self.close()
        with self._changed:
            for request in self._waiting:
                fail(request, error)
            self._waiting.clear()
            self._tokens = self._rows_waiting = 0
