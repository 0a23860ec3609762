"""Requests that are to be started, a few in each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

STARTED_AT_ONCE = 16


class StartQueue:
    """Starts requests, at most `STARTED_AT_ONCE` in one turn of the event loop.

    The first part of a request's work takes about a millisecond. Those that come at once would otherwise hold up all
    others, and the refusals too.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._started = 0  # in this turn

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, loop: asyncio.AbstractEventLoop, start: Callable[[], object]) -> None:
        """Start a request now or in one of the next turns, in order."""
        if not self._started:
            loop.call_soon(self._on_turn, loop)
        if self._started < STARTED_AT_ONCE:
            self._started += 1
            start()
        else:
            self._waiting.append(start)

    def _on_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._started = min(len(self._waiting), STARTED_AT_ONCE)
        for _ in range(self._started):
            self._waiting.popleft()()
        if self._started:
            loop.call_soon(self._on_turn, loop)
