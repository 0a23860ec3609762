"""Worker threads with fake engines: a failure affects only its own requests, and no request waits for ever."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from service.engine import worker as worker_module
from service.engine.occupancy import QueueLimits
from service.engine.queue import Closed, Queue
from service.engine.types import EngineFailure, EngineRequest, FinishedRequest
from service.engine.worker import Engine, LocalWorkerPool
from tests.service.fakes import TIMEOUT, EchoEngine, Failing, HeldEngine, RecordingObserver

Start = Callable[..., LocalWorkerPool]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start worker pools; they are drained when the test ends."""
    worker_pools = []

    def start(*engines: Engine, **limits: int) -> LocalWorkerPool:
        worker_pool = LocalWorkerPool(
            "test", list(engines), Queue(QueueLimits(**limits), len(engines)), RecordingObserver()
        )
        worker_pool.start()
        worker_pools.append(worker_pool)
        return worker_pool

    yield start
    for worker_pool in worker_pools:
        assert worker_pool.drain(TIMEOUT)


def record(worker_pool: LocalWorkerPool) -> RecordingObserver:
    observer = worker_pool.workers[0].observer
    assert isinstance(observer, RecordingObserver)
    return observer


def ids(request: EngineRequest) -> list[int]:
    return request.future.result(TIMEOUT).ids


def failure(request: EngineRequest) -> str:
    error = request.future.exception(TIMEOUT)
    assert isinstance(error, EngineFailure)
    return str(error)


def test_failed_step_fails_its_requests_and_the_next_request_is_served(start: Start) -> None:
    worker_pool = start(EchoEngine(on_step=Failing(1)))
    both = [EngineRequest([1, 2]), EngineRequest([3])]
    worker_pool.queue.submit(both)
    assert [failure(request) for request in both] == ["the step failed: RuntimeError"] * 2
    later = EngineRequest([4, 5])
    worker_pool.queue.submit([later])
    assert ids(later) == [4, 5]
    assert not worker_pool.problem
    assert record(worker_pool).failures == 1


def test_failed_step_does_not_affect_waiting_requests(start: Start) -> None:
    worker_pool = start(EchoEngine(on_step=Failing(1)), rows=1)
    first, second = both = [EngineRequest([1]), EngineRequest([2])]
    worker_pool.queue.submit(both)
    assert failure(first) == "the step failed: RuntimeError"
    assert ids(second) == [2]


def test_group_that_fails_to_join_fails_alone(start: Start) -> None:
    engine = HeldEngine()
    engine.on_join = Failing(3)
    worker_pool = start(engine)
    running = EngineRequest([1, 2, 3])
    worker_pool.queue.submit([running])
    engine.wait_for_step(1)
    short, long = EngineRequest([4]), EngineRequest([5] * 50)  # two groups: joins number 2 and 3
    worker_pool.queue.submit([short, long])
    engine.allow(10)
    assert failure(long) == "encoding failed: RuntimeError"
    assert (ids(running), ids(short)) == ([1, 2, 3], [4])


def test_observer_receives_groups_steps_and_results(start: Start) -> None:
    worker_pool = start(EchoEngine())
    worker_pool.queue.submit([EngineRequest([1, 2, 3]), EngineRequest([4])])
    assert worker_pool.drain(TIMEOUT)
    assert record(worker_pool).groups == [[1, 3]]
    assert record(worker_pool).steps == [2, 1, 1]
    assert record(worker_pool).turns == 3
    assert record(worker_pool).answers == 2


class WrongRequestEngine(EchoEngine):
    """Returns a request that never joined, which is an error outside of a step."""

    def step(self) -> list[FinishedRequest]:
        return [(EngineRequest([1]), outcome) for _, outcome in super().step()]


