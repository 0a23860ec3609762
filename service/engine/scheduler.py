"""Who waits, who runs, who joins the next step and who leaves. No tensor is touched here.

A model has one Queue and, for each of its workers, a Scheduler. Admission is the only thing that other threads do.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from service.engine.queue import Queue
from service.engine.types import Finished, Ticket, fail, resolve


@dataclass(frozen=True)
class Plan:
    """What happens before the next step: these tickets are dropped, then these groups join."""

    leave: list[Ticket]
    join: list[list[Ticket]]


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
