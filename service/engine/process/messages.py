"""The messages between the service and its engine process.

    service -> engine process: `LoadModels`, then lists of `Command`
    engine process -> service: `ModelsLoaded` or `CannotStart`, then `PoolEvents`, `Pong`, `ModelsLoaded` and
    `ModelUnloaded`

Worker pools and artifacts are identified by their ids. Requests are identified by numbers that the service assigns,
unique within a worker pool. In the engine process the thread that reads never writes, so the two processes cannot block
each other when both directions are full.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.artifact import Artifact
from service.engine.interfaces import PoolConfig
from service.engine.options import DecodingOptions
from service.engine.types import EngineResult, Sender


@dataclass(frozen=True)
class LoadModels:
    """Load these artifacts and start their worker pools: the first message to the engine process, later a command."""

    artifacts: Sequence[Artifact]
    pool_config: PoolConfig


@dataclass(frozen=True)
class ModelsLoaded:
    """The reply to `LoadModels`: the number of workers of each pool that is running, and what is wrong with the
    artifacts that have none, both by id."""

    pools: Mapping[str, int]
    faults: Mapping[str, str]


@dataclass(frozen=True)
class CannotStart:
    """The reply to `LoadModels` of a process that cannot compute anything here, and why."""

    reason: str


class UnloadModel(NamedTuple):
    """End the worker pools of an artifact when they are drained, and free its memory."""

    artifact: str


class ModelUnloaded(NamedTuple):
    """The reply to `UnloadModel`."""

    artifact: str


class RequestMessage(NamedTuple):
    """An engine request."""

    number: int
    ids: list[int]
    options: DecodingOptions
    translation: list[int] | None
    submitted: float  # by the monotonic clock, which is the same for all processes of a machine
    stream_tokens: bool  # whether the service wants each generated token


class SubmitRequests(NamedTuple):
    """Requests that the service has admitted to a worker pool."""

    pool: str
    sender: Sender  # of all of them
    requests: Sequence[RequestMessage]
    large: bool = False  # whether they are a part of so many that others come first


class CancelRequest(NamedTuple):
    """A request whose caller no longer waits for the result."""

    pool: str
    number: int


class Ping(NamedTuple):
    """Asks the engine process for a `Pong`."""


class Pong(NamedTuple):
    """The answer to a ping: the process runs, and these pools have a worker that has not made progress for long."""

    stalled: Sequence[str]


class GroupEncoded(NamedTuple):
    """These requests were encoded together and joined the batch of a worker."""

    numbers: Sequence[int]
    seconds: float
    worker: int = 0


class StepComputed(NamedTuple):
    """A step of this many rows was computed by a worker."""

    rows: int
    seconds: float
    worker: int = 0


class RequestsFinished(NamedTuple):
    """This many requests finished in a step."""

    requests: int


class ComputationFailed(NamedTuple):
    """The encoding of a group, or a step, failed."""


class TokenGenerated(NamedTuple):
    """The next token of a request that streams."""

    number: int
    token: int


class RequestDone(NamedTuple):
    """The result or the error of a request."""

    number: int
    outcome: EngineResult | Exception


Event = GroupEncoded | StepComputed | RequestsFinished | ComputationFailed | TokenGenerated | RequestDone


class PoolEvents(NamedTuple):
    """The events of a worker pool since its last message, in order, and its current state."""

    pool: str
    events: Sequence[Event]
    pool_bytes: int
    worker_died: bool


Command = SubmitRequests | CancelRequest | Ping | LoadModels | UnloadModel
EngineMessage = PoolEvents | Pong | ModelsLoaded | ModelUnloaded
