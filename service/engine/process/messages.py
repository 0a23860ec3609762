"""What the service and its engine process tell each other, over a pipe that only these two hold: so what comes out of
it may be unpickled. Tickets go by numbers that the service gives them.

    service: Opening, then lists of Letters            engine process: Opened or ArtifactError, then a Report at a time

Who reads in the engine process never writes, so that a pipe that is full both ways cannot stop both of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.artifact import Artifact, ArtifactError
from service.engine.decoding.options import Options
from service.engine.interfaces import Posts
from service.engine.types import Answer


@dataclass(frozen=True)
class Opening:
    """The first message to the engine process; it answers `Opened` or the ArtifactError."""

    artifacts: Sequence[Artifact]
    posts: Posts


@dataclass(frozen=True)
class Opened:
    """The engine process is at work, with crews of these names."""

    crews: Sequence[str]


class Handed(NamedTuple):
    """A ticket as it is handed in."""

    number: int
    ids: list[int]
    options: Options
    translation: list[int] | None
    submitted: float  # by the monotonic clock, which the machine's processes share
    listening: bool  # whether its tokens are told as they come


class Submitted(NamedTuple):
    """Tickets for a crew, admitted."""

    crew: str
    tickets: Sequence[Handed]


class Withdrawn(NamedTuple):
    """A ticket that nobody waits for any more."""

    crew: str
    number: int


class Encoded(NamedTuple):
    """These tickets joined a batch."""

    numbers: Sequence[int]
    seconds: float


class Stepped(NamedTuple):
    """A step was computed."""

    rows: int
    seconds: float


class Settled(NamedTuple):
    """So many rows finished in a step."""

    answers: int


class Failed(NamedTuple):
    """A group or a step failed."""


class Written(NamedTuple):
    """A ticket's next token."""

    number: int
    token: int


class Ended(NamedTuple):
    """What became of a ticket."""

    number: int
    outcome: Answer | Exception


Event = Encoded | Stepped | Settled | Failed | Written | Ended


class Report(NamedTuple):
    """What happened at a crew since its last report, in order, and how it is."""

    crew: str
    events: Sequence[Event]
    pool_bytes: int
    died: bool  # whether a worker has


Reply = Opened | ArtifactError | Report
Letter = Submitted | Withdrawn
