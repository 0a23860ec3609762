"""The interface of a search: it reads logits and chooses tokens, and never sees the model.

A group holds all requests of one kind of search. Its arrays have one line per request, so that a step costs the same
few numpy calls for one request as for a hundred. Every line is computed from its own rows alone: a result does not
depend on the other requests of the group.

Shapes: B rows of the running batch, N requests of the group, k rows per request, C candidates per row, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from service.engine.types import EngineRequest, FinishedRequest

Lines = Sequence[np.ndarray] | np.ndarray  # logits of rows: arrays (V,), or one array (N, V)
NO_ROWS = np.empty(0, dtype=np.int64)


class NotANumber(Exception):
    """The logits of a request are not finite numbers, or its options forbid every token."""


@dataclass
class SearchStep:
    """The outcome of one step of a group: rows whose state continues another row, and finished requests.

    The state of `target_rows[i]` becomes a copy of the state of `source_rows[i]`; both have the same first
    `shared_length` generated tokens, whose state need not be copied.
    """

    target_rows: np.ndarray = field(default_factory=lambda: NO_ROWS)
    source_rows: np.ndarray = field(default_factory=lambda: NO_ROWS)
    shared_length: int = 0
    finished: list[FinishedRequest] = field(default_factory=list)


@dataclass(frozen=True)
class Candidates:
    """The most probable tokens of every row, best first: ids (B, C) and log-probabilities (B, C)."""

    token: np.ndarray
    log_probability: np.ndarray


class Logits(Protocol):
    """The logits (B, V) of all live rows, in whichever memory they are."""

    def best(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the most probable token of each of these rows (N,) and its logit (N,); NaN if the row has a NaN."""

    def lines(self, rows: np.ndarray) -> Lines:
        """Return the logits (V,) of each of these rows (N,)."""

    def store(self, rows: np.ndarray, lines: Lines) -> None:
        """Put lines that `lines` has returned back, after they were changed in place."""

    def all(self) -> np.ndarray:
        """Return the logits of all rows (B, V)."""


class ArrayLogits:
    """Logits in the memory of this process: its lines are views."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def best(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self.array if len(rows) == len(self.array) else self.array[rows]
        best = own.argmax(axis=1)  # (N,)
        peak = own[np.arange(len(best)), best]
        return (best[rows], peak[rows]) if own is self.array else (best, peak)

    def lines(self, rows: np.ndarray) -> Lines:
        return [self.array[row] for row in rows.tolist()]

    def store(self, rows: np.ndarray, lines: Lines) -> None:
        """Do nothing: the lines share the memory."""

    def all(self) -> np.ndarray:
        return self.array


class SearchGroup(Protocol):
    """The running requests of one kind of search. `rows` (N, k) are their rows in the batch, best hypothesis first."""

    requests: list[EngineRequest]
    rows: np.ndarray
    width: int  # candidates per row that `choose` needs; 0 if it reads the logits

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        """Add requests that have not generated a token; `rows` (N, k) are their rows in the batch."""

    def generated(self, index: int) -> np.ndarray:
        """Return the tokens that a request has generated: (k, T)."""

    def choose(self, logits: Logits, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        """Choose the next token of every row from logits (B, V) or candidates, and write it into `token` (B,)."""

    def keep(self, mask: np.ndarray) -> None:
        """Remove the requests where the mask (N,) is False."""


def not_finite() -> NotANumber:
    """Return the error of a request for which no token can be chosen."""
    return NotANumber("the model's output is not a number, or the options allow no token at all")
