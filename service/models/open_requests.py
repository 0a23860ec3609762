"""The requests that are open in an event loop, to know when those have ended that began before a moment."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from weakref import WeakKeyDictionary


class OpenRequests:
    """Requests from their first look at the served models to their end.

    A model may be unloaded when every request has ended that was open when others took its place: an earlier one may
    use it at any time, and a later one cannot find it.
    """

    _of: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, OpenRequests]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._open: set[object] = set()
        self._waiting: list[tuple[set[object], asyncio.Future[None]]] = []  # those that are waited for

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "OpenRequests":
        """Return those of an event loop."""
        return cls._of.setdefault(loop, cls())

    def add(self, request: object) -> None:
        """Record that a request begins."""
        self._open.add(request)

    def remove(self, request: object) -> None:
        """Record that a request has ended."""
        self._open.discard(request)
        for earlier, ended in self._waiting:
            earlier.discard(request)
            if not earlier and not ended.done():
                ended.set_result(None)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Count as an open request, for work of several requests that must use the same models."""
        holder = object()
        self.add(holder)
        try:
            yield
        finally:
            self.remove(holder)

    async def wait_for_earlier(self) -> None:
        """Wait until all requests have ended that are open now."""
        if not self._open:
            return
        waiting = set(self._open), asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            await waiting[1]
        finally:
            self._waiting.remove(waiting)
