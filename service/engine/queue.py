"""The queue of one worker pool, shared by its workers."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.types import EngineRequest, fail


class QueueFull(Exception):
    """The requests do not fit into the queue; `waiting` segments are ahead of them."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} segments are waiting")
        self.waiting = waiting


class Closed(Exception):
    """The queue accepts no more requests: it is draining, or a worker has died."""


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """The limits of one worker pool's queue and batches."""

    rows: int = 128  # running at the same time, all workers together
    encode_tokens: int = 4096  # padded source tokens that may join a worker's batch before one step
    queue_segments: int = 2048
    queue_tokens: int = 131_072

    def allows(self, segments: int, tokens: int) -> bool:
        """Return whether a queue of this many segments and tokens is within the limits."""
        return segments <= self.queue_segments and tokens <= self.queue_tokens


class Queue:
    """The waiting requests of one worker pool, and the number of rows that its workers run."""

    def __init__(self, limits: QueueLimits, workers: int = 1) -> None:
        self.limits = limits
        self.workers = workers
        self._waiting: deque[EngineRequest] = deque()
        self._tokens = self._rows_waiting = self._rows_running = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run; a request that needs more is never scheduled."""
        return max(1, self.limits.rows // self.workers)

    @property
    def waiting(self) -> int:
        """Segments in the queue."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether the queue accepts no more requests."""
        return self._closed

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Add all of the requests, or none of them.

        Raises:
            QueueFull: they exceed the limits together with the requests that already wait.
            Closed: the queue accepts no more requests.
        """
        self._add(requests, bounded=True)

    def submit_admitted(self, requests: Sequence[EngineRequest]) -> None:
        """Add requests that were admitted elsewhere, however many wait: the limits apply once, where they are admitted.

        Raises:
            Closed: the queue accepts no more requests.
        """
        self._add(requests, bounded=False)

    def _add(self, requests: Sequence[EngineRequest], *, bounded: bool) -> None:
        tokens = sum(request.tokens for request in requests)
        with self._changed:
            if self._closed:
                raise Closed("the model takes no more requests")
            if not self._fits(len(requests), tokens):
                self._remove_cancelled()
                if bounded and not self._fits(len(requests), tokens):
                    raise QueueFull(len(self._waiting))
            self._waiting.extend(requests)
            self._tokens += tokens
            self._rows_waiting += sum(request.rows for request in requests)
            self._changed.notify_all()

    def _fits(self, segments: int, tokens: int) -> bool:
        return self.limits.allows(len(self._waiting) + segments, self._tokens + tokens)

    def _remove_cancelled(self) -> None:
        self._waiting = deque(request for request in self._waiting if not request.cancelled)
        self._tokens = sum(request.tokens for request in self._waiting)
        self._rows_waiting = sum(request.rows for request in self._waiting)

    def dequeue(self, running_rows: int, wait: bool = True) -> list[EngineRequest] | None:
        """Return the next requests for a worker that runs `running_rows` rows; None when closed and empty.

        First come, first served: as many requests as fit into the worker's rows, its fair share of all rows, and the
        encode budget. Blocks while nothing waits and the worker runs nothing, unless `wait` is False.
        """
        with self._changed:
            while wait and not self._waiting and not running_rows:
                if self._closed:
                    return None
                self._changed.wait()
            selected = self._select(running_rows)
            self._rows_running += sum(request.rows for request in selected)
            return selected

    def _select(self, occupied: int) -> list[EngineRequest]:
        """Remove requests from the head of the queue; the last one may take the worker beyond its fair share."""
        share = -(-(self._rows_waiting + self._rows_running) // self.workers)
        selected: list[EngineRequest] = []
        longest = 0
        while self._waiting and occupied < share:
            request = self._waiting[0]
            if not request.cancelled:
                longest = max(longest, len(request.ids))
                if occupied + request.rows > self.rows_per_worker:
                    break
                if selected and longest * (len(selected) + 1) > self.limits.encode_tokens:
                    break
                selected.append(request)
                occupied += request.rows
            self._waiting.popleft()
            self._tokens -= request.tokens
            self._rows_waiting -= request.rows
        return selected

    def release(self, rows: int) -> None:
        """Count the rows of finished requests as free."""
        with self._changed:
            self._rows_running -= rows

    def close(self) -> None:
        """Accept no more requests; the waiting ones are still computed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail_waiting(self, error: Exception) -> None:
        """Close, and fail every waiting request."""
        self.close()
        with self._changed:
            for request in self._waiting:
                fail(request, error)
            self._waiting.clear()
            self._tokens = self._rows_waiting = 0
