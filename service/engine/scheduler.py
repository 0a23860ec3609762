"""Who waits, who runs, who joins the next step and who leaves. No tensor is touched here.

A model has one Queue and, for each of its workers, a Scheduler. Admission is the only thing that other threads do.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np

from service.engine.decoding.options import Options


@dataclass
class Hypothesis:
    """One translation: ids without marks, why they end, and its score and tokens' log-probabilities where asked for."""

    ids: list[int]
    finish_reason: str = "stop"  # stop | length | loop
    score: float | None = None
    log_probabilities: list[float] = field(default_factory=list)


@dataclass
class Answer:
    """What became of a ticket: hypotheses, best first, or class probabilities; and the time it took.

    A scored translation is its one hypothesis; `attention` (T, S) says where the decoder looked when it wrote each of
    its tokens and the end mark.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    attention: np.ndarray | None = None
    queue_ms: float = 0.0
    compute_ms: float = 0.0

    @staticmethod
    def of_classes(probabilities: list[float]) -> "Answer":
        """A classification."""
        return Answer(probabilities=probabilities)

    @property
    def ids(self) -> list[int]:
        """Target ids of the best hypothesis; none for a classification."""
        return self.hypotheses[0].ids if self.hypotheses else []

    @property
    def finish_reason(self) -> str:
        return self.hypotheses[0].finish_reason if self.hypotheses else "stop"


@dataclass(eq=False)
class Ticket:
    """A tokenised segment waiting for its answer. Cancelling the future withdraws it, waiting or running."""

    ids: list[int]  # source, marks included
    options: Options = Options()
    translation: list[int] | None = None  # to be scored, without marks
    future: "Future[Answer]" = field(default_factory=Future)
    # Told each token of a search that writes them as they come, in the worker's thread; it must be quick.
    on_token: Callable[[int], None] | None = None
    submitted: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        """Rows that it takes while it runs."""
        return self.options.rows

    @property
    def tokens(self) -> int:
        """Tokens that are given."""
        return len(self.ids) + len(self.translation or ())

    @property
    def left(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.future.done()


# A ticket that leaves its rows, with its answer or with what went wrong for it alone.
Finished = tuple[Ticket, Answer | Exception]


@dataclass(frozen=True)
class Plan:
    """What happens before the next step: these tickets are dropped, then these groups join."""

    leave: list[Ticket]
    join: list[list[Ticket]]


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


class Scheduler:
    """The tickets that one worker runs: it takes them from the model's queue and settles what became of them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._joined: dict[Ticket, float] = {}  # when each ticket joined, in the order in which they did
        self.rows = 0

    @property
    def running(self) -> list[Ticket]:
        """The tickets that run, in the order in which they joined."""
        return list(self._joined)

    def pick(self) -> Plan | None:
        """Wait until there is something to do and say what; None when closed and everything is done."""
        leave = [ticket for ticket in self._joined if ticket.left]
        self._forget(leave)
        newcomers = self.queue.take(self.rows, wait=not leave)
        return None if newcomers is None else Plan(leave, group_by_length(newcomers))

    def seat(self, group: list[Ticket]) -> None:
        """The group has joined."""
        now = time.monotonic()
        for ticket in group:
            self._joined[ticket] = now
            self.rows += ticket.rows

    def refuse(self, group: list[Ticket], error: Exception) -> None:
        """The group that was picked could not join: its tickets get the error."""
        self.queue.release(sum(ticket.rows for ticket in group))
        for ticket in group:
            fail(ticket, error)

    def settle(self, finished: Iterable[Finished]) -> None:
        """Answer the tickets that left their rows in a step, or tell them what went wrong."""
        now = time.monotonic()
        left = []
        for ticket, outcome in finished:
            left.append(ticket)
            if isinstance(outcome, Exception):
                fail(ticket, outcome)
                continue
            joined = self._joined[ticket]
            outcome.queue_ms = 1000 * (joined - ticket.submitted)
            outcome.compute_ms = 1000 * (now - joined)
            resolve(ticket, outcome)
        self._forget(left)

    def _forget(self, tickets: list[Ticket]) -> None:
        if not tickets:
            return
        for ticket in tickets:
            del self._joined[ticket]
        rows = sum(ticket.rows for ticket in tickets)
        self.rows -= rows
        self.queue.release(rows)

    def fail_running(self, error: Exception) -> None:
        """Every running ticket gets the error; the rows are free."""
        for ticket in self._joined:
            fail(ticket, error)
        self._forget(self.running)


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
