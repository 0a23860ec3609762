"""The types that the parts of the engine exchange: requests, hypotheses, results."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from service.engine.options import DecodingOptions
from service.engine.result_future import ResultFuture


class EngineFailure(Exception):
    """The engine could not compute a request; other requests may still be served."""


class EngineUnavailable(EngineFailure):
    """The engine died while it computed a request; the request itself is not at fault."""


@dataclass
class Hypothesis:
    """One translation: its token ids without special tokens, and its score and log-probabilities if requested."""

    ids: list[int]
    finish_reason: str = "stop"  # stop | length | loop
    score: float | None = None
    log_probabilities: list[float] = field(default_factory=list)  # of every token, the end token included


@dataclass
class EngineResult:
    """The result of a request: hypotheses, best first, or class probabilities; and the time it took.

    A scored translation is the only hypothesis; `attention` (T, S) then holds the cross-attention of each of its
    tokens and of the end token.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    attention: np.ndarray | None = None
    queue_ms: float = 0.0  # until it joined the batch, the encoding of its group included
    encode_ms: float = 0.0  # of its group
    compute_ms: float = 0.0

    @staticmethod
    def classification(probabilities: list[float]) -> "EngineResult":
        """Return the result of a classification."""
        return EngineResult(probabilities=probabilities)

    @property
    def ids(self) -> list[int]:
        """Target ids of the best hypothesis; empty for a classification."""
        return self.hypotheses[0].ids if self.hypotheses else []

    @property
    def finish_reason(self) -> str:
        """Why the best hypothesis ends; "stop" for a classification."""
        return self.hypotheses[0].finish_reason if self.hypotheses else "stop"


class Sender(NamedTuple):
    """Where a request comes from. It decides when the request is computed, never what the result is."""

    caller: int = 0  # a number for the API key or the address
    request: int = 0  # a number for the HTTP request
    bulk: bool = False  # whether the request may wait for others


@dataclass(eq=False, slots=True)
class EngineRequest:
    """A tokenised segment and the future of its result. Cancelling the future cancels the request at any time."""

    ids: list[int]  # source, special tokens included
    options: DecodingOptions = DecodingOptions()
    translation: list[int] | None = None  # target ids to score, without special tokens
    future: ResultFuture[EngineResult] = field(default_factory=ResultFuture)
    # Called with each generated token of a greedy or sampling search, in the worker's thread; it must return quickly.
    on_token: Callable[[int], None] | None = None
    sender: Sender = Sender()
    large: bool = False  # set by the queue: one of so many that they leave room for others
    submitted: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        """Rows of the running batch that the request occupies."""
        return self.options.rows

    @property
    def tokens(self) -> int:
        """Input tokens: the source and, for scoring, the translation."""
        return len(self.ids) + len(self.translation or ())

    @property
    def cost(self) -> int:
        """What the request takes of the engine's time, in tokens: an output is about as long as its source."""
        return self.rows * self.tokens

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer waits for the result."""
        return self.future.done()


# A request that frees its rows, with its result or the error that concerns it alone.
FinishedRequest = tuple[EngineRequest, EngineResult | Exception]
