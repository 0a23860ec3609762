"""The queue that a model's workers share: who gets what, checked without a thread, taking by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.decoding.options import DecodingOptions
from service.engine.queue import Closed, Queue, QueueLimits
from service.engine.scheduler import IterationPlan, Scheduler
from service.engine.types import EngineRequest
from tests.service.fakes import answer


def request(length: int = 1, rows: int = 1) -> EngineRequest:
    return EngineRequest([7] * length, DecodingOptions(beam_size=rows))


def queue_of(*requests: EngineRequest, workers: int = 1, **limits: int) -> Queue:
    queue = Queue(QueueLimits(**limits), workers)
    queue.submit(requests)
    return queue


def admit(scheduler: Scheduler) -> list[EngineRequest]:
    """Let everybody join who may; who did."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.joining:
        scheduler.admit(group)
    return [request for group in plan.joining for request in group]


def finish(scheduler: Scheduler, *requests: EngineRequest) -> None:
    scheduler.settle((request, answer([])) for request in requests)


def test_two_workers_share_what_waits() -> None:
    queue = queue_of(*[request() for _ in range(10)], workers=2)
    first, second = Scheduler(queue), Scheduler(queue)
    assert len(admit(first)) == 5
    assert len(admit(second)) == 5


def test_a_worker_that_has_its_share_leaves_the_rest_to_the_other() -> None:
    queue = queue_of(*[request() for _ in range(6)], workers=2)
    busy, idle = Scheduler(queue), Scheduler(queue)
    running = admit(busy)
    admit(idle)
    queue.submit([request()])
    finish(idle, *idle.running)
    assert admit(busy) == []  # three of four rows are its own already
    assert len(admit(idle)) == 1
    finish(busy, *running)
    queue.submit([request(), request()])
    assert len(admit(busy)) == 2


def test_no_worker_takes_more_rows_than_it_may_run() -> None:
    queue = queue_of(*[request() for _ in range(20)], workers=2, rows=9)
    assert queue.rows_per_worker == 4
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(admit(one)), len(admit(other)), len(admit(one)), len(admit(other))] == [4, 4, 0, 0]


def test_there_is_always_room_for_one_row() -> None:
    assert Queue(QueueLimits(rows=2), workers=3).rows_per_worker == 1


def test_a_beam_counts_as_many_rows_as_it_is_wide() -> None:
    wide, narrow, last = request(rows=4), request(rows=2), request()
    scheduler = Scheduler(queue_of(wide, narrow, last, rows=6))
    assert admit(scheduler) == [wide, narrow]
    assert scheduler.rows == 6
    finish(scheduler, narrow)
    assert admit(scheduler) == [last]
    assert scheduler.rows == 5


def test_beams_are_shared_by_rows() -> None:
    queue = queue_of(*[request(rows=4) for _ in range(4)], *[request() for _ in range(8)], workers=2, rows=32)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [t.rows for t in admit(one)] == [4, 4, 4]
    assert sum(t.rows for t in admit(other)) == 12


def test_a_beam_wider_than_what_is_free_waits_and_nobody_passes_it() -> None:
    small, wide, late = [request() for _ in range(3)], request(rows=4), [request() for _ in range(9)]
    scheduler = Scheduler(queue_of(*small, wide, *late, rows=5))
    assert admit(scheduler) == small
    assert admit(scheduler) == []
    finish(scheduler, small[0])
    assert admit(scheduler) == []  # three rows are free, the beam needs four
    finish(scheduler, small[1])
    assert admit(scheduler) == [wide]
    finish(scheduler, small[2])
    assert admit(scheduler) == late[:1]


def test_only_the_withdrawn_are_waiting() -> None:
    """Nothing joins, nothing is counted, and the worker may ask again."""
    gone = [request(rows=2), request()]
    queue = queue_of(*gone, workers=2)
    for one in gone:
        one.future.cancel()
    scheduler = Scheduler(queue)
    assert admit(scheduler) == []
    assert queue.waiting == 0
    queue.submit([request(), request()])
    assert len(admit(scheduler)) == 1  # the share of one of two workers


def test_a_running_ticket_that_is_withdrawn_leaves_with_the_next_plan_and_frees_its_rows() -> None:
    beam, other, waits = request(rows=3), request(), request(rows=3)
    scheduler = Scheduler(queue_of(beam, other, waits, rows=4))
    admit(scheduler)
    beam.future.cancel()
    assert scheduler.pick() == IterationPlan([beam], [[waits]])


def test_a_group_that_cannot_join_gets_the_error_and_gives_back_its_rows() -> None:
    queue = queue_of(request(rows=4), workers=2, rows=8)
    scheduler = Scheduler(queue)
    plan = scheduler.pick()
    assert plan is not None
    [group], error = plan.joining, RuntimeError("no memory")
    scheduler.reject(group, error)
    assert [t.future.exception() for t in group] == [error]
    assert scheduler.running == []
    queue.submit([request() for _ in range(4)])
    assert len(admit(scheduler)) == 2  # half of what there is: the refused rows are not counted


def test_the_encode_budget_is_each_workers_own() -> None:
    queue = queue_of(*[request(length=10) for _ in range(8)], workers=2, encode_tokens=20)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(admit(one)), len(admit(other)), len(admit(one)), len(admit(other))] == [2, 2, 2, 2]


def test_a_closed_queue_ends_a_worker_when_it_has_nothing_left() -> None:
    queue = queue_of(request(), request(), workers=2)
    one, other = Scheduler(queue), Scheduler(queue)
    running = admit(one)
    admit(other)
    queue.close()
    assert admit(one) == []
    finish(one, *running)
    assert one.pick() is None
    assert other.pick() is not None


def test_a_failed_queue_spares_what_another_worker_runs() -> None:
    running, waits = request(), [request(), request()]
    queue = queue_of(running, workers=2)
    scheduler, error = Scheduler(queue), RuntimeError("the other worker died")
    admit(scheduler)
    queue.submit(waits)
    queue.fail_waiting(error)
    assert [t.future.exception() for t in waits] == [error, error]
    finish(scheduler, running)
    assert running.future.result() is not None
    assert (queue.closed, queue.waiting, scheduler.pick()) == (True, 0, None)
    with pytest.raises(Closed):
        queue.submit([request()])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_everybody_is_served_in_order_and_within_the_bounds(
    arrivals: list[tuple[int, int, int]], workers: int, random: object
) -> None:
    """Whatever comes: no worker runs more rows than it may, and of those who stay nobody waits for ever."""
    requests = [request(length, rows) for rows, length, _ in arrivals]
    queue = queue_of(*requests, workers=workers, rows=4 * workers, encode_tokens=40)
    schedulers = [Scheduler(queue) for _ in range(workers)]
    for one, (_, _, mood) in zip(requests, arrivals, strict=True):
        if mood == 0:
            one.future.cancel()
    joined: list[EngineRequest] = []
    for _ in range(200):
        if all(one.future.done() for one in requests):
            break
        for scheduler in schedulers:
            if not queue.waiting and not scheduler.rows:
                continue  # it would wait
            joined += sorted(admit(scheduler), key=requests.index)
            assert scheduler.rows == sum(one.rows for one in scheduler.running) <= queue.rows_per_worker
            if scheduler.running:
                finish(scheduler, random.choice(scheduler.running))  # type: ignore[attr-defined]
    assert joined == [one for one, (_, _, mood) in zip(requests, arrivals, strict=True) if mood]
    assert all(one.future.done() for one in requests)
