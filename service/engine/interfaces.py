"""Who computes for a model, as seen by who hands requests in: it may be in this process or in another one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.artifact import Artifact
from service.engine.queue import QueueLimits
from service.engine.types import EngineRequest


class Observer(Protocol):
    """Who is told what a worker does; `on_iteration_end` ends every turn of its loop."""

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None: ...
    def on_step(self, rows: int, seconds: float) -> None: ...
    def on_finished(self, requests: int) -> None: ...
    def on_failure(self) -> None: ...
    def on_iteration_end(self) -> None: ...


class NullObserver:
    """An observer for worker pools whose measurements nobody reads."""

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None: ...
    def on_step(self, rows: int, seconds: float) -> None: ...
    def on_finished(self, requests: int) -> None: ...
    def on_failure(self) -> None: ...
    def on_iteration_end(self) -> None: ...


class RequestQueue(Protocol):
    """Where requests wait for a worker pool; `Queue` says what the methods do."""

    @property
    def limits(self) -> QueueLimits: ...
    @property
    def rows_per_worker(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def submit(self, requests: Sequence[EngineRequest]) -> None: ...
    def close(self) -> None: ...


class WorkerPool(Protocol):
    """The workers of one model, wherever they are; `LocalWorkerPool` says what the methods do."""

    @property
    def queue(self) -> RequestQueue: ...
    @property
    def size(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    @property
    def pool_bytes(self) -> int: ...
    def drain(self, timeout: float) -> bool: ...


@dataclass(frozen=True)
class PoolConfig:
    """What every model's worker pool is given."""

    workers: int
    threads: int  # of each worker
    limits: QueueLimits

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run."""
        return max(1, self.limits.rows // self.workers)


# Has worker pools at work for these artifacts, by name; the function gives each worker pool the one who is told what
# it does.
StartPools = Callable[[Sequence[Artifact], PoolConfig, Callable[[str], Observer]], Mapping[str, WorkerPool]]


def score_pool_name(name: str) -> str:
    """The name of the worker pool that scores a model's translations."""
    return f"{name}/score"
