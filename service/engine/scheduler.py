"""Who waits, who runs, who joins the next step and who leaves. No tensor is touched here.

Admission is the only method called by other threads; everything else belongs to the worker.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What became of a ticket: target ids and why they end, or class probabilities; and the time it took."""

    ids: list[int] = field(default_factory=list)
    finish_reason: str = "stop"  # stop | length
    probabilities: list[float] = field(default_factory=list)
    queue_ms: float = 0.0
    compute_ms: float = 0.0


@dataclass(eq=False)
class Ticket:
    """A tokenised segment waiting for its answer. Cancelling the future withdraws it, waiting or running."""

    ids: list[int]  # source, marks included
    max_length: int = 1  # target tokens; a classification has no use for it
    future: "Future[Answer]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Running:
    """A ticket that occupies a row."""

    ticket: Ticket
    joined: float
    ids: list[int] = field(default_factory=list)

    @property
    def left(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.ticket.future.done()


@dataclass(frozen=True)
class Plan:
    """What happens before the next step: these rows are dropped in this order, then these groups join."""

    leave: list[int]
    join: list[list[Ticket]]


class QueueFull(Exception):
    """The request does not fit the queue; `waiting` segments are ahead of it."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} segments are waiting")
        self.waiting = waiting


class Closed(Exception):
    """The scheduler takes no more tickets: it is draining, or its worker has died."""


@dataclass(frozen=True)
class Bounds:
    """The scheduler's limits."""

    rows: int = 64  # running at once
    encode_tokens: int = 4096  # padded tokens that may join before one step
    queue_segments: int = 2048
    queue_tokens: int = 131_072


# What a row's output of a step means for it: the finished answer, or None to go on.
Advance = Callable[[Running, Any], Answer | None]


class Scheduler:
    """The queue and the list of running rows, of one model."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.running: list[Running] = []
        self._waiting: deque[Ticket] = deque()
        self._waiting_tokens = 0
        self._changed = threading.Condition()
        self._closed = False

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
        tokens = sum(len(ticket.ids) for ticket in tickets)
        with self._changed:
            if self._closed:
                raise Closed("the model takes no more requests")
            if not self._fits(len(tickets), tokens):
                self._forget_withdrawn()
                if not self._fits(len(tickets), tokens):
                    raise QueueFull(len(self._waiting))
            self._waiting.extend(tickets)
            self._waiting_tokens += tokens
            self._changed.notify()

    def _fits(self, segments: int, tokens: int) -> bool:
        full = len(self._waiting) + segments > self.bounds.queue_segments
        return not full and self._waiting_tokens + tokens <= self.bounds.queue_tokens

    def _forget_withdrawn(self) -> None:
        self._waiting = deque(ticket for ticket in self._waiting if not ticket.future.done())
        self._waiting_tokens = sum(len(ticket.ids) for ticket in self._waiting)

    def pick(self) -> Plan | None:
        """Wait until there is something to do and say what; None when closed and everything is done."""
        with self._changed:
            while not self._waiting and not self.running:
                if self._closed:
                    return None
                self._changed.wait()
            leave = self._drop([row for row, running in enumerate(self.running) if running.left])
            return Plan(leave, self._newcomers(self.bounds.rows - len(self.running)))

    def _newcomers(self, places: int) -> list[list[Ticket]]:
        """First come, first served, as many as fit rows and encode budget; then grouped by length."""
        chosen: list[Ticket] = []
        longest = 0
        while self._waiting and len(chosen) < places:
            ticket = self._waiting[0]
            if not ticket.future.done():
                longest = max(longest, len(ticket.ids))
                if chosen and longest * (len(chosen) + 1) > self.bounds.encode_tokens:
                    break
                chosen.append(ticket)
            self._waiting.popleft()
            self._waiting_tokens -= len(ticket.ids)
        return group_by_length(chosen)

    def seat(self, group: list[Ticket]) -> None:
        """The group has joined: its tickets occupy the rows after the last one."""
        now = time.monotonic()
        self.running.extend(Running(ticket, now) for ticket in group)

    def settle(self, outputs: Sequence[Any], advance: Advance) -> list[int]:
        """Give every row its output of the step, answer the finished ones; their rows are dropped in the order given.

        Raises:
            ValueError: there is not one output for each row.
        """
        if len(outputs) != len(self.running):
            raise ValueError(f"{len(outputs)} outputs for {len(self.running)} rows")
        finished = []
        for row, (running, output) in enumerate(zip(self.running, outputs, strict=True)):
            answer = advance(running, output)
            if answer is not None:
                answer.queue_ms = 1000 * (running.joined - running.ticket.submitted)
                answer.compute_ms = 1000 * (time.monotonic() - running.joined)
                resolve(running.ticket, answer)
                finished.append(row)
        return self._drop(finished)

    def _drop(self, rows: list[int]) -> list[int]:
        """Remove rows, from the last to the first, each time moving the last row into the hole."""
        for row in reversed(rows):
            last = self.running.pop()
            if row < len(self.running):
                self.running[row] = last
        return rows[::-1]

    def fail_running(self, error: Exception) -> None:
        """Every running ticket gets the error; the rows are free."""
        for running in self.running:
            fail(running.ticket, error)
        self.running = []

    def close(self) -> None:
        """Take no more tickets; those admitted are still answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def fail_all(self, error: Exception) -> None:
        """Close, and fail every ticket, running or waiting."""
        self.close()
        self.fail_running(error)
        with self._changed:
            for ticket in self._waiting:
                fail(ticket, error)
            self._waiting.clear()
            self._waiting_tokens = 0


def group_by_length(tickets: list[Ticket]) -> list[list[Ticket]]:
    """Sort by length and cut where a group's longest would pass twice its shortest plus 8 tokens of padding room."""
    groups: list[list[Ticket]] = []
    for ticket in sorted(tickets, key=lambda ticket: len(ticket.ids)):
        if groups and len(ticket.ids) <= 2 * len(groups[-1][0].ids) + 8:
            groups[-1].append(ticket)
        else:
            groups.append([ticket])
    return groups


def resolve(ticket: Ticket, answer: Answer) -> None:
    """Answer a ticket, unless its caller left at this very moment."""
    try:
        ticket.future.set_result(answer)
    except InvalidStateError:
        return


def fail(ticket: Ticket, error: Exception) -> None:
    """Fail a ticket, unless it is answered or withdrawn."""
    try:
        ticket.future.set_exception(error)
    except InvalidStateError:
        return
