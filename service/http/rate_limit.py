"""Rate limits of each caller: a token bucket of requests a minute, and a limit on concurrent requests."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimited

MAX_CALLERS = 10_000  # remembered; the least recently seen caller without a running request is forgotten first


@dataclass(slots=True)
class _Caller:
    tokens: float  # of the bucket: requests that the caller may send at once
    updated: float  # time of the last refill in seconds
    running: int = 0


class RateLimiter:
    """Count the requests of each caller; a limit of 0 means unlimited. `clock` returns monotonic seconds."""

    def __init__(self, per_minute: int = 0, concurrent: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.concurrent, self._clock = per_minute, concurrent, clock
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def acquire(self, caller: str) -> None:
        """Count a request that begins; call `release` when it has ended.

        Raises:
            RateLimited: the request exceeds a limit; it was not counted and needs no `release`.
        """
        if not (self.per_minute or self.concurrent):
            return
        state = self._state(caller)
        if self.concurrent and state.running >= self.concurrent:
            raise RateLimited(
                f"{caller} has {state.running} requests running; at most {self.concurrent} may run at once: "
                "wait for a response",
                retry_after=1,
            )
        if self.per_minute:
            self._take_token(caller, state)
        state.running += 1

    def release(self, caller: str) -> None:
        """Count the end of a request, unless it began without limits."""
        if state := self._callers.get(caller):
            state.running = max(0, state.running - 1)

    def set_limits(self, per_minute: int, concurrent: int) -> None:
        """Apply other limits from now on."""
        self.per_minute, self.concurrent = per_minute, concurrent

    def _state(self, caller: str) -> _Caller:
        state = self._callers.get(caller)
        if state is None:
            self._evict()
            state = self._callers[caller] = _Caller(self.per_minute, self._clock())
        self._callers.move_to_end(caller)
        return state

    def _take_token(self, caller: str, state: _Caller) -> None:
        now, rate = self._clock(), self.per_minute / 60
        state.tokens = min(self.per_minute, state.tokens + rate * (now - state.updated))
        state.updated = now
        if state.tokens < 1:
            wait = math.ceil((1 - state.tokens) / rate)
            raise RateLimited(
                f"{caller} sends more than {self.per_minute} requests a minute; try again in {wait} s", retry_after=wait
            )
        state.tokens -= 1

    def _evict(self) -> None:
        """Make room for one more caller; callers with running requests stay."""
        if len(self._callers) >= MAX_CALLERS:
            idle = next((name for name, state in self._callers.items() if not state.running), None)
            if idle is not None:
                del self._callers[idle]
