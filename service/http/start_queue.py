"""Requests that are to be started, a few in each turn of the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

STARTED_AT_ONCE = 16
TURN_SECONDS = 0.008  # from which on no more are started in a turn: on a slow machine fewer than 16 take as long
LARGE_BODY = 16_384  # bytes, from which on a request is the only one of its turn


class StartQueue:
    """Starts requests, at most `STARTED_AT_ONCE` in one turn of the event loop, or one with a large body.

    The first part of a request's work takes about a millisecond. Those that come at once would otherwise hold up all
    others, and the refusals too.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], object], int]] = deque()
        self._started = 0  # in this turn
        self._until = 0.0  # time.perf_counter() from which on this turn has no room

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, loop: asyncio.AbstractEventLoop, start: Callable[[], object], body_bytes: int = 0) -> None:
        """Start a request with a body of so many bytes, now or in one of the next turns, in order."""
        if not self._started:
            loop.call_soon(self._on_turn, loop)
        self._waiting.append((start, STARTED_AT_ONCE if body_bytes >= LARGE_BODY else 1))
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Start what this turn has room for; its first request always."""
        while self._waiting and self._has_room(self._waiting[0][1]):
            start, count = self._waiting.popleft()
            if not self._started:
                self._until = time.perf_counter() + TURN_SECONDS
            self._started += count
            start()

    def _has_room(self, count: int) -> bool:
        if not self._started:
            return True
        return self._started + count <= STARTED_AT_ONCE and time.perf_counter() < self._until

    def _on_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._started = 0
        self._start_waiting()
        if self._started:
            loop.call_soon(self._on_turn, loop)
