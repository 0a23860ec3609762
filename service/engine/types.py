"""What passes between the parts of the engine: requests, hypotheses, results."""

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np

from service.engine.decoding.options import DecodingOptions


@dataclass
class Hypothesis:
    """One translation: ids without marks, why they end, and its score and tokens' log-probabilities where asked for."""

    ids: list[int]
    finish_reason: str = "stop"  # stop | length | loop
    score: float | None = None
    log_probabilities: list[float] = field(default_factory=list)


@dataclass
class EngineResult:
    """What became of a request: hypotheses, best first, or class probabilities; and the time it took.

    A scored translation is its one hypothesis; `attention` (T, S) says where the decoder looked when it wrote each of
    its tokens and the end mark.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    attention: np.ndarray | None = None
    queue_ms: float = 0.0
    compute_ms: float = 0.0

    @staticmethod
    def classification(probabilities: list[float]) -> "EngineResult":
        """A classification."""
        return EngineResult(probabilities=probabilities)

    @property
    def ids(self) -> list[int]:
        """Target ids of the best hypothesis; none for a classification."""
        return self.hypotheses[0].ids if self.hypotheses else []

    @property
    def finish_reason(self) -> str:
        return self.hypotheses[0].finish_reason if self.hypotheses else "stop"


@dataclass(eq=False)
class EngineRequest:
    """A tokenised segment waiting for its answer. Cancelling the future withdraws it, waiting or running."""

    ids: list[int]  # source, marks included
    options: DecodingOptions = DecodingOptions()
    translation: list[int] | None = None  # to be scored, without marks
    future: "Future[EngineResult]" = field(default_factory=Future)
    # Told each token of a search that writes them as they come, in the worker's thread; it must be quick.
    on_token: Callable[[int], None] | None = None
    submitted: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        """Rows that it takes while it runs."""
        return self.options.rows

    @property
    def tokens(self) -> int:
        """Tokens that are given."""
        return len(self.ids) + len(self.translation or ())

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.future.done()


# A request that leaves its rows, with its answer or with what went wrong for it alone.
FinishedRequest = tuple[EngineRequest, EngineResult | Exception]


def resolve(request: EngineRequest, answer: EngineResult) -> None:
    """Answer a request, unless its caller left at this very moment."""
    try:
        request.future.set_result(answer)
    except InvalidStateError:
        return


def fail(request: EngineRequest, error: Exception) -> None:
    """Fail a request, unless it is answered or withdrawn."""
    try:
        request.future.set_exception(error)
    except InvalidStateError:
        return
