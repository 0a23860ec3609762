"""The scheduler: which requests join, run and finish, checked without threads, step by step."""

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import scheduler as scheduler_module
from service.engine.occupancy import SMALL_REQUEST, QueueFull, QueueLimits
from service.engine.queue import JOINING_ROWS, Closed, Queue
from service.engine.scheduler import Scheduler
from service.engine.types import EngineRequest, EngineResult, Sender
from tests.service.fakes import EchoEngine, answer


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now: float

    def monotonic(self) -> float:
        return self.now


def request(length: int = 1) -> EngineRequest:
    return EngineRequest(list(range(length)))


def requests(*lengths: int) -> list[EngineRequest]:
    return [request(length) for length in lengths]


def new_scheduler(**limits: int) -> Scheduler:
    return Scheduler(Queue(QueueLimits(**limits)))


def admit(scheduler: Scheduler) -> list[list[EngineRequest]]:
    """Run one scheduling iteration; return the groups that joined."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.joining:
        scheduler.admit(group)
    return plan.joining


def step(scheduler: Scheduler, engine: EchoEngine) -> list[EngineRequest]:
    """Run one iteration of the worker's loop; return the requests that shared its step."""
    plan = scheduler.pick()
    assert plan is not None
    engine.drop(plan.cancelled)
    for group in plan.joining:
        engine.join(group)
        scheduler.admit(group)
    shared = scheduler.running
    scheduler.settle(engine.step())
    return shared


@pytest.mark.parametrize(
    ("limits", "fits", "too_many"),
    [({"queue_segments": 3}, [1, 1], [1, 1]), ({"queue_tokens": 10}, [4, 4], [8, 9])],
    ids=["segments", "tokens"],
)
def test_full_queue_rejects_all_requests_of_a_call(
    limits: dict[str, int], fits: list[int], too_many: list[int]
) -> None:
    scheduler = new_scheduler(**limits)
    scheduler.queue.submit(requests(*fits))
    with pytest.raises(QueueFull) as caught:
        scheduler.queue.submit(requests(*too_many))
    assert caught.value.waiting == scheduler.queue.waiting == len(fits)
    scheduler.queue.submit(requests(too_many[0]))  # alone it fits: nothing of the rejected call was kept


def test_dequeued_requests_free_their_tokens() -> None:
    scheduler = new_scheduler(queue_tokens=8, encode_tokens=8)
    for _ in range(3):
        scheduler.queue.submit(requests(4, 4))
        assert admit(scheduler)
        scheduler.fail_running(RuntimeError())


def test_cancelled_requests_free_their_place_in_a_full_queue() -> None:
    scheduler = new_scheduler(queue_segments=2, queue_tokens=9)
    cancelled, waits = requests(5, 4)
    scheduler.queue.submit([cancelled, waits])
    cancelled.future.cancel()
    late = request(5)
    scheduler.queue.submit([late])
    assert admit(scheduler) == [[waits, late]]


def test_requests_join_in_order_of_arrival_as_rows_allow() -> None:
    scheduler = new_scheduler(rows=3)
    first, second, third, fourth = waiting = requests(4, 2, 3, 1)
    scheduler.queue.submit(waiting)
    assert admit(scheduler) == [[second, third, first]]
    assert admit(scheduler) == []
    scheduler.settle([(second, answer([]))])
    assert admit(scheduler) == [[fourth]]
    assert scheduler.running == [third, first, fourth]


def test_requests_are_grouped_by_length() -> None:
    scheduler = new_scheduler()
    scheduler.queue.submit(requests(100, 3, 14, 15, 36, 4))
    assert [[len(t.ids) for t in group] for group in admit(scheduler)] == [[3, 4, 14], [15, 36], [100]]


def test_encode_budget_counts_padded_tokens() -> None:
    scheduler = new_scheduler(encode_tokens=20)
    scheduler.queue.submit(requests(2, 10, 2, 2))
    assert [[len(t.ids) for t in group] for group in admit(scheduler)] == [[2, 10]]
    assert [[len(t.ids) for t in group] for group in admit(scheduler)] == [[2, 2]]


def test_request_above_the_encode_budget_joins_alone() -> None:
    scheduler = new_scheduler(encode_tokens=5)
    scheduler.queue.submit(requests(9, 1))
    assert [[len(t.ids) for t in group] for group in admit(scheduler)] == [[9]]


