"""The connections without a request in progress, and which of them to close when there are too many.

A connection that has just been made is about to send its first request: it would be lost if the connection were closed.
"""

import time
from collections.abc import Iterator
from typing import Protocol

FIRST_REQUEST_SECONDS = 1.0  # in which a new connection is not closed for another one


class IdleConnection(Protocol):
    """A connection without a request in progress."""

    def close_idle(self) -> None:
        """Close it."""
        ...


class IdleConnections:
    """Connections that wait for a request: new ones, and those whose last request has been answered."""

    def __init__(self) -> None:
        self._new: dict[IdleConnection, float] = {}  # oldest first, with the time.monotonic() of the connection
        self._answered: dict[IdleConnection, None] = {}  # longest idle first
        self.closed = 0  # connections that were closed for others

    def __iter__(self) -> Iterator[IdleConnection]:
        return iter([*self._new, *self._answered])

    def __contains__(self, connection: IdleConnection) -> bool:
        return connection in self._new or connection in self._answered

    def add_new(self, connection: IdleConnection) -> None:
        """Add a connection that has not sent a request yet."""
        self._new[connection] = time.monotonic()

    def add(self, connection: IdleConnection) -> None:
        """Add a connection whose request has been answered."""
        self._answered[connection] = None

    def remove(self, connection: IdleConnection) -> None:
        """Remove a connection: it has a request, or is closed."""
        self._new.pop(connection, None)
        self._answered.pop(connection, None)

    def close_one(self) -> bool:
        """Close the oldest connection that has sent no request for a second, or else that which has been idle longest;
        return whether there is one."""
        oldest = next(iter(self._new), None)
        if oldest is None or time.monotonic() < self._new[oldest] + FIRST_REQUEST_SECONDS:
            oldest = next(iter(self._answered), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.close_idle()
        self.closed += 1
        return True
