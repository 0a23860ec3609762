"""Worker threads: each owns a batch, its state and its scheduler. Their loop is pick, step, settle."""

import logging
import threading
import time
from typing import Protocol

from service.engine.interfaces import Observer
from service.engine.queue import Queue
from service.engine.scheduler import IterationPlan, Scheduler
from service.engine.types import EngineFailure, EngineRequest, FinishedRequest

log = logging.getLogger(__name__)

STALL_SECONDS = 8.0  # far more than a step takes


class Engine(Protocol):
    """The model of one worker. A joined request takes part in every step until the step that finishes it.

    `divide` returns the groups of requests that join one after the other.
    """

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]: ...
    def join(self, group: list[EngineRequest]) -> None: ...
    def step(self) -> list[FinishedRequest]: ...
    def drop(self, requests: list[EngineRequest]) -> None: ...
    def clear(self) -> None: ...
    @property
    def pool_bytes(self) -> int: ...


class Worker:
    """Runs an engine in a thread until its queue is closed and drained.

    If anything but a step or a join fails, the thread ends, and all waiting and running requests fail.
    """

    def __init__(self, name: str, engine: Engine, queue: Queue, observer: Observer) -> None:
        self.engine, self.observer = engine, observer
        self.scheduler = Scheduler(queue, engine.divide)
        self._busy_since: float | None = None  # monotonic seconds; None while the worker waits for requests
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def busy_seconds(self) -> float:
        """How long the worker has been at one step or one group of newcomers; 0 while it waits for requests."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the queue is closed and drained; return whether it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        plan: IterationPlan | None = None
        try:
            while (plan := self.scheduler.pick()) is not None:
                self._step(plan)
                self._busy_since = None
                self.observer.on_iteration_end()
        except BaseException as error:
            log.exception("%s died", self._thread.name)
            failure = EngineFailure(f"the worker died: {type(error).__name__}")
            for group in plan.joining if plan else ():  # dequeued, but not in the batch yet
                self.scheduler.reject(group, failure)
            self.scheduler.fail_running(failure)
            self.scheduler.queue.fail_waiting(failure)
            self.observer.on_iteration_end()

    def _step(self, plan: IterationPlan) -> None:
        self.engine.drop(plan.cancelled)
        while plan.joining:
            self._busy_since = time.monotonic()
            self._join(plan.joining.pop(0))
        self._busy_since = time.monotonic()
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
        seconds = time.perf_counter() - started
        self.scheduler.admit(group, seconds)
        self.observer.on_encoded(group, seconds)


class LocalWorkerPool:
    """A worker pool whose workers are threads of this process."""

    def __init__(self, id: str, engines: list[Engine], queue: Queue, observer: Observer) -> None:
        self.id, self.queue = id, queue
        self.workers = [Worker(f"{id}-{i}", engine, queue, observer) for i, engine in enumerate(engines)]

    def start(self) -> None:
        """Start all workers."""
        for worker in self.workers:
            worker.start()

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.workers)

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""
        return sum(len(worker.scheduler.running) for worker in self.workers)

    @property
    def problem(self) -> str:
        """Why the workers cannot compute requests now; empty if they can."""
        if not all(worker.alive for worker in self.workers):
            return "a worker has died: restart the service"
        return "a worker does not respond; try again later" if self.stalled else ""

    @property
    def stalled(self) -> bool:
        """Whether a worker has been at one step for so long that it must be hung."""
        return any(worker.busy_seconds > STALL_SECONDS for worker in self.workers)

    @property
    def pool_bytes(self) -> int:
        """Memory of the workers' decoder state, in bytes."""
        return sum(worker.engine.pool_bytes for worker in self.workers)

    def drain(self, timeout: float) -> bool:
        """Close the queue and wait up to `timeout` seconds for all requests; return whether all are done."""
        self.queue.close()
        deadline = time.monotonic() + timeout
        return all([worker.join(max(0.0, deadline - time.monotonic())) for worker in self.workers])