def test_cancelled_requests_take_neither_rows_nor_encode_budget() -> None:
    scheduler = new_scheduler(rows=2, encode_tokens=8)
    cancelled, *rest = waiting = requests(100, 4, 4)
    scheduler.queue.submit(waiting)
    cancelled.future.cancel()
    assert admit(scheduler) == [rest]


@given(st.data(), st.integers(1, JOINING_ROWS))
def test_finished_requests_free_their_rows_and_the_others_keep_their_order(data: st.DataObject, rows: int) -> None:
    scheduler = new_scheduler(rows=rows)
    all_requests = [request(2) for _ in range(rows)]
    scheduler.queue.submit([*all_requests, *(late := requests(*[1] * rows))])
    admit(scheduler)
    done = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    scheduler.settle((t, answer([])) for t, flag in zip(all_requests, done, strict=True) if flag)
    staying = [t for t, flag in zip(all_requests, done, strict=True) if not flag]
    assert (scheduler.running, scheduler.rows) == (staying, len(staying))
    assert [t for group in admit(scheduler) for t in group] == late[: sum(done)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the scheduler's clock by one that the test moves."""
    clock = Clock(now=1000.0)
    monkeypatch.setattr(scheduler_module, "time", clock)
    return clock


def single(count: int) -> list[EngineRequest]:
    """Return the segments of as many HTTP requests."""
    return [EngineRequest([1, 1], sender=Sender(1, number)) for number in range(count)]


def running_many(rows: int = 64, workers: int = 1) -> Scheduler:
    """Return one of the workers' schedulers, which all run as many requests as let newcomers wait."""
    queue = Queue(QueueLimits(rows=rows * workers), workers)
    schedulers = [Scheduler(queue) for _ in range(workers)]
    submit(schedulers[0], single(JOINING_ROWS * workers))
    for scheduler in schedulers:
        admit(scheduler)
        assert scheduler.rows == JOINING_ROWS
    return schedulers[0]


def submit(scheduler: Scheduler, requests: list[EngineRequest]) -> None:
    for one in requests:
        scheduler.queue.submit([one])


def test_newcomers_join_a_busy_worker_in_groups(clock: Clock) -> None:
    scheduler = running_many()
    submit(scheduler, single(JOINING_ROWS - 1))
    assert admit(scheduler) == []
    submit(scheduler, single(1))
    [group] = admit(scheduler)
    assert len(group) == JOINING_ROWS


def test_newcomers_wait_for_others_only_for_a_while(clock: Clock) -> None:
    scheduler = running_many()
    submit(scheduler, single(1))
    assert admit(scheduler) == []
    clock.now += 0.9 * scheduler_module.JOINING_SECONDS
    assert admit(scheduler) == []
    clock.now += 0.2 * scheduler_module.JOINING_SECONDS
    assert len(admit(scheduler)) == 1
    submit(scheduler, single(1))
    assert admit(scheduler) == []  # the next ones wait from now on
    clock.now += 1.1 * scheduler_module.JOINING_SECONDS  # as long as one slow step
    assert len(admit(scheduler)) == 1


def test_newcomers_of_a_full_queue_wait_until_several_rows_are_free(clock: Clock) -> None:
    scheduler = new_scheduler(rows=32)
    submit(scheduler, single(100))
    assert sum(map(len, admit(scheduler))) == 32
    for count in range(1, JOINING_ROWS):
        scheduler.settle([(scheduler.running[0], answer([]))])
        assert admit(scheduler) == []
        assert scheduler.rows == 32 - count
    scheduler.settle([(scheduler.running[0], answer([]))])
    assert sum(map(len, admit(scheduler))) == JOINING_ROWS


def test_newcomers_join_a_worker_of_few_rows_at_once(clock: Clock) -> None:
    scheduler = running_many()
    scheduler.settle([(scheduler.running[0], answer([]))])
    submit(scheduler, single(1))
    assert len(admit(scheduler)) == 1


def test_small_request_joins_large_ones_at_once(clock: Clock) -> None:
    scheduler = new_scheduler(rows=64)
    scheduler.queue.submit([request(2) for _ in range(SMALL_REQUEST + 8)])
    admit(scheduler)
    small = EngineRequest([1], sender=Sender(2, 1))
    scheduler.queue.submit([small])
    assert admit(scheduler) == [[small]]


def test_one_worker_takes_the_whole_group(clock: Clock) -> None:
    busy = running_many(workers=2)
    submit(busy, single(JOINING_ROWS))
    [group] = admit(busy)
    assert len(group) == JOINING_ROWS  # beyond its share, which is half of all rows


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=30))
def test_every_request_gets_its_own_result(arrivals: list[tuple[int, int]]) -> None:
    scheduler, engine = new_scheduler(rows=4, encode_tokens=12), EchoEngine()
    all_requests = [EngineRequest([number] * length) for number, (length, _) in enumerate(arrivals)]
    steps_until_cancelled = [steps for _, steps in arrivals]  # some are cancelled before their result
    scheduler.queue.submit(all_requests)
    for turn in range(200):
        for t, steps in zip(all_requests, steps_until_cancelled, strict=True):
            if steps == turn:
                t.future.cancel()
        if all(t.future.done() for t in all_requests):
            break
        step(scheduler, engine)
        assert set(scheduler.running) == set(engine.requests)
    for t in all_requests:
        assert t.future.cancelled() or t.future.result().ids == t.ids


