"""Who computes for a model, as seen by who hands tickets in: it may be in this process or in another one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.artifact import Artifact
from service.engine.queue import Bounds
from service.engine.types import Ticket


class Observer(Protocol):
    """Who is told what a worker does; `turned` ends every turn of its loop."""

    def encoded(self, group: Sequence[Ticket], seconds: float) -> None: ...
    def stepped(self, rows: int, seconds: float) -> None: ...
    def answered(self, answers: int) -> None: ...
    def failed(self) -> None: ...
    def turned(self) -> None: ...


class Silent:
    """An observer for crews whose measurements nobody reads."""

    def encoded(self, group: Sequence[Ticket], seconds: float) -> None: ...
    def stepped(self, rows: int, seconds: float) -> None: ...
    def answered(self, answers: int) -> None: ...
    def failed(self) -> None: ...
    def turned(self) -> None: ...


class Admission(Protocol):
    """Where tickets wait for a crew; `Queue` says what the methods do."""

    @property
    def bounds(self) -> Bounds: ...
    @property
    def rows(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def submit(self, tickets: Sequence[Ticket]) -> None: ...
    def close(self) -> None: ...


class Staff(Protocol):
    """The workers of one model, wherever they are; `Crew` says what the methods do."""

    @property
    def queue(self) -> Admission: ...
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
class Posts:
    """What every model's crew is given."""

    workers: int
    threads: int  # of each worker
    bounds: Bounds

    @property
    def rows(self) -> int:
        """Rows that one worker may run."""
        return max(1, self.bounds.rows // self.workers)


# Has crews at work for these artifacts, by name; the function gives each crew the one who is told what it does.
Hire = Callable[[Sequence[Artifact], Posts, Callable[[str], Observer]], Mapping[str, Staff]]


def scoring(name: str) -> str:
    """The name of the crew that scores a model's translations."""
    return f"{name}/score"
