"""The future of an engine request: what comes first stays, and nothing is left to the garbage collector."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import CancelledError
from functools import partial

import pytest

from service.engine.result_future import ResultFuture
from service.engine.types import EngineRequest, EngineResult

TIMEOUT = 10.0


def test_what_comes_first_stays() -> None:
    done, failed, cancelled = ResultFuture[int](), ResultFuture[int](), ResultFuture[int]()
    error = ValueError("no")

    assert done.set_result(1)
    assert not done.cancel()
    assert not done.set_result(2)
    assert not done.set_exception(error)
    assert (done.result(), done.exception(), done.done(), done.cancelled()) == (1, None, True, False)

    assert failed.set_exception(error)
    assert not failed.set_result(2)
    assert failed.exception() is error
    with pytest.raises(ValueError, match="no"):
        failed.result()

    assert cancelled.cancel()
    assert not cancelled.set_result(2)
    assert cancelled.done()
    assert cancelled.cancelled()
    for ask in (cancelled.result, cancelled.exception):
        with pytest.raises(CancelledError):
            ask()


def test_there_is_no_result_in_time() -> None:
    with pytest.raises(TimeoutError):
        ResultFuture[int]().result(0.01)


def test_callbacks_are_called_once_in_order_and_a_faulty_one_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    future, seen = ResultFuture[int](), list[str]()
    future.add_done_callback(lambda _: seen.append("first"))
    future.add_done_callback(lambda _: 1 // 0)
    future.add_done_callback(lambda done: seen.append(f"result {done.result()}"))
    future.set_result(3)
    future.cancel()
    future.add_done_callback(lambda _: seen.append("late"))
    assert seen == ["first", "result 3", "late"]
    assert "ZeroDivisionError" in caplog.text


def test_a_result_is_waited_for_in_a_thread_and_in_an_event_loop() -> None:
    async def wait(future: ResultFuture[int]) -> int:
        threading.Timer(0.01, future.set_result, [5]).start()
        return await asyncio.wait_for(future.wait(), TIMEOUT)

    assert asyncio.run(wait(ResultFuture())) == 5
    future = ResultFuture[int]()
    threading.Timer(0.01, future.set_result, [6]).start()
    assert future.result(TIMEOUT) == 6


def test_one_of_many_threads_decides() -> None:
    for _ in range(50):
        future, first = ResultFuture[int](), list[int]()
        calls = list[ResultFuture[int]]()
        future.add_done_callback(calls.append)
        start = threading.Barrier(4)

        def decide(number: int) -> None:
            start.wait()  # noqa: B023 -- joined below
            if future.set_result(number):  # noqa: B023
                first.append(number)  # noqa: B023

        threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [future.result()] == first
        assert calls == [future]


@pytest.mark.parametrize("end", ["set_result", "cancel"])
def test_a_request_whose_callback_knows_it_is_freed_without_a_collection(end: str) -> None:
    def note(request: EngineRequest, _: ResultFuture[EngineResult]) -> None:
        seen.append(len(request.ids))

    seen = list[int]()
    request = EngineRequest([1, 2, 3])
    request.future.add_done_callback(partial(note, request))
    freed = weakref.ref(request.future)
    gc.disable()
    try:
        request.future.cancel() if end == "cancel" else request.future.set_result(EngineResult())
        del request
        assert freed() is None
    finally:
        gc.enable()
    assert seen == [3]
