"""The interface of a worker pool, the same for workers in this process and in the engine process."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.artifact import Artifact
from service.engine.occupancy import QueueLimits
from service.engine.types import EngineRequest, Sender

NUMBER = re.compile("#[0-9]+")  # of an artifact, in an id


class Observer(Protocol):
    """Receives measurements from the workers of one pool; `on_iteration_end` follows every iteration of a worker."""

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None: ...
    def on_step(self, rows: int, seconds: float) -> None: ...
    def on_finished(self, requests: int) -> None: ...
    def on_failure(self) -> None: ...
    def on_iteration_end(self) -> None: ...


class NullObserver:
    """An observer that ignores everything."""

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None: ...
    def on_step(self, rows: int, seconds: float) -> None: ...
    def on_finished(self, requests: int) -> None: ...
    def on_failure(self) -> None: ...
    def on_iteration_end(self) -> None: ...


class BatchWatcher(Protocol):
    """Receives what happens to the rows of the running batches, while somebody looks at them; workers are numbered."""

    def on_joined(self, worker: int, group: Sequence[EngineRequest]) -> None: ...
    def on_step(self, worker: int) -> None: ...
    def on_left(self, request: EngineRequest) -> None: ...


class RequestQueue(Protocol):
    """The queue of a worker pool: the only place where requests are admitted or rejected."""

    @property
    def limits(self) -> QueueLimits:
        """What the queue admits at most."""

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run; a request that needs more is never scheduled."""

    @property
    def waiting(self) -> int:
        """Segments that have not joined a batch."""

    @property
    def closed(self) -> bool:
        """Whether the queue accepts no more requests."""

    def reserve(self, sender: Sender, segments: int) -> None:
        """Hold a place for so many segments until the sender submits something, or until `end_reservation`.

        Raises:
            QueueFull: there is none.
        """

    def end_reservation(self, sender: Sender) -> None:
        """Give up the place that is held for a sender, if there is one."""

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Add all of the requests, which have the same sender, or none of them.

        Raises:
            QueueFull: they exceed the limits together with the requests that already wait.
            Closed: the queue accepts no more requests.
            Unavailable: no request can be computed now.
        """

    def close(self) -> None:
        """Accept no more requests; the admitted ones are still computed."""


class WorkerPool(Protocol):
    """The workers of one model and one task, in this process or in another."""

    @property
    def id(self) -> str:
        """The id of the artifact, with a suffix for the second pool of a model: see `score_pool_id`."""

    @property
    def queue(self) -> RequestQueue: ...

    @property
    def size(self) -> int:
        """Number of workers."""

    @property
    def running(self) -> int:
        """Segments in the workers' batches."""

    @property
    def problem(self) -> str:
        """Why the workers cannot compute requests now; empty if they can."""

    @property
    def pool_bytes(self) -> int:
        """Memory of the workers' decoder state, in bytes."""

    def drain(self, timeout: float) -> bool:
        """Close the queue and wait up to `timeout` seconds for all requests; return whether all are done."""


Pool = TypeVar("Pool", bound=WorkerPool, covariant=True)


@dataclass(frozen=True)
class PoolConfig:
    """The configuration of every worker pool."""

    workers: int  # of a model on the CPU
    threads: int  # of each worker
    limits: QueueLimits
    device: str = "cpu"  # cpu, cuda, cuda:N or auto
    gpu_workers: int = 1  # of a model on a GPU

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run."""
        return max(1, self.limits.rows // self.workers)


@dataclass(frozen=True)
class StartedPools(Generic[Pool]):
    """Worker pools by id, and what is wrong with the artifacts that have none, by the artifact's id."""

    pools: Mapping[str, Pool]
    faults: Mapping[str, str]


# Start the worker pools of these artifacts; the function returns the observer of the pool of an id.
StartPools = Callable[[Sequence[Artifact], PoolConfig, Callable[[str], Observer]], StartedPools[WorkerPool]]


class ModelLoader(Protocol):
    """Loads and unloads models while others are served. Use it in the event loop."""

    async def load(
        self, artifact: Artifact, pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> Mapping[str, WorkerPool]:
        """Start the worker pools of one more artifact, beside those that run; return them by id.

        Raises:
            ArtifactError: a graph cannot be loaded, or fails a trial request.
            EngineFailure: the engine died meanwhile.
        """

    def retire(self, artifact_id: str) -> None:
        """Have no new process load an artifact, which only requests that have begun still use; then `unload` it."""

    async def unload(self, artifact_id: str) -> None:
        """End the worker pools of a retired artifact, to which nobody submits any more, and free its memory."""


def score_pool_id(artifact_id: str) -> str:
    """Return the id of the worker pool that scores translations with this artifact; the other one has its own id."""
    return f"{artifact_id}/score"


def artifact_of(pool_id: str) -> str:
    """Return the id of the artifact that a worker pool belongs to."""
    return pool_id.partition("/")[0]


def pool_name(pool_id: str) -> str:
    """Return the name of a worker pool for metrics: the same for all artifacts of a model."""
    return NUMBER.sub("", pool_id)
