"""The queue of one model's engine requests, shared by its workers."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.types import Ticket, fail


class QueueFull(Exception):
    """The request does not fit the queue; `waiting` segments are ahead of it."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} segments are waiting")
        self.waiting = waiting


class Closed(Exception):
    """The queue takes no more tickets: it is draining, or a worker has died."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of a model's queue and batches."""

    rows: int = 128  # running at once, of all workers together
    encode_tokens: int = 4096  # padded tokens that may join a worker's batch before one step
    queue_segments: int = 2048
    queue_tokens: int = 131_072

    def hold(self, segments: int, tokens: int) -> bool:
        """Whether so much may wait."""
        return segments <= self.queue_segments and tokens <= self.queue_tokens


class Queue:
    """The tickets of one model that wait, and how many rows its workers run."""

    def __init__(self, bounds: Bounds, workers: int = 1) -> None:
        self.bounds = bounds
        self.workers = workers
        self._waiting: deque[Ticket] = deque()
        self._tokens = self._rows_waiting = self._rows_running = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def rows(self) -> int:
        """Rows that one worker may run; a ticket that needs more never fits."""
        return max(1, self.bounds.rows // self.workers)

    @property
    def waiting(self) -> int:
        """Segments in the queue."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no ticket is taken any more."""
        return self._closed

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Admit all tickets of a request, or none.

        Raises:
            QueueFull: they do not fit beside what waits already.
            Closed: no ticket is taken any more.
        """
        tokens = sum(ticket.tokens for ticket in tickets)
        with self._changed:
            if self._closed:
                raise Closed("the model takes no more requests")
            if not self._fits(len(tickets), tokens):
                self._forget_withdrawn()
                if not self._fits(len(tickets), tokens):
                    raise QueueFull(len(self._waiting))
            self._waiting.extend(tickets)
            self._tokens += tokens
            self._rows_waiting += sum(ticket.rows for ticket in tickets)
            self._changed.notify_all()

    def _fits(self, segments: int, tokens: int) -> bool:
        return self.bounds.hold(len(self._waiting) + segments, self._tokens + tokens)

    def _forget_withdrawn(self) -> None:
        self._waiting = deque(ticket for ticket in self._waiting if not ticket.left)
        self._tokens = sum(ticket.tokens for ticket in self._waiting)
        self._rows_waiting = sum(ticket.rows for ticket in self._waiting)

    def take(self, occupied: int, wait: bool = True) -> list[Ticket] | None:
        """The next tickets for a worker that runs `occupied` rows; None when closed and nothing is left to do.

        Waits, if it may, while there is nothing to do at all. First come, first served, as many as fit the worker's
        rows, its fair share of all the work, and the encode budget.
        """
        with self._changed:
            while wait and not self._waiting and not occupied:
                if self._closed:
                    return None
                self._changed.wait()
            chosen = self._choose(occupied)
            self._rows_running += sum(ticket.rows for ticket in chosen)
            return chosen

    def _choose(self, occupied: int) -> list[Ticket]:
        """From the head of the queue; a worker below its share may pass it by its last ticket's rows."""
        share = -(-(self._rows_waiting + self._rows_running) // self.workers)
        chosen: list[Ticket] = []
        longest = 0
        while self._waiting and occupied < share:
            ticket = self._waiting[0]
            if not ticket.left:
                longest = max(longest, len(ticket.ids))
                if occupied + ticket.rows > self.rows:
                    break
                if chosen and longest * (len(chosen) + 1) > self.bounds.encode_tokens:
                    break
                chosen.append(ticket)
                occupied += ticket.rows
            self._waiting.popleft()
            self._tokens -= ticket.tokens
            self._rows_waiting -= ticket.rows
        return chosen

    def release(self, rows: int) -> None:
        """Rows that a worker ran are free."""
        with self._changed:
            self._rows_running -= rows

    def close(self) -> None:
        """Take no more tickets; those admitted are still answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Close, and fail every ticket that waits."""
        self.close()
        with self._changed:
            for ticket in self._waiting:
                fail(ticket, error)
            self._waiting.clear()
            self._tokens = self._rows_waiting = 0
