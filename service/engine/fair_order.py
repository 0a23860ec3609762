"""The order in which waiting requests are taken: callers take turns, and so do the requests of one caller.

Start-time fair queueing (Goyal, Vin and Cheng 1996, "Start-time Fair Queuing"): every flow has a start tag, the flow
with the smallest tag is next, and its tag grows by what it was given. A flow that begins to wait gets the tag of the
flow served last, so that it is next but one at most, however much others have waiting. Like deficit round robin
(Shreedhar and Varghese 1995) it gives every flow an equal share of the cost, but a newcomer waits for no round to end.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What waits for its turn: its cost, and whether it is still wanted."""

    @property
    def cost(self) -> int: ...
    @property
    def cancelled(self) -> bool: ...


W = TypeVar("W", bound=Waiting)


class FairClock:
    """The virtual time of several `FairOrder` objects whose flows compete: the start tag of the flow served last."""

    def __init__(self) -> None:
        self.now = 0.0


class FairOrder(Generic[W]):
    """Waiting requests by a path of keys, such as (caller, HTTP request); the keys of each level take turns.

    A request of cost c advances its flow by c / `weight`. State is kept only for keys that have waiting requests.
    """

    def __init__(self, depth: int, clock: FairClock | None = None, weight: float = 1.0) -> None:
        self._depth, self._weight, self._clock = depth, weight, clock or FairClock()
        self._turns: list[tuple[float, int, int]] = []  # heap of (start tag, order of arrival, key)
        self._arrivals = itertools.count()
        self._flows: dict[int, FairOrder[W] | _Leaf[W]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._flows.values()))

    def __bool__(self) -> bool:
        return bool(self._flows)

    def __iter__(self) -> Iterator[W]:
        return itertools.chain.from_iterable(self._flows.values())

    def clear(self) -> None:
        """Remove all requests."""
        self._turns.clear()
        self._flows.clear()

    @property
    def tag(self) -> float:
        """The start tag of the flow that is next; there must be one."""
        return self._turns[0][0]

    def push(self, path: Sequence[int], request: W) -> None:
        """Add a request at the end of its flow."""
        key, *inner = path
        if key not in self._flows:
            self._flows[key] = FairOrder(self._depth - 1) if self._depth > 1 else _Leaf()
            heapq.heappush(self._turns, (self._clock.now, next(self._arrivals), key))
        self._flows[key].push(inner, request)

    def peek(self) -> W:
        """Return the request that is next; there must be one."""
        return self._flows[self._turns[0][2]].peek()

    def pop(self) -> W:
        """Remove and return the request that is next; a cancelled one costs nothing."""
        tag, _, key = self._turns[0]
        flow = self._flows[key]
        request = flow.pop()
        self._clock.now = max(self._clock.now, tag)
        if flow:
            cost = 0 if request.cancelled else request.cost
            heapq.heapreplace(self._turns, (tag + cost / self._weight, next(self._arrivals), key))
        else:
            heapq.heappop(self._turns)
            del self._flows[key]
        return request

    def remove_cancelled(self) -> list[W]:
        """Remove and return the cancelled requests; the others keep their order."""
        removed = [request for flow in self._flows.values() for request in flow.remove_cancelled()]
        if removed:
            self._flows = {key: flow for key, flow in self._flows.items() if flow}
            self._turns = [turn for turn in self._turns if turn[2] in self._flows]
            heapq.heapify(self._turns)
        return removed


class _Leaf(deque[W], Generic[W]):
    """The waiting requests of one flow, first come, first served."""

    def push(self, path: Sequence[int], request: W) -> None:
        self.append(request)

    def peek(self) -> W:
        return self[0]

    def pop(self) -> W:  # type: ignore[override]
        return self.popleft()

    def remove_cancelled(self) -> list[W]:
        removed = [request for request in self if request.cancelled]
        if removed:
            kept = [request for request in self if not request.cancelled]
            self.clear()
            self.extend(kept)
        return removed
