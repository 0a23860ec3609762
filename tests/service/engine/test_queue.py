"""The queue that a model's workers share: who gets what, checked without a thread, taking by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.decoding.options import Options
from service.engine.queue import Bounds, Closed, Queue
from service.engine.scheduler import Plan, Scheduler
from service.engine.types import Ticket
from tests.service.fakes import answer


def ticket(length: int = 1, rows: int = 1) -> Ticket:
    return Ticket([7] * length, Options(beam_size=rows))


def queue_of(*tickets: Ticket, workers: int = 1, **bounds: int) -> Queue:
    queue = Queue(Bounds(**bounds), workers)
    queue.submit(tickets)
    return queue


def seat(scheduler: Scheduler) -> list[Ticket]:
    """Let everybody join who may; who did."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.join:
        scheduler.seat(group)
    return [ticket for group in plan.join for ticket in group]


def finish(scheduler: Scheduler, *tickets: Ticket) -> None:
    scheduler.settle((ticket, answer([])) for ticket in tickets)


def test_two_workers_share_what_waits() -> None:
    queue = queue_of(*[ticket() for _ in range(10)], workers=2)
    first, second = Scheduler(queue), Scheduler(queue)
    assert len(seat(first)) == 5
    assert len(seat(second)) == 5


def test_a_worker_that_has_its_share_leaves_the_rest_to_the_other() -> None:
    queue = queue_of(*[ticket() for _ in range(6)], workers=2)
    busy, idle = Scheduler(queue), Scheduler(queue)
    running = seat(busy)
    seat(idle)
    queue.submit([ticket()])
    finish(idle, *idle.running)
    assert seat(busy) == []  # three of four rows are its own already
    assert len(seat(idle)) == 1
    finish(busy, *running)
    queue.submit([ticket(), ticket()])
    assert len(seat(busy)) == 2


def test_no_worker_takes_more_rows_than_it_may_run() -> None:
    queue = queue_of(*[ticket() for _ in range(20)], workers=2, rows=9)
    assert queue.rows == 4
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(seat(one)), len(seat(other)), len(seat(one)), len(seat(other))] == [4, 4, 0, 0]


def test_there_is_always_room_for_one_row() -> None:
    assert Queue(Bounds(rows=2), workers=3).rows == 1


def test_a_beam_counts_as_many_rows_as_it_is_wide() -> None:
    wide, narrow, last = ticket(rows=4), ticket(rows=2), ticket()
    scheduler = Scheduler(queue_of(wide, narrow, last, rows=6))
    assert seat(scheduler) == [wide, narrow]
    assert scheduler.rows == 6
    finish(scheduler, narrow)
    assert seat(scheduler) == [last]
    assert scheduler.rows == 5


def test_beams_are_shared_by_rows() -> None:
    queue = queue_of(*[ticket(rows=4) for _ in range(4)], *[ticket() for _ in range(8)], workers=2, rows=32)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [t.rows for t in seat(one)] == [4, 4, 4]
    assert sum(t.rows for t in seat(other)) == 12


def test_a_beam_wider_than_what_is_free_waits_and_nobody_passes_it() -> None:
    small, wide, late = [ticket() for _ in range(3)], ticket(rows=4), [ticket() for _ in range(9)]
    scheduler = Scheduler(queue_of(*small, wide, *late, rows=5))
    assert seat(scheduler) == small
    assert seat(scheduler) == []
    finish(scheduler, small[0])
    assert seat(scheduler) == []  # three rows are free, the beam needs four
    finish(scheduler, small[1])
    assert seat(scheduler) == [wide]
    finish(scheduler, small[2])
    assert seat(scheduler) == late[:1]


