"""What every decoding method shares: the protocol of a search group and what one step of it says."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from service.engine.types import EngineRequest, FinishedRequest

NOWHERE = np.empty(0, dtype=np.int64)


class NotANumber(Exception):
    """The model's logits for a request are not numbers, or none of its tokens is allowed."""


@dataclass
class SearchStep:
    """What a group makes of a step: the next token of its rows, which rows go on from others, who is finished."""

    target_rows: np.ndarray = field(default_factory=lambda: NOWHERE)  # these rows
    source_rows: np.ndarray = field(default_factory=lambda: NOWHERE)  # go on from these
    shared_length: int = 0  # what both have written before this position is the same
    finished: list[FinishedRequest] = field(default_factory=list)


@dataclass(frozen=True)
class Candidates:
    """The most probable tokens of every row: (B, C) ids, and their log-probabilities, best first."""

    token: np.ndarray
    log_probability: np.ndarray


class SearchGroup(Protocol):
    """Tickets searched alike. `rows` (N, k) are their rows in the batch, best hypothesis first."""

    requests: list[EngineRequest]
    rows: np.ndarray
    width: int  # candidates a row that `choose` needs; 0 for none

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None: ...
    def generated(self, index: int) -> np.ndarray: ...
    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> SearchStep: ...
    def keep(self, mask: np.ndarray) -> None: ...


def not_finite() -> NotANumber:
    """What becomes of a request that no token can be chosen for."""
    return NotANumber("the model's output is not a number, or the options allow no token at all")
