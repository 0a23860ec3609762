"""Engines with predictable answers, driven by hand or failing on demand."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from service.engine.scheduler import Answer, Running, Ticket

PATIENCE = 20.0  # seconds a test waits for something that takes milliseconds


def nothing() -> None: ...


class EchoEngine:
    """Writes every ticket's source back, one token a step, from its own list of rows: a row out of place shows."""

    def __init__(self, on_join: Callable[[], None] = nothing, on_step: Callable[[], None] = nothing) -> None:
        self.on_join, self.on_step = on_join, on_step
        self.rows: list[Ticket] = []
        self.written: list[int] = []

    def join(self, group: list[Ticket]) -> None:
        self.on_join()
        self.rows += group
        self.written += [0] * len(group)

    def step(self) -> Sequence[Any]:
        self.on_step()
        tokens = [ticket.ids[count] for ticket, count in zip(self.rows, self.written, strict=True)]
        self.written = [count + 1 for count in self.written]
        return tokens

    def leave(self, rows: list[int]) -> None:
        for row in rows:
            for column in (self.rows, self.written):
                last: Any = column.pop()
                if row < len(column):
                    column[row] = last

    def clear(self) -> None:
        self.rows, self.written = [], []

    def advance(self, running: Running, token: int) -> Answer | None:
        running.ids.append(token)
        complete = len(running.ids) == len(running.ticket.ids)
        return Answer(ids=running.ids, probabilities=[1.0, 0.0, 0.0]) if complete else None


class Failing:
    """Raises at the calls of the given numbers, from 1."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.calls = numbers, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls in self.numbers:
            raise RuntimeError(f"call {self.calls}")


class HeldEngine(EchoEngine):
    """An echo whose every step waits for a permit; `entered` counts the steps begun."""

    def __init__(self) -> None:
        super().__init__(on_step=self._hold)
        self._changed = threading.Condition()
        self._permits = 0
        self.entered = 0

    def _hold(self) -> None:
        with self._changed:
            self.entered += 1
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._permits > 0, PATIENCE):
                raise TimeoutError("nobody lets the engine go on")
            self._permits -= 1

    def allow(self, steps: int) -> None:
        with self._changed:
            self._permits += steps
            self._changed.notify_all()

    def wait_for_step(self, number: int) -> None:
        """Until the step of that number has begun; it is held until it is allowed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= number, PATIENCE)


class Record:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, int]] = []
        self.steps: list[int] = []
        self.answers = 0
        self.failures = 0

    def encoded(self, tokens: int, padded: int, seconds: float) -> None:
        self.groups.append((tokens, padded))

    def stepped(self, rows: int, seconds: float) -> None:
        self.steps.append(rows)

    def answered(self, answers: int) -> None:
        self.answers += answers

    def failed(self) -> None:
        self.failures += 1
