"""The threads of a model: each owns a batch, its state and its scheduler. Their loop is pick, step, settle."""

import logging
import threading
import time
from typing import Protocol

from service.engine.interfaces import Observer
from service.engine.queue import Queue
from service.engine.scheduler import IterationPlan, Scheduler
from service.engine.types import EngineRequest, FinishedRequest

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What computes. A request that joined is stepped until the step that finishes it; then its rows are free."""

    def join(self, group: list[EngineRequest]) -> None: ...
    def step(self) -> list[FinishedRequest]: ...
    def drop(self, requests: list[EngineRequest]) -> None: ...
    def clear(self) -> None: ...
    @property
    def pool_bytes(self) -> int: ...


class EngineFailure(Exception):
    """The engine failed on a request; the others are served."""


class Worker:
    """Runs an engine in a thread until its queue is drained, or dies with its death seen."""

    def __init__(self, name: str, engine: Engine, queue: Queue, observer: Observer) -> None:
        self.engine, self.observer = engine, observer
        self.scheduler = Scheduler(queue)
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests are being served."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> bool:
        """Wait until the queue is closed and drained; False when that took longer than `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        plan: IterationPlan | None = None
        try:
            while (plan := self.scheduler.pick()) is not None:
                self._step(plan)
                self.observer.on_iteration_end()
        except BaseException as error:
            log.exception("%s died", self._thread.name)
            failure = EngineFailure(f"the worker died: {type(error).__name__}")
            for group in plan.join if plan else ():  # picked, and in no batch yet
                self.scheduler.reject(group, failure)
            self.scheduler.fail_running(failure)
            self.scheduler.queue.fail(failure)
            self.observer.on_iteration_end()

    def _step(self, plan: IterationPlan) -> None:
        self.engine.drop(plan.leave)
        while plan.join:
            self._join(plan.join.pop(0))
        rows = self.scheduler.rows
        if not rows:
            return
        started = time.perf_counter()
        try:
            finished = self.engine.step()
        except Exception as error:
            log.exception("a step of %d rows failed", rows)
            self.observer.on_failure()
            self.engine.clear()
            self.scheduler.fail_running(EngineFailure(f"the step failed: {type(error).__name__}"))
            return
        self.observer.on_step(rows, time.perf_counter() - started)
        self.scheduler.settle(finished)
        self.observer.on_finished(len(finished))

    def _join(self, group: list[EngineRequest]) -> None:
        started = time.perf_counter()
        try:
            self.engine.join(group)
        except Exception as error:
            log.exception("encoding a group of %d failed", len(group))
            self.observer.on_failure()
            self.scheduler.reject(group, EngineFailure(f"encoding failed: {type(error).__name__}"))
            return
        self.scheduler.admit(group)
        self.observer.on_encoded(group, time.perf_counter() - started)


class LocalWorkerPool:
    """The workers of one model in threads of this process, and their queue."""

    def __init__(self, name: str, engines: list[Engine], queue: Queue, observer: Observer) -> None:
        self.queue = queue
        self.workers = [Worker(f"{name}-{i}", engine, queue, observer) for i, engine in enumerate(engines)]

    def start(self) -> None:
        for worker in self.workers:
            worker.start()

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.workers)

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""
        return sum(len(worker.scheduler.running) for worker in self.workers)

    @property
    def alive(self) -> bool:
        """Whether every worker serves."""
        return all(worker.alive for worker in self.workers)

    @property
    def pool_bytes(self) -> int:
        """Memory that the workers' state takes now."""
        return sum(worker.engine.pool_bytes for worker in self.workers)

    def drain(self, timeout: float) -> bool:
        """Take no more requests, answer those admitted; False when that took longer than `timeout` seconds."""
        self.queue.close()
        deadline = time.monotonic() + timeout
        return all([worker.join(max(0.0, deadline - time.monotonic())) for worker in self.workers])
