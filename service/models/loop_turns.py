"""Turns of the event loop for large requests."""

import asyncio
from collections import deque
from typing import ClassVar
from weakref import WeakKeyDictionary

CONTENTION_SECONDS = 1.0  # how long large requests make pauses after a small one
PAUSE_SECONDS = 0.002


class LoopTurns:
    """Lets one large request work in each turn of the event loop, in the order in which they ask.

    The work of one takes a millisecond or so at a time. If all did theirs in one turn, a small request would wait for
    the sum of them, several times on its way. While small requests come, a pause follows each turn, so that the cores
    are not all taken whenever a small request needs one.
    """

    _of: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTurns]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False
        self._small_at = -CONTENTION_SECONDS

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "LoopTurns":
        """Return those of an event loop."""
        return cls._of.setdefault(loop, cls())

    def note_small(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have large requests make pauses for a while, because a small one has come."""
        self._small_at = loop.time()

    async def next(self) -> None:
        """Wait for a turn in which no other large request works."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._give, loop)
        await turn

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else the request has ended
                turn.set_result(None)
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled and loop.time() - self._small_at < CONTENTION_SECONDS:
            loop.call_later(PAUSE_SECONDS, self._give, loop)
        elif self._scheduled:
            loop.call_soon(self._give, loop)
