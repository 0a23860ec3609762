"""Threads for CPU-bound work of requests, such as segmenting a long text: few of them, and callers take turns."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from service.engine.cores import available_cores
from service.engine.fair_order import FairOrder
from service.engine.types import Sender

T = TypeVar("T")

NICENESS = 10  # of the threads, added to that of the process: the event loop comes first


@dataclass(eq=False)
class _Work(Generic[T]):
    """A piece of work and the future of its result."""

    function: Callable[[], T]
    future: "Future[T]" = field(default_factory=Future)
    cost: int = 1

    @property
    def cancelled(self) -> bool:
        return self.future.done()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.function()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class BackgroundThreads:
    """Runs work in threads, half as many as there are cores: the event loop and the engine need theirs.

    Waiting work is taken in fair order, by caller and by request (see `fair_order.py`). The threads start with the
    first work and are daemons: work that still waits when the process ends is dropped.
    """

    def __init__(self, threads: int = 0) -> None:
        self._unstarted = threads or max(1, available_cores() // 2)
        self._waiting: FairOrder[_Work[object]] = FairOrder(depth=2)
        self._changed = threading.Condition()

    def submit(self, sender: Sender, function: Callable[[], T]) -> "Future[T]":
        """Have a thread call the function; cancelling the future before that removes it."""
        work = _Work(function)
        with self._changed:
            self._waiting.push((sender.caller, sender.request), work)  # type: ignore[arg-type]
            if self._unstarted:
                self._unstarted -= 1
                threading.Thread(target=self._run, name="background", daemon=True).start()
            self._changed.notify()
        return work.future

    def _run(self) -> None:
        lower_priority()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                work = self._waiting.pop()
            work.run()


def lower_priority() -> None:
    """Have the kernel prefer other threads to the current one, where each thread has a niceness, as on Linux.

    Without this, a small request beside large ones waits for a core at each step of its way, and takes three times as
    long.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