def test_death_of_a_worker_fails_all_requests_and_closes_the_queue(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    worker_pool = start(WrongRequestEngine(), rows=1)
    all_requests = [EngineRequest([1]), EngineRequest([2]), EngineRequest([3])]
    worker_pool.queue.submit(all_requests)
    assert [failure(request) for request in all_requests] == ["the worker died: KeyError"] * 3
    assert worker_pool.drain(TIMEOUT)
    assert "a worker has died" in worker_pool.problem
    with pytest.raises(Closed):
        worker_pool.queue.submit([EngineRequest([4])])
    assert "worker-test-0 died" in caplog.text
    assert record(worker_pool).turns == 1  # so that their errors are reported


class FailingDropEngine(HeldEngine):
    """Fails when a cancelled request is dropped."""

    def drop(self, requests: list[EngineRequest]) -> None:
        if any(request.cancelled for request in requests):
            raise RuntimeError("cannot drop")
        super().drop(requests)


def test_death_between_pick_and_join_fails_the_picked_requests(start: Start) -> None:
    engine = FailingDropEngine()
    worker_pool = start(engine)
    cancelled, picked = EngineRequest([1] * 9), [EngineRequest([2]), EngineRequest([3] * 50)]
    worker_pool.queue.submit([cancelled])
    engine.wait_for_step(1)
    worker_pool.queue.submit(picked)
    cancelled.future.cancel()
    engine.allow(1)
    assert [failure(request) for request in picked] == ["the worker died: RuntimeError"] * 2


def test_cancelled_running_request_is_dropped_before_the_next_step(start: Start) -> None:
    engine = HeldEngine()
    worker_pool = start(engine)
    cancelled, stays = EngineRequest([1] * 9), EngineRequest([2] * 9)
    worker_pool.queue.submit([cancelled, stays])
    engine.wait_for_step(1)
    cancelled.future.cancel()
    engine.allow(1)
    engine.wait_for_step(2)
    assert engine.requests == [stays]
    engine.allow(8)
    assert ids(stays) == [2] * 9


def test_cancelled_requests_are_dropped_when_nothing_else_runs(start: Start) -> None:
    empty = threading.Event()

    class WatchedEngine(HeldEngine):
        def drop(self, requests: list[EngineRequest]) -> None:
            super().drop(requests)
            if requests and not self.requests:
                empty.set()

    engine = WatchedEngine()
    worker_pool = start(engine)
    cancelled = [EngineRequest([1] * 9), EngineRequest([2] * 9)]
    worker_pool.queue.submit(cancelled)
    engine.wait_for_step(1)
    for request in cancelled:
        request.future.cancel()
    engine.allow(1)
    assert empty.wait(TIMEOUT)  # without another request that starts an iteration


def test_drain_waits_for_all_admitted_requests(start: Start) -> None:
    engine = HeldEngine()
    worker_pool = start(engine, rows=2)
    admitted = [EngineRequest([n] * 3) for n in range(7)]
    worker_pool.queue.submit(admitted)
    engine.wait_for_step(1)
    assert not worker_pool.drain(timeout=0)  # the engine is held, so requests are unfinished
    assert not worker_pool.problem
    engine.allow(100)
    assert worker_pool.drain(TIMEOUT)
    assert [ids(request) for request in admitted] == [request.ids for request in admitted]


def test_concurrent_callers_get_their_own_results(start: Start) -> None:
    """Many callers, sources of all lengths: a result that reaches another request would be noticed."""
    generator = random.Random(1)
    all_requests = [
        EngineRequest([generator.randrange(10_000) for _ in range(generator.randint(1, 60))]) for _ in range(200)
    ]
    worker_pool = start(EchoEngine(), rows=16, encode_tokens=200)
    callers = [threading.Thread(target=submit_in_pairs, args=(worker_pool, all_requests[i::5])) for i in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [ids(request) for request in all_requests] == [request.ids for request in all_requests]


def submit_in_pairs(worker_pool: LocalWorkerPool, requests: list[EngineRequest]) -> None:
    for i in range(0, len(requests), 2):
        worker_pool.queue.submit(requests[i : i + 2])


def test_worker_that_hangs_in_a_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STALL_SECONDS", 0.0)
    engine = HeldEngine()
    worker_pool = LocalWorkerPool("held", [engine], Queue(QueueLimits()), RecordingObserver())
    worker_pool.start()
    assert not worker_pool.stalled  # it waits for requests
    worker_pool.queue.submit([EngineRequest([1])])
    engine.wait_for_step(1)
    assert worker_pool.stalled
    assert "does not respond" in worker_pool.problem
    engine.allow(1)
    assert worker_pool.drain(TIMEOUT)
    assert not worker_pool.stalled
