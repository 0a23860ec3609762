"""The queue that the workers of a pool share: fair shares, order and limits, checked without threads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.occupancy import SMALL_REQUEST, QueueFull, QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Closed, Queue
from service.engine.scheduler import IterationPlan, Scheduler
from service.engine.types import EngineRequest, Sender
from tests.service.fakes import answer


def request(length: int = 1, rows: int = 1, sender: Sender = Sender()) -> EngineRequest:  # noqa: B008
    return EngineRequest([7] * length, DecodingOptions(beam_size=rows), sender=sender)


def of(caller: int, count: int, number: int = 0, bulk: bool = False) -> list[EngineRequest]:
    """Return the segments of one HTTP request."""
    return [request(sender=Sender(caller, number, bulk)) for _ in range(count)]


def callers(requests: list[EngineRequest]) -> list[int]:
    return [one.sender.caller for one in requests]


def queue_with(*requests: EngineRequest, workers: int = 1, **limits: int) -> Queue:
    queue = Queue(QueueLimits(**limits), workers)
    queue.submit(requests)
    return queue


def admit(scheduler: Scheduler) -> list[EngineRequest]:
    """Run one scheduling iteration; return the requests that joined."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.joining:
        scheduler.admit(group)
    return [request for group in plan.joining for request in group]


def finish(scheduler: Scheduler, *requests: EngineRequest) -> None:
    scheduler.settle((request, answer([])) for request in requests)


def test_two_workers_share_waiting_requests() -> None:
    queue = queue_with(*[request() for _ in range(10)], workers=2)
    first, second = Scheduler(queue), Scheduler(queue)
    assert len(admit(first)) == 5
    assert len(admit(second)) == 5


def test_worker_with_its_fair_share_leaves_requests_to_the_other() -> None:
    queue = queue_with(*[request() for _ in range(6)], workers=2)
    busy, idle = Scheduler(queue), Scheduler(queue)
    running = admit(busy)
    admit(idle)
    queue.submit([request()])
    finish(idle, *idle.running)
    assert admit(busy) == []  # it runs three of four rows already
    assert len(admit(idle)) == 1
    finish(busy, *running)
    queue.submit([request(), request()])
    assert len(admit(busy)) == 2


def test_worker_never_exceeds_its_rows() -> None:
    queue = queue_with(*[request() for _ in range(20)], workers=2, rows=9)
    assert queue.rows_per_worker == 4
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(admit(one)), len(admit(other)), len(admit(one)), len(admit(other))] == [4, 4, 0, 0]


def test_every_worker_may_run_at_least_one_row() -> None:
    assert Queue(QueueLimits(rows=2), workers=3).rows_per_worker == 1


def test_beam_search_occupies_one_row_per_hypothesis() -> None:
    wide, narrow, last = request(rows=4), request(rows=2), request()
    scheduler = Scheduler(queue_with(wide, narrow, last, rows=6))
    assert admit(scheduler) == [wide, narrow]
    assert scheduler.rows == 6
    finish(scheduler, narrow)
    assert admit(scheduler) == [last]
    assert scheduler.rows == 5


def test_fair_share_counts_rows_not_requests() -> None:
    queue = queue_with(*[request(rows=4) for _ in range(4)], *[request() for _ in range(8)], workers=2, rows=32)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [t.rows for t in admit(one)] == [4, 4, 4]
    assert sum(t.rows for t in admit(other)) == 12


def test_beam_wider_than_the_free_rows_waits_and_is_not_overtaken() -> None:
    small, wide, late = [request() for _ in range(3)], request(rows=4), [request() for _ in range(9)]
    scheduler = Scheduler(queue_with(*small, wide, *late, rows=5))
    assert admit(scheduler) == small
    assert admit(scheduler) == []
    finish(scheduler, small[0])
    assert admit(scheduler) == []  # three rows are free, the beam needs four
    finish(scheduler, small[1])
    assert admit(scheduler) == [wide]
    finish(scheduler, small[2])
    assert admit(scheduler) == late[:1]


def test_queue_of_cancelled_requests_is_emptied() -> None:
    """Nothing joins, and cancelled requests count for no worker's share."""
    cancelled = [request(rows=2), request()]
    queue = queue_with(*cancelled, workers=2)
    for one in cancelled:
        one.future.cancel()
    scheduler = Scheduler(queue)
    assert admit(scheduler) == []
    assert queue.waiting == 0
    queue.submit([request(), request()])
    assert len(admit(scheduler)) == 1  # the share of one of two workers


def test_cancelled_running_request_is_in_the_next_plan_and_frees_its_rows() -> None:
    beam, other, waiting = request(rows=3), request(), request(rows=3)
    scheduler = Scheduler(queue_with(beam, other, waiting, rows=4))
    admit(scheduler)
    beam.future.cancel()
    assert scheduler.pick() == IterationPlan([beam], [[waiting]])


