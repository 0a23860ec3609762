"""What is admitted to the queue of a worker pool: within its limits, and to each caller its share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.engine.types import EngineRequest, Sender

# A request with more unfinished segments than this is large: it may fill the batch only while no small one is there.
SMALL_REQUEST = 8
SMALL_PLACES = 16  # the queue holds this share of its limit free of large requests
OVERFLOW = 2  # the queue may exceed its limits up to this many times, for callers that have less than their share

T = TypeVar("T")


class QueueFull(Exception):
    """The requests do not fit into the queue; `waiting` segments are ahead of them, `own` of the same caller."""

    def __init__(self, waiting: int, own: int) -> None:
        super().__init__(f"{waiting} segments are waiting")
        self.waiting, self.own = waiting, own


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """The limits of one worker pool's queue and batches."""

    rows: int = 128  # running at the same time, all workers together
    encode_tokens: int = 4096  # padded source tokens that may join a worker's batch before one step
    queue_segments: int = 2048
    queue_tokens: int = 131_072

    @property
    def large_segments(self) -> int:
        """Segments of large requests that the queue may hold: the other places are for small requests."""
        return self.queue_segments - self.queue_segments // SMALL_PLACES

    def allows(self, segments: int, tokens: int) -> bool:
        """Return whether a queue of this many segments and tokens is within the limits."""
        return segments <= self.queue_segments and tokens <= self.queue_tokens


class Occupancy:
    """What waits in a queue, for each caller; decides what is admitted.

    A queue that is full refuses a caller only if the caller has its share already: the limits, divided by the callers
    that wait. So no caller can shut out another one. Memory stays bounded: at `OVERFLOW` times the limits, all are
    refused. State is kept only for callers that wait.

    A request that is still being prepared can reserve its place, so that no work is done for requests of which only
    the first one fits.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self.segments = self.tokens = 0  # that wait
        self._reserved, self._reserved_by = 0, Counter[Sender]()  # segments that are being prepared
        self._segments, self._tokens = Counter[int](), Counter[int]()  # by caller; segments with the reserved ones

    def check_room(self, caller: int, segments: int, tokens: int = 0) -> None:
        """Check that so many segments and tokens of a caller may be added.

        A large request leaves places to small ones, which in turn may take those that are only reserved, and whose few
        tokens are not what fills the queue.

        Raises:
            QueueFull: they may not.
        """
        wanted = segments
        if segments <= SMALL_REQUEST:
            has_room = self.segments + wanted <= self.limits.queue_segments and not self.overflows(0, tokens)
        else:
            held = self.segments + self._reserved
            if held:
                wanted += self.limits.queue_segments - self.limits.large_segments
            has_room = self.limits.allows(held + wanted, self.tokens + tokens)
        if has_room:
            return
        own = self._segments[caller]
        callers = len(self._segments) + (own == 0)
        has_share = self.limits.allows(callers * (own + wanted), callers * (self._tokens[caller] + tokens))
        if not has_share or self.overflows(segments, tokens):
            raise QueueFull(self.segments + self._reserved, own)

    def reserve(self, sender: Sender, segments: int) -> None:
        """Hold a place for so many segments until `end_reservation`.

        Raises:
            QueueFull: there is none.
        """
        self.check_room(sender.caller, segments)
        self._reserved += segments
        self._reserved_by[sender] += segments
        self._segments[sender.caller] += segments

    def end_reservation(self, sender: Sender) -> None:
        """Give up the place that is held for a sender, if there is one."""
        if segments := self._reserved_by.pop(sender, 0):
            self._reserved -= segments
            decrement(self._segments, sender.caller, segments)

    def use_reservation(self, requests: Sequence[EngineRequest]) -> None:
        """Give up the place that is held for the sender of the requests, and check that they may be added.

        Raises:
            QueueFull: they may not; not if they are as many as had a place.
        """
        sender, tokens = requests[0].sender, sum(request.tokens for request in requests)
        has_place = self._reserved_by[sender] >= len(requests)
        self.end_reservation(sender)
        if not has_place or self.overflows(len(requests), tokens):
            self.check_room(sender.caller, len(requests), tokens)

    def overflows(self, segments: int = 0, tokens: int = 0) -> bool:
        """Return whether the queue would exceed what it may ever hold."""
        held = self.segments + self._reserved
        return not self.limits.allows(-(-(held + segments) // OVERFLOW), -(-(self.tokens + tokens) // OVERFLOW))

    def add(self, requests: Sequence[EngineRequest]) -> None:
        """Count requests of one sender that begin to wait."""
        caller, tokens = requests[0].sender.caller, sum(request.tokens for request in requests)
        self.segments += len(requests)
        self.tokens += tokens
        self._segments[caller] += len(requests)
        self._tokens[caller] += tokens

    def remove(self, request: EngineRequest) -> None:
        """Count a request that no longer waits."""
        self.segments -= 1
        self.tokens -= request.tokens
        caller = request.sender.caller
        decrement(self._tokens, caller, request.tokens)
        decrement(self._segments, caller)


def decrement(counts: Counter[T], key: T, by: int = 1) -> None:
    """Count one less, or so many; forget a key that is at 0."""
    counts[key] -= by
    if not counts[key]:
        del counts[key]
