"""What the service and its engine process tell each other, over a pipe that only these two hold: so what comes out of
it may be unpickled. Tickets go by numbers that the service gives them.

    service: Opening, then lists of Letters            engine process: Opened or ArtifactError, then a Report at a time

Who reads in the engine process never writes, so that a pipe that is full both ways cannot stop both of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.artifact import Artifact, ArtifactError
from service.engine.decoding.options import DecodingOptions
from service.engine.interfaces import PoolConfig
from service.engine.types import EngineResult


@dataclass(frozen=True)
class LoadModels:
    """The first message to the engine process; it answers `ModelsLoaded` or the ArtifactError."""

    artifacts: Sequence[Artifact]
    pool_config: PoolConfig


@dataclass(frozen=True)
class ModelsLoaded:
    """The engine process is at work, with worker pools of these names."""

    worker_pools: Sequence[str]


class RequestMessage(NamedTuple):
    """A request as it is handed in."""

    number: int
    ids: list[int]
    options: DecodingOptions
    translation: list[int] | None
    submitted: float  # by the monotonic clock, which the machine's processes share
    listening: bool  # whether its tokens are told as they come


class SubmitRequests(NamedTuple):
    """Tickets for a worker pool, admitted."""

    worker_pool: str
    requests: Sequence[RequestMessage]


class CancelRequest(NamedTuple):
    """A request that nobody waits for any more."""

    worker_pool: str
    number: int


class Encoded(NamedTuple):
    """These requests joined a batch."""

    numbers: Sequence[int]
    seconds: float


class Stepped(NamedTuple):
    """A step was computed."""

    rows: int
    seconds: float


class RequestsAnswered(NamedTuple):
    """So many rows finished in a step."""

    answers: int


class StepFailed(NamedTuple):
    """A group or a step failed."""


class TokenGenerated(NamedTuple):
    """A request's next token."""

    number: int
    token: int


class RequestDone(NamedTuple):
    """What became of a request."""

    number: int
    outcome: EngineResult | Exception


Event = Encoded | Stepped | RequestsAnswered | StepFailed | TokenGenerated | RequestDone


class Report(NamedTuple):
    """What happened at a worker pool since its last report, in order, and how it is."""

    worker_pool: str
    events: Sequence[Event]
    pool_bytes: int
    died: bool  # whether a worker has


Reply = ModelsLoaded | ArtifactError | Report
Command = SubmitRequests | CancelRequest
