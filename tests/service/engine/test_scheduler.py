"""Who waits, who runs, who leaves: checked without a thread, stepping by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue import Bounds, Closed, Queue, QueueFull
from service.engine.scheduler import Scheduler
from service.engine.types import Answer, Ticket, fail, resolve
from tests.service.fakes import EchoEngine, answer


def ticket(length: int = 1) -> Ticket:
    return Ticket(list(range(length)))


def tickets(*lengths: int) -> list[Ticket]:
    return [ticket(length) for length in lengths]


def scheduler(**bounds: int) -> Scheduler:
    return Scheduler(Queue(Bounds(**bounds)))


def seat(scheduler: Scheduler) -> list[list[Ticket]]:
    """Let everybody join who may."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.join:
        scheduler.seat(group)
    return plan.join


def step(scheduler: Scheduler, engine: EchoEngine) -> list[Ticket]:
    """One turn of the worker's loop; the tickets that shared its step."""
    plan = scheduler.pick()
    assert plan is not None
    engine.drop(plan.leave)
    for group in plan.join:
        engine.join(group)
        scheduler.seat(group)
    shared = scheduler.running
    scheduler.settle(engine.step())
    return shared


@pytest.mark.parametrize(
    ("bounds", "fits", "too_many"),
    [({"queue_segments": 3}, [1, 1], [1, 1]), ({"queue_tokens": 10}, [4, 4], [1, 2])],
    ids=["segments", "tokens"],
)
def test_a_full_queue_refuses_the_whole_request(bounds: dict[str, int], fits: list[int], too_many: list[int]) -> None:
    some = scheduler(**bounds)
    some.queue.submit(tickets(*fits))
    with pytest.raises(QueueFull) as caught:
        some.queue.submit(tickets(*too_many))
    assert caught.value.waiting == some.queue.waiting == len(fits)
    some.queue.submit(tickets(too_many[0]))  # alone it fits: nothing of the refused request was kept


def test_the_queue_counts_tokens_down_when_tickets_leave_it() -> None:
    some = scheduler(queue_tokens=8, encode_tokens=8)
    for _ in range(3):
        some.queue.submit(tickets(4, 4))
        assert seat(some)
        some.fail_running(RuntimeError())


def test_withdrawn_tickets_free_their_place_in_a_full_queue() -> None:
    some = scheduler(queue_segments=2, queue_tokens=9)
    gone, waits = tickets(5, 4)
    some.queue.submit([gone, waits])
    gone.future.cancel()
    late = ticket(5)
    some.queue.submit([late])
    assert seat(some) == [[waits, late]]


def test_newcomers_join_in_the_order_of_their_arrival_as_rows_allow() -> None:
    some = scheduler(rows=3)
    first, second, third, fourth = waiting = tickets(4, 2, 3, 1)
    some.queue.submit(waiting)
    assert seat(some) == [[second, third, first]]
    assert seat(some) == []
    some.settle([(second, answer([]))])
    assert seat(some) == [[fourth]]
    assert some.running == [third, first, fourth]


def test_groups_are_cut_by_length() -> None:
    some = scheduler()
    some.queue.submit(tickets(100, 3, 14, 15, 36, 4))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[3, 4, 14], [15, 36], [100]]


def test_the_encode_budget_counts_the_padded_rectangle() -> None:
    some = scheduler(encode_tokens=20)
    some.queue.submit(tickets(2, 10, 2, 2))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[2, 10]]
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[2, 2]]


def test_a_ticket_above_the_encode_budget_joins_alone() -> None:
    some = scheduler(encode_tokens=5)
    some.queue.submit(tickets(9, 1))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[9]]


def test_withdrawn_tickets_take_neither_rows_nor_budget() -> None:
    some = scheduler(rows=2, encode_tokens=8)
    gone, *rest = waiting = tickets(100, 4, 4)
    some.queue.submit(waiting)
    gone.future.cancel()
    assert seat(some) == [rest]


@given(st.data(), st.integers(1, 12))
def test_who_leaves_frees_his_rows_and_the_others_keep_their_order(data: st.DataObject, rows: int) -> None:
    some = scheduler(rows=rows)
    everybody = [ticket(2) for _ in range(rows)]
    some.queue.submit([*everybody, *(late := tickets(*[1] * rows))])
    seat(some)
    done = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    some.settle((t, answer([])) for t, flag in zip(everybody, done, strict=True) if flag)
    staying = [t for t, flag in zip(everybody, done, strict=True) if not flag]
    assert (some.running, some.rows) == (staying, len(staying))
    assert [t for group in seat(some) for t in group] == late[: sum(done)]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=30))
