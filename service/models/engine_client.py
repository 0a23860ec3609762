"""Submission of engine requests to one model's queue."""

import time
from collections.abc import Sequence

from service.engine.interfaces import RequestQueue
from service.engine.occupancy import SMALL_REQUEST, QueueFull
from service.engine.queue import Closed, Unavailable
from service.engine.types import EngineRequest, EngineResult, Sender
from service.errors import EngineDown, NotReady, Overloaded, TooLarge
from service.metrics import ModelMetrics


class EngineClient:
    """Submits requests to one model's queue and turns the queue's errors into service errors."""

    def __init__(self, name: str, queue: RequestQueue, observer: ModelMetrics) -> None:
        self.name, self.queue, self.observer = name, queue, observer

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Queue all requests, or none.

        Raises:
            TooLarge: they exceed the limits of an empty queue, so a later try would fail too.
            Overloaded: the queue is full now.
            NotReady: the queue is closed.
            EngineDown: the engine is being restarted, or does not respond.
        """
        self.check_limits(len(requests), sum(request.tokens for request in requests))
        try:
            self.queue.submit(requests)
        except QueueFull as full:
            raise self._overloaded(full) from None
        except Closed:
            raise NotReady(f"model {self.name!r} takes no more requests") from None
        except Unavailable as problem:
            raise EngineDown(f"model {self.name!r}: {problem}") from None

    def reserve(self, sender: Sender, segments: int) -> None:
        """Hold a place for a request of at least so many segments, before work is done for it.

        The place is free again when the sender submits something, or with `end_reservation`.

        Raises:
            TooLarge: an empty queue could not take them.
            Overloaded: the queue is full.
        """
        self.check_limits(segments)
        try:
            self.queue.reserve(sender, segments)
        except QueueFull as full:
            raise self._overloaded(full) from None

    def end_reservation(self, sender: Sender) -> None:
        """Give up the place that is held for a sender, if there is one."""
        self.queue.end_reservation(sender)

    def _overloaded(self, full: QueueFull) -> Overloaded:
        limits = self.queue.limits
        return Overloaded(
            f"model {self.name!r} has {full.waiting} segments waiting, {full.own} of them yours; at most "
            f"{limits.queue_segments} may wait, {limits.large_segments} in requests of more than {SMALL_REQUEST}, and "
            "each caller's share of these: try again later"
        )

    def check_limits(self, segments: int, tokens: int = 0) -> None:
        """Check that an empty queue could take so many segments and tokens.

        Raises:
            TooLarge: it could not.
        """
        limits = self.queue.limits
        if not limits.allows(segments, tokens):
            raise TooLarge(
                f"{segments} segments{f' of {tokens} tokens' if tokens else ' or more'}; model {self.name!r} queues at "
                f"most {limits.queue_segments} segments and {limits.queue_tokens} tokens: send several requests"
            )

    def record(self, result: EngineResult, exemplar: dict[str, str] | None = None) -> None:
        """Count a result that was returned to a caller; `exemplar` names the trace of its request."""
        self.observer.queue_seconds.observe(result.queue_ms / 1000, exemplar)
        self.observer.compute_seconds.observe(result.compute_ms / 1000, exemplar)
        self.observer.answered_at = time.time()
        self.observer.target_tokens.inc(len(result.ids))
