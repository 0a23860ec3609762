"""One thread a model: it owns queue, state and session. Its loop is pick, step, settle."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from service.engine.scheduler import Answer, Plan, Running, Scheduler, Ticket, fail

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What computes. Rows are numbered in the order in which they joined, holes filled by the last row."""

    def join(self, group: list[Ticket]) -> None: ...
    def step(self) -> Sequence[Any]: ...
    def leave(self, rows: list[int]) -> None: ...
    def clear(self) -> None: ...
    def advance(self, running: Running, output: Any) -> Answer | None: ...


class Observer(Protocol):
    """Who is told what the worker does."""

    def encoded(self, tokens: int, padded: int, seconds: float) -> None: ...
    def stepped(self, rows: int, seconds: float) -> None: ...
    def answered(self, answers: int) -> None: ...
    def failed(self) -> None: ...


class EngineFailure(Exception):
    """A step failed inside the engine; the tickets of that step fail with it, the next ones are served."""


class Worker:
    """Runs an engine in a thread until it is drained, or dies with its death seen."""

    def __init__(self, name: str, engine: Engine, scheduler: Scheduler, observer: Observer) -> None:
        self.engine, self.scheduler, self.observer = engine, scheduler, observer
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether tickets are being served."""
        return self._thread.is_alive()

    def drain(self, timeout: float) -> bool:
        """Take no more tickets, answer those admitted; False when that took longer than `timeout` seconds."""
        self.scheduler.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (plan := self.scheduler.pick()) is not None:
                self._step(plan)
        except BaseException as error:
            log.exception("%s died", self._thread.name)
            self.scheduler.fail_all(EngineFailure(f"the worker died: {type(error).__name__}"))

    def _step(self, plan: Plan) -> None:
        self.engine.leave(plan.leave)
        for group in plan.join:
            self._join(group)
        rows = len(self.scheduler.running)
        if not rows:
            return
        started = time.perf_counter()
        try:
            outputs = self.engine.step()
        except Exception as error:
            log.exception("a step of %d rows failed", rows)
            self.observer.failed()
            self.engine.clear()
            self.scheduler.fail_running(EngineFailure(f"the step failed: {type(error).__name__}"))
            return
        self.observer.stepped(rows, time.perf_counter() - started)
        finished = self.scheduler.settle(outputs, self.engine.advance)
        self.engine.leave(finished)
        self.observer.answered(len(finished))

    def _join(self, group: list[Ticket]) -> None:
        started = time.perf_counter()
        try:
            self.engine.join(group)
        except Exception as error:
            log.exception("encoding a group of %d failed", len(group))
            self.observer.failed()
            for ticket in group:
                fail(ticket, EngineFailure(f"encoding failed: {type(error).__name__}"))
            return
        self.scheduler.seat(group)
        lengths = [len(ticket.ids) for ticket in group]
        self.observer.encoded(sum(lengths), len(lengths) * max(lengths), time.perf_counter() - started)