def test_settling_a_request_that_does_not_run_raises() -> None:
    scheduler = new_scheduler()
    scheduler.queue.submit(requests(1))
    admit(scheduler)
    with pytest.raises(KeyError):
        scheduler.settle([(request(), answer([]))])


def test_error_of_one_request_fails_it_alone() -> None:
    scheduler = new_scheduler()
    good, bad = both = requests(1, 1)
    scheduler.queue.submit(both)
    admit(scheduler)
    error = RuntimeError("not a number")
    scheduler.settle([(bad, error), (good, answer([7]))])
    assert bad.future.exception() is error
    assert good.future.result().ids == [7]
    assert (scheduler.running, scheduler.rows) == ([], 0)


def test_short_request_finishes_before_a_long_one_in_the_same_batch() -> None:
    scheduler, engine = new_scheduler(), EchoEngine()
    long, short = requests(6, 2)
    scheduler.queue.submit([long])
    assert step(scheduler, engine) == [long]
    scheduler.queue.submit([short])
    assert step(scheduler, engine) == [long, short]
    assert step(scheduler, engine) == [long, short]
    assert short.future.result().ids == short.ids
    assert not long.future.done()
    for _ in range(3):
        assert step(scheduler, engine) == [long]
    assert long.future.result().ids == long.ids


def test_result_has_queue_and_compute_time() -> None:
    scheduler, engine = new_scheduler(), EchoEngine()
    one = EngineRequest([1], submitted=time.monotonic() - 5)
    scheduler.queue.submit([one])
    step(scheduler, engine)
    assert 5000 <= one.future.result().queue_ms < 15_000
    assert 0 <= one.future.result().compute_ms < 10_000


def test_cancelled_request_is_dropped_before_the_next_step() -> None:
    scheduler, engine = new_scheduler(), EchoEngine()
    first, second, third = all_requests = requests(4, 4, 4)
    scheduler.queue.submit(all_requests)
    step(scheduler, engine)
    first.future.cancel()
    assert step(scheduler, engine) == [second, third]


def test_closed_queue_drains_admitted_requests() -> None:
    scheduler, engine = new_scheduler(rows=1), EchoEngine()
    admitted = requests(2, 1)
    scheduler.queue.submit(admitted)
    scheduler.queue.close()
    assert scheduler.queue.closed
    with pytest.raises(Closed):
        scheduler.queue.submit([request()])
    for _ in range(3):
        step(scheduler, engine)
    assert [t.future.result().ids for t in admitted] == [[0, 1], [0]]
    assert scheduler.pick() is None


def test_all_requests_can_be_failed() -> None:
    scheduler = new_scheduler(rows=1)
    running, waiting, cancelled = all_requests = requests(1, 1, 1)
    scheduler.queue.submit(all_requests)
    admit(scheduler)
    cancelled.future.cancel()
    error = RuntimeError("the end")
    scheduler.fail_running(error)
    scheduler.queue.fail_waiting(error)
    assert running.future.exception() is waiting.future.exception() is error
    assert cancelled.future.cancelled()
    assert (scheduler.queue.waiting, scheduler.running, scheduler.pick()) == (0, [], None)
    with pytest.raises(Closed):
        scheduler.queue.submit([request()])


def test_cancelled_request_ignores_result_and_error() -> None:
    cancelled = request()
    cancelled.future.cancel()
    cancelled.future.set_result(EngineResult())
    cancelled.future.set_exception(RuntimeError())
    assert cancelled.future.cancelled()
