"""Where a model's requests are handed in, and the wait for what becomes of them.

A visit is one request's: it may hand in requests at several desks, more of them while others still run, and it ends
with its deadline or its caller's departure. Whatever ends it withdraws what is still open.
"""

from collections.abc import Sequence

from service.engine.interfaces import RequestQueue
from service.engine.queue import Closed, QueueFull
from service.engine.types import EngineRequest, EngineResult
from service.errors import NotReady, Overloaded, TooLarge
from service.metrics import ModelMetrics


class EngineClient:
    """Hands requests to a model's queue, or says why not."""

    def __init__(self, name: str, queue: RequestQueue, observer: ModelMetrics) -> None:
        self.name, self.queue, self._observer = name, queue, observer

    def submit(self, engine_requests: Sequence[EngineRequest]) -> None:
        """Admit all of them together.

        Raises:
            TooLarge: not even an empty queue could take them, so to come back later would never help.
            Overloaded, NotReady: not now.
        """
        self.allow(len(engine_requests), sum(engine_request.tokens for engine_request in engine_requests))
        try:
            self.queue.submit(engine_requests)
        except QueueFull as full:
            raise Overloaded(f"model {self.name!r} has {full.waiting} segments waiting; try again later") from None
        except Closed:
            raise NotReady(f"model {self.name!r} takes no more requests") from None

    def allow(self, segments: int, tokens: int = 0) -> None:
        """Whether an empty queue could take so much of one request.

        Raises:
            TooLarge: no.
        """
        limits = self.queue.limits
        if not limits.hold(segments, tokens):
            raise TooLarge(
                f"{segments} segments{f' of {tokens} tokens' if tokens else ' or more'}; model {self.name!r} queues at "
                f"most {limits.queue_segments} segments and {limits.queue_tokens} tokens: send several requests"
            )

    def settled(self, answer: EngineResult) -> None:
        """Count an answer that somebody got."""
        self._observer.queue_seconds.observe(answer.queue_ms / 1000)
        self._observer.target_tokens.inc(len(answer.ids))