def test_whatever_comes_and_goes_everybody_gets_his_own_answer(arrivals: list[tuple[int, int]]) -> None:
    some, engine = scheduler(rows=4, encode_tokens=12), EchoEngine()
    everybody = [Ticket([number] * length) for number, (length, _) in enumerate(arrivals)]
    patience = [steps for _, steps in arrivals]  # some callers leave before their answer
    some.queue.submit(everybody)
    for turn in range(200):
        for t, steps in zip(everybody, patience, strict=True):
            if steps == turn:
                t.future.cancel()
        if all(t.future.done() for t in everybody):
            break
        step(some, engine)
        assert set(some.running) == set(engine.tickets)
    for t in everybody:
        assert t.future.cancelled() or t.future.result().ids == t.ids


def test_settling_a_ticket_that_does_not_run_is_a_defect() -> None:
    some = scheduler()
    some.queue.submit(tickets(1))
    seat(some)
    with pytest.raises(KeyError):
        some.settle([(ticket(), answer([]))])


def test_what_went_wrong_for_one_ticket_is_told_to_it_alone() -> None:
    some = scheduler()
    good, bad = both = tickets(1, 1)
    some.queue.submit(both)
    seat(some)
    error = RuntimeError("not a number")
    some.settle([(bad, error), (good, answer([7]))])
    assert bad.future.exception() is error
    assert good.future.result().ids == [7]
    assert (some.running, some.rows) == ([], 0)


def test_a_short_ticket_overtakes_the_long_one_it_shares_steps_with() -> None:
    some, engine = scheduler(), EchoEngine()
    long, short = tickets(6, 2)
    some.queue.submit([long])
    assert step(some, engine) == [long]
    some.queue.submit([short])
    assert step(some, engine) == [long, short]
    assert step(some, engine) == [long, short]
    assert short.future.result().ids == short.ids
    assert not long.future.done()
    for _ in range(3):
        assert step(some, engine) == [long]
    assert long.future.result().ids == long.ids


def test_an_answer_tells_how_long_it_took() -> None:
    some, engine = scheduler(), EchoEngine()
    one = Ticket([1], submitted=time.monotonic() - 5)
    some.queue.submit([one])
    step(some, engine)
    assert 5000 <= one.future.result().queue_ms < 15_000
    assert 0 <= one.future.result().compute_ms < 10_000


def test_a_withdrawn_row_is_dropped_before_the_next_step() -> None:
    some, engine = scheduler(), EchoEngine()
    first, second, third = everybody = tickets(4, 4, 4)
    some.queue.submit(everybody)
    step(some, engine)
    first.future.cancel()
    assert step(some, engine) == [second, third]


def test_a_closed_queue_drains_what_was_admitted() -> None:
    some, engine = scheduler(rows=1), EchoEngine()
    admitted = tickets(2, 1)
    some.queue.submit(admitted)
    some.queue.close()
    assert some.queue.closed
    with pytest.raises(Closed):
        some.queue.submit([ticket()])
    for _ in range(3):
        step(some, engine)
    assert [t.future.result().ids for t in admitted] == [[0, 1], [0]]
    assert some.pick() is None


def test_everything_can_be_failed_at_once() -> None:
    some = scheduler(rows=1)
    running, waiting, gone = everybody = tickets(1, 1, 1)
    some.queue.submit(everybody)
    seat(some)
    gone.future.cancel()
    error = RuntimeError("the end")
    some.fail_running(error)
    some.queue.fail(error)
    assert running.future.exception() is waiting.future.exception() is error
    assert gone.future.cancelled()
    assert (some.queue.waiting, some.running, some.pick()) == (0, [], None)
    with pytest.raises(Closed):
        some.queue.submit([ticket()])


def test_who_left_at_this_very_moment_is_neither_answered_nor_failed() -> None:
    gone = ticket()
    gone.future.cancel()
    resolve(gone, Answer())
    fail(gone, RuntimeError())
    assert gone.future.cancelled()