def test_only_the_withdrawn_are_waiting() -> None:
    """Nothing joins, nothing is counted, and the worker may ask again."""
    gone = [ticket(rows=2), ticket()]
    queue = queue_of(*gone, workers=2)
    for one in gone:
        one.future.cancel()
    scheduler = Scheduler(queue)
    assert seat(scheduler) == []
    assert queue.waiting == 0
    queue.submit([ticket(), ticket()])
    assert len(seat(scheduler)) == 1  # the share of one of two workers


def test_a_running_ticket_that_is_withdrawn_leaves_with_the_next_plan_and_frees_its_rows() -> None:
    beam, other, waits = ticket(rows=3), ticket(), ticket(rows=3)
    scheduler = Scheduler(queue_of(beam, other, waits, rows=4))
    seat(scheduler)
    beam.future.cancel()
    assert scheduler.pick() == Plan([beam], [[waits]])


def test_a_group_that_cannot_join_gets_the_error_and_gives_back_its_rows() -> None:
    queue = queue_of(ticket(rows=4), workers=2, rows=8)
    scheduler = Scheduler(queue)
    plan = scheduler.pick()
    assert plan is not None
    [group], error = plan.join, RuntimeError("no memory")
    scheduler.refuse(group, error)
    assert [t.future.exception() for t in group] == [error]
    assert scheduler.running == []
    queue.submit([ticket() for _ in range(4)])
    assert len(seat(scheduler)) == 2  # half of what there is: the refused rows are not counted


def test_the_encode_budget_is_each_workers_own() -> None:
    queue = queue_of(*[ticket(length=10) for _ in range(8)], workers=2, encode_tokens=20)
    one, other = Scheduler(queue), Scheduler(queue)
    assert [len(seat(one)), len(seat(other)), len(seat(one)), len(seat(other))] == [2, 2, 2, 2]


def test_a_closed_queue_ends_a_worker_when_it_has_nothing_left() -> None:
    queue = queue_of(ticket(), ticket(), workers=2)
    one, other = Scheduler(queue), Scheduler(queue)
    running = seat(one)
    seat(other)
    queue.close()
    assert seat(one) == []
    finish(one, *running)
    assert one.pick() is None
    assert other.pick() is not None


def test_a_failed_queue_spares_what_another_worker_runs() -> None:
    running, waits = ticket(), [ticket(), ticket()]
    queue = queue_of(running, workers=2)
    scheduler, error = Scheduler(queue), RuntimeError("the other worker died")
    seat(scheduler)
    queue.submit(waits)
    queue.fail(error)
    assert [t.future.exception() for t in waits] == [error, error]
    finish(scheduler, running)
    assert running.future.result() is not None
    assert (queue.closed, queue.waiting, scheduler.pick()) == (True, 0, None)
    with pytest.raises(Closed):
        queue.submit([ticket()])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_everybody_is_served_in_order_and_within_the_bounds(
    arrivals: list[tuple[int, int, int]], workers: int, random: object
) -> None:
    """Whatever comes: no worker runs more rows than it may, and of those who stay nobody waits for ever."""
    tickets = [ticket(length, rows) for rows, length, _ in arrivals]
    queue = queue_of(*tickets, workers=workers, rows=4 * workers, encode_tokens=40)
    schedulers = [Scheduler(queue) for _ in range(workers)]
    for one, (_, _, mood) in zip(tickets, arrivals, strict=True):
        if mood == 0:
            one.future.cancel()
    joined: list[Ticket] = []
    for _ in range(200):
        if all(one.future.done() for one in tickets):
            break
        for scheduler in schedulers:
            if not queue.waiting and not scheduler.rows:
                continue  # it would wait
            joined += sorted(seat(scheduler), key=tickets.index)
            assert scheduler.rows == sum(one.rows for one in scheduler.running) <= queue.rows
            if scheduler.running:
                finish(scheduler, random.choice(scheduler.running))  # type: ignore[attr-defined]
    assert joined == [one for one, (_, _, mood) in zip(tickets, arrivals, strict=True) if mood]
    assert all(one.future.done() for one in tickets)