def test_rejected_group_fails_and_frees_its_rows() -> None:
    queue = queue_with(request(rows=4), workers=2, rows=8)
    scheduler = Scheduler(queue)
    plan = scheduler.pick()
    assert plan is not None
    [group], error = plan.joining, RuntimeError("no memory")
    scheduler.reject(group, error)
    assert [t.future.exception() for t in group] == [error]
    assert scheduler.running == []
    queue.submit([request() for _ in range(4)])
    assert len(admit(scheduler)) == 2  # half of the waiting rows: those of the rejected group are not counted


def test_each_worker_has_its_own_encode_budget() -> None:
    queue = queue_with(*[request(length=10) for _ in range(8)], workers=2, encode_tokens=20)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(admit(one)), len(admit(other)), len(admit(one)), len(admit(other))] == [2, 2, 2, 2]


def test_closed_queue_ends_a_worker_without_requests() -> None:
    queue = queue_with(request(), request(), workers=2)
    one, other = Scheduler(queue), Scheduler(queue)
    running = admit(one)
    admit(other)
    queue.close()
    assert admit(one) == []
    finish(one, *running)
    assert one.pick() is None
    assert other.pick() is not None


def test_failed_queue_does_not_affect_running_requests() -> None:
    running, waiting = request(), [request(), request()]
    queue = queue_with(running, workers=2)
    scheduler, error = Scheduler(queue), RuntimeError("the other worker died")
    admit(scheduler)
    queue.submit(waiting)
    queue.fail_waiting(error)
    assert [t.future.exception() for t in waiting] == [error, error]
    finish(scheduler, running)
    assert running.future.result() is not None
    assert (queue.closed, queue.waiting, scheduler.pick()) == (True, 0, None)
    with pytest.raises(Closed):
        queue.submit([request()])


def test_requests_admitted_elsewhere_are_never_rejected() -> None:
    queue = queue_with(request(), queue_segments=1, queue_tokens=1)
    more = [request(length=9) for _ in range(3)]
    queue.submit_admitted(more)
    assert queue.waiting == 4
    more[0].future.cancel()
    queue.submit_admitted([request()])
    assert queue.waiting == 4  # the cancelled one has made room
    queue.close()
    with pytest.raises(Closed):
        queue.submit_admitted([request()])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_requests_are_scheduled_in_order_and_within_the_limits(
    arrivals: list[tuple[int, int, int]], workers: int, random: object
) -> None:
    """No worker exceeds its rows, and every request that is not cancelled is computed."""
    requests = [request(length, rows) for rows, length, _ in arrivals]
    queue = queue_with(*requests, workers=workers, rows=4 * workers, encode_tokens=40)
    schedulers = [Scheduler(queue) for _ in range(workers)]
    for one, (_, _, kept) in zip(requests, arrivals, strict=True):
        if not kept:
            one.future.cancel()
    joined: list[EngineRequest] = []
    for _ in range(200):
        if all(one.future.done() for one in requests):
            break
        for scheduler in schedulers:
            if not queue.waiting and not scheduler.rows:
                continue  # it would block
            joined += sorted(admit(scheduler), key=requests.index)
            assert scheduler.rows == sum(one.rows for one in scheduler.running) <= queue.rows_per_worker
            if scheduler.running:
                finish(scheduler, random.choice(scheduler.running))  # type: ignore[attr-defined]
    assert joined == [one for one, (_, _, kept) in zip(requests, arrivals, strict=True) if kept]
    assert all(one.future.done() for one in requests)


def test_newcomer_is_next_however_many_segments_another_caller_has_waiting() -> None:
    queue = queue_with(*of(1, 100), rows=4)
    scheduler = Scheduler(queue)
    finish(scheduler, *admit(scheduler))
    queue.submit(of(2, 1))
    assert 2 in callers(admit(scheduler))


def test_callers_get_equal_shares_of_the_cost() -> None:
    """One caller's segments cost three times as much, so it gets a third as many."""
    queue = queue_with(*[request(3, sender=Sender(1)) for _ in range(60)], rows=1)
    queue.submit([request(1, sender=Sender(2)) for _ in range(60)])
    scheduler, joined = Scheduler(queue), list[int]()
    for _ in range(40):
        [one] = admit(scheduler)
        joined.append(one.sender.caller)
        finish(scheduler, one)
    assert joined.count(1) == 10


def test_requests_of_one_caller_take_turns_too() -> None:
    queue = queue_with(*of(1, 50, number=1), rows=1)
    queue.submit(of(1, 1, number=2))
    scheduler = Scheduler(queue)
    numbers = list[int]()
    for _ in range(3):
        [one] = admit(scheduler)
        numbers.append(one.sender.request)
        finish(scheduler, one)
    assert 2 in numbers


def test_large_requests_leave_rows_while_small_ones_come() -> None:
    large = of(1, SMALL_REQUEST + 92)
    queue = queue_with(*large, rows=16, encode_tokens=1600)
    scheduler = Scheduler(queue)
    assert len(admit(scheduler)) == 16  # alone, it may fill the batch
    queue.submit(of(2, 1))
    finish(scheduler, *scheduler.running)
    joined = callers(admit(scheduler))
    assert sorted(joined) == [1, 1, 1, 1, 2]  # a quarter of the rows, and the small one
    assert admit(scheduler) == []


