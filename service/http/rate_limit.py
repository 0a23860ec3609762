"""How much one caller may ask: a token bucket of requests, and so many at once."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimited

MOST_CALLERS = 10_000  # remembered; who has been silent for the longest time is forgotten first


@dataclass(slots=True)
class _Caller:
    tokens: float  # requests that may come at once
    updated: float
    running: int = 0


class RateLimiter:
    """Counts the requests of each caller; a limit of 0 is none. `clock` tells seconds and never goes back."""

    def __init__(self, per_minute: int = 0, at_once: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.at_once, self._clock = per_minute, at_once, clock
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def enter(self, caller: str) -> None:
        """A request begins; `leave` has to follow.

        Raises:
            RateLimited: it is one too many, and was not counted.
        """
        if not (self.per_minute or self.at_once):
            return
        state = self._state(caller)
        if self.at_once and state.running >= self.at_once:
            raise RateLimited(
                f"{caller} has {state.running} requests running; at most {self.at_once} are taken at once: "
                "wait for an answer",
                retry_after=1,
            )
        if self.per_minute:
            self._spend(caller, state)
        state.running += 1

    def _state(self, caller: str) -> _Caller:
        state = self._callers.get(caller)
        if state is None:
            self._forget()
            state = self._callers[caller] = _Caller(self.per_minute, self._clock())
        self._callers.move_to_end(caller)
        return state

    def _spend(self, caller: str, state: _Caller) -> None:
        now, rate = self._clock(), self.per_minute / 60
        state.tokens = min(self.per_minute, state.tokens + rate * (now - state.updated))
        state.updated = now
        if state.tokens < 1:
            wait = math.ceil((1 - state.tokens) / rate)
            raise RateLimited(
                f"{caller} asks more than {self.per_minute} times a minute; try again in {wait} s", retry_after=wait
            )
        state.tokens -= 1

    def _forget(self) -> None:
        """Make room for one more; whoever has requests running stays."""
        if len(self._callers) >= MOST_CALLERS:
            silent = next((name for name, state in self._callers.items() if not state.running), None)
            if silent is not None:
                del self._callers[silent]

    def leave(self, caller: str) -> None:
        """A request that was let in has ended."""
        if state := self._callers.get(caller):
            state.running -= 1
