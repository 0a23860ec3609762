"""The future of an engine request's result: lean, and without reference cycles.

The futures of the standard library have a lock each and keep their callbacks when they are done. A callback knows its
request and the request its future, so that each request of a service under load was left to the garbage collector:
its pauses of 20 to 100 ms were what most other requests waited for.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_PENDING, _DONE, _CANCELLED = range(3)
_changing = threading.Lock()  # held for a few instructions, so all futures can share it


class ResultFuture(Generic[T]):
    """A result, an error, or the wish to have neither: what comes first stays. All methods may be called in any thread.

    Its callbacks are called in the thread that decides, once, and then forgotten.
    """

    __slots__ = ("__weakref__", "_callbacks", "_error", "_result", "_state")

    def __init__(self) -> None:
        self._state = _PENDING
        self._result: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[ResultFuture[T]], object]] | None = None

    def done(self) -> bool:
        """Return whether there is a result or an error, or the future was cancelled."""
        return self._state != _PENDING

    def cancelled(self) -> bool:
        """Return whether the future was cancelled before there was a result."""
        return self._state == _CANCELLED

    def cancel(self) -> bool:
        """Give up the result; return whether that came first."""
        return self._decide(_CANCELLED, None, None)

    def set_result(self, result: T) -> bool:
        """Set the result; return whether that came first."""
        return self._decide(_DONE, result, None)

    def set_exception(self, error: BaseException) -> bool:
        """Set the error; return whether that came first."""
        return self._decide(_DONE, None, error)

    def _decide(self, state: int, result: T | None, error: BaseException | None) -> bool:
        with _changing:
            if self._state != _PENDING:
                return False
            self._result, self._error, self._state = result, error, state
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._call(callback)
        return True

    def add_done_callback(self, callback: Callable[["ResultFuture[T]"], object]) -> None:
        """Have a function called with the future when it is done; at once if it is."""
        with _changing:
            pending = self._state == _PENDING
            if pending:
                if self._callbacks is None:
                    self._callbacks = [callback]
                else:
                    self._callbacks.append(callback)
        if not pending:
            self._call(callback)

    def _call(self, callback: Callable[["ResultFuture[T]"], object]) -> None:
        try:
            callback(self)
        except Exception:  # the other callbacks, and the thread that decides, are not at fault
            log.exception("a callback of a request failed")

    def result(self, timeout: float | None = None) -> T:
        """Return the result; wait for it up to `timeout` seconds.

        Raises:
            CancelledError: the future was cancelled.
            TimeoutError: there is no result in time.
            Exception: the error that was set.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._result  # type: ignore[return-value] # None only if T allows it

    async def wait(self) -> T:
        """Wait in an event loop; see `result`."""
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not decided.done():  # else nobody waits any more
                decided.set_result(None)

        self.add_done_callback(lambda _: loop.call_soon_threadsafe(wake))
        await decided
        return self.result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, or None if there is a result; wait for either up to `timeout` seconds.

        Raises:
            CancelledError: the future was cancelled.
            TimeoutError: there is neither in time.
        """
        if not self.done():
            decided = threading.Event()
            self.add_done_callback(lambda _: decided.set())
            if not decided.wait(timeout):
                raise TimeoutError
        if self.cancelled():
            raise CancelledError
        return self._error