def test_while_small_requests_come_one_of_several_workers_runs_only_those() -> None:
    queue = queue_with(*of(1, SMALL_REQUEST + 92), rows=8, workers=2)
    first, second = Scheduler(queue), Scheduler(queue)
    assert len(admit(first)) == len(admit(second)) == 4  # alone, the large request may fill all rows
    finish(first, *first.running)
    finish(second, *second.running)
    queue.submit(of(2, 2))
    assert callers(admit(second)) == [1, 1, 1, 1]  # the small ones are left to the other worker
    assert callers(admit(first)) == [2, 2]
    queue.submit(of(3, 3))
    finish(second, *second.running[1:])
    assert 3 in callers(admit(second))  # which runs more by now, so they share


def test_reserved_place_is_refused_to_others_until_it_is_used_or_given_up() -> None:
    queue = Queue(QueueLimits(queue_segments=40))
    one, other = Sender(1, request=1), Sender(1, request=2)
    queue.reserve(one, 30)
    with pytest.raises(QueueFull) as full:
        queue.reserve(other, 11)
    assert (full.value.waiting, full.value.own, queue.waiting) == (30, 30, 0)
    for number in range(3):
        queue.submit(of(1, SMALL_REQUEST, 10 + number))  # small requests need not wait for what is only reserved
    queue.submit([request(sender=one) for _ in range(30)])  # which keeps its place
    assert queue.waiting == 54
    with pytest.raises(QueueFull):
        queue.reserve(other, 1)


def test_large_requests_leave_places_to_small_ones_of_the_same_caller() -> None:
    queue = Queue(QueueLimits(queue_segments=160))
    queue.submit(of(1, 140, number=1))
    with pytest.raises(QueueFull):
        queue.submit(of(1, SMALL_REQUEST + 3, number=2))  # 151 of 160
    queue.submit(of(1, SMALL_REQUEST, number=3))
    assert queue.waiting == 148


def test_tokens_of_large_requests_refuse_no_small_one_of_the_same_caller() -> None:
    queue = Queue(QueueLimits(queue_segments=160, queue_tokens=200))
    queue.submit([request(length=20, sender=Sender(1, 1)) for _ in range(10)])
    with pytest.raises(QueueFull):
        queue.submit(of(1, SMALL_REQUEST + 1, number=2))
    queue.submit(of(1, SMALL_REQUEST, number=3))
    with pytest.raises(QueueFull):  # memory stays bounded
        queue.submit([request(length=200, sender=Sender(1, 4))])
    assert queue.waiting == 18


def test_caller_with_many_small_requests_counts_as_large_only_beside_others() -> None:
    queue = Queue(QueueLimits(rows=16))
    for number in range(20):
        queue.submit(of(1, 1, number=number))
    assert not any(one.large for one in admit(Scheduler(queue)))
    queue.submit(of(2, 1, number=100))
    [beside] = of(1, 1, number=101)
    queue.submit([beside])
    assert beside.large


def test_bulk_waits_for_interactive_requests_but_is_not_starved() -> None:
    queue = queue_with(*of(1, 100, bulk=True), rows=1)
    queue.submit(of(2, 100))
    scheduler, joined = Scheduler(queue), list[int]()
    for _ in range(64):
        [one] = admit(scheduler)
        joined.append(one.sender.caller)
        finish(scheduler, one)
    assert 3 <= joined.count(1) <= 5  # of 64: one in 16


def test_caller_cannot_shut_others_out_of_the_queue() -> None:
    queue = queue_with(*of(1, 8), queue_segments=8)
    with pytest.raises(QueueFull) as full:
        queue.submit(of(1, 1))
    assert (full.value.waiting, full.value.own) == (8, 8)
    queue.submit(of(2, 4))  # half of the limit is this caller's share
    with pytest.raises(QueueFull):
        queue.submit(of(2, 1))
    queue.submit(of(3, 2))
    queue.submit(of(4, 2))
    with pytest.raises(QueueFull):  # twice the limit is held, however many callers come
        queue.submit(of(5, 1))


def test_queue_keeps_no_state_of_callers_that_are_gone() -> None:
    queue = Queue(QueueLimits(rows=2))
    scheduler = Scheduler(queue)
    for caller in range(100):
        queue.reserve(Sender(caller, caller), 2)
        queue.submit(of(caller, 3, number=caller))
        while queue.waiting or scheduler.running:
            admit(scheduler)
            finish(scheduler, *scheduler.running)
    assert not queue._by_caller
    assert not queue._by_sender
    assert not queue._occupancy._segments
    assert not queue._occupancy._tokens
    assert not queue._occupancy._reserved_by
    assert not any(lane._flows or lane._turns for lane in (queue._small, queue._large, queue._bulk))
