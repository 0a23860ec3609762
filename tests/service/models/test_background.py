"""Threads for CPU-bound work of requests."""

import os
import sys
import threading

import pytest

from service.engine.types import Sender
from service.models.background import NICENESS, BackgroundThreads
from tests.service.fakes import TIMEOUT


def test_callers_take_turns_and_cancelled_work_is_dropped() -> None:
    threads, begun, go = BackgroundThreads(1), threading.Event(), threading.Event()
    done: list[str] = []

    def hold() -> None:
        begun.set()
        assert go.wait(TIMEOUT)

    threads.submit(Sender(1, 1), hold)
    assert begun.wait(TIMEOUT)
    many = [threads.submit(Sender(1, number), lambda: done.append("many")) for number in range(5)]
    one = threads.submit(Sender(2, 9), lambda: done.append("one"))
    assert many[4].cancel()
    go.set()
    for future in [*many[:4], one]:
        future.result(TIMEOUT)
    assert done.index("one") <= 1
    assert len(done) == 5


def test_error_of_the_work_is_raised_to_its_caller_alone() -> None:
    threads = BackgroundThreads(1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(Sender(), lambda: 1 // 0).result(TIMEOUT)
    assert threads.submit(Sender(), lambda: 5).result(TIMEOUT) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_threads_leave_the_cores_to_the_event_loop() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert BackgroundThreads(1).submit(Sender(), niceness).result(TIMEOUT) == min(19, niceness() + NICENESS)
