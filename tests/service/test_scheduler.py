"""Who waits, who runs, who leaves: checked without a thread, stepping by hand."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.scheduler import Answer, Bounds, Closed, QueueFull, Running, Scheduler, Ticket, fail, resolve
from tests.service.fakes import EchoEngine


def ticket(length: int = 1) -> Ticket:
    return Ticket(list(range(length)))


def tickets(*lengths: int) -> list[Ticket]:
    return [ticket(length) for length in lengths]


def scheduler(**bounds: int) -> Scheduler:
    return Scheduler(Bounds(**bounds))


def finish(running: Running, output: Any) -> Answer | None:
    return Answer() if output == "finish" else None


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
    engine.leave(plan.leave)
    for group in plan.join:
        engine.join(group)
        scheduler.seat(group)
    shared = [running.ticket for running in scheduler.running]
    engine.leave(scheduler.settle(engine.step(), engine.advance))
    return shared


@pytest.mark.parametrize(
    ("bounds", "fits", "too_many"),
    [({"queue_segments": 3}, [1, 1], [1, 1]), ({"queue_tokens": 10}, [4, 4], [1, 2])],
    ids=["segments", "tokens"],
)
def test_a_full_queue_refuses_the_whole_request(bounds: dict[str, int], fits: list[int], too_many: list[int]) -> None:
    some = scheduler(**bounds)
    some.submit(tickets(*fits))
    with pytest.raises(QueueFull) as caught:
        some.submit(tickets(*too_many))
    assert caught.value.waiting == some.waiting == len(fits)
    some.submit(tickets(too_many[0]))  # alone it fits: nothing of the refused request was kept


def test_the_queue_counts_tokens_down_when_tickets_leave_it() -> None:
    some = scheduler(queue_tokens=8, encode_tokens=8)
    for _ in range(3):
        some.submit(tickets(4, 4))
        assert seat(some)
        some.fail_running(RuntimeError())


def test_withdrawn_tickets_free_their_place_in_a_full_queue() -> None:
    some = scheduler(queue_segments=2, queue_tokens=9)
    gone, waits = tickets(5, 4)
    some.submit([gone, waits])
    gone.future.cancel()
    late = ticket(5)
    some.submit([late])
    assert seat(some) == [[waits, late]]


def test_newcomers_join_in_the_order_of_their_arrival_as_rows_allow() -> None:
    some = scheduler(rows=3)
    first, second, third, fourth = waiting = tickets(4, 2, 3, 1)
    some.submit(waiting)
    assert seat(some) == [[second, third, first]]
    assert seat(some) == []
    some.settle(["finish", None, None], finish)
    assert seat(some) == [[fourth]]


def test_groups_are_cut_by_length() -> None:
    some = scheduler()
    some.submit(tickets(100, 3, 14, 15, 36, 4))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[3, 4, 14], [15, 36], [100]]


def test_the_encode_budget_counts_the_padded_rectangle() -> None:
    some = scheduler(encode_tokens=20)
    some.submit(tickets(2, 10, 2, 2))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[2, 10]]
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[2, 2]]


def test_a_ticket_above_the_encode_budget_joins_alone() -> None:
    some = scheduler(encode_tokens=5)
    some.submit(tickets(9, 1))
    assert [[len(t.ids) for t in group] for group in seat(some)] == [[9]]


def test_withdrawn_tickets_take_neither_rows_nor_budget() -> None:
    some = scheduler(rows=2, encode_tokens=8)
    gone, *rest = waiting = tickets(100, 4, 4)
    some.submit(waiting)
    gone.future.cancel()
    assert seat(some) == [rest]


@given(st.data(), st.integers(1, 12))
def test_leaving_agrees_with_an_independent_model(data: st.DataObject, rows: int) -> None:
    some, engine = scheduler(rows=rows), EchoEngine()
    everybody = [ticket(2) for _ in range(rows)]
    some.submit(everybody)
    engine.join(seat(some)[0])
    done = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    engine.leave(some.settle(["finish" if flag else None for flag in done], finish))
    staying = {t for t, flag in zip(everybody, done, strict=True) if not flag}
    assert [running.ticket for running in some.running] == engine.rows
    assert set(engine.rows) == staying
    unmoved = [t for row, t in enumerate(everybody[: len(staying)]) if not done[row]]
    assert [t for t in engine.rows if t in unmoved] == unmoved


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=30))
def test_whatever_comes_and_goes_everybody_gets_his_own_answer(arrivals: list[tuple[int, int]]) -> None:
    some, engine = scheduler(rows=4, encode_tokens=12), EchoEngine()
    everybody = [Ticket([number] * length) for number, (length, _) in enumerate(arrivals)]
    patience = [steps for _, steps in arrivals]  # some callers leave before their answer
    some.submit(everybody)
    for turn in range(200):
        for t, steps in zip(everybody, patience, strict=True):
            if steps == turn:
                t.future.cancel()
        if all(t.future.done() for t in everybody):
            break
        step(some, engine)
        assert [running.ticket for running in some.running] == engine.rows
    for t in everybody:
        assert t.future.cancelled() or t.future.result().ids == t.ids


@pytest.mark.parametrize("outputs", [[], ["finish"], ["finish"] * 3])
def test_settling_needs_one_output_for_each_row(outputs: Sequence[str]) -> None:
    some = scheduler()
    some.submit(tickets(1, 1))
    seat(some)
    with pytest.raises(ValueError, match=f"{len(outputs)} outputs for 2 rows"):
        some.settle(outputs, finish)


def test_a_short_ticket_overtakes_the_long_one_it_shares_steps_with() -> None:
    some, engine = scheduler(), EchoEngine()
    long, short = tickets(6, 2)
    some.submit([long])
    assert step(some, engine) == [long]
    some.submit([short])
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
    some.submit([one])
    step(some, engine)
    assert 5000 <= one.future.result().queue_ms < 15_000
    assert 0 <= one.future.result().compute_ms < 10_000


def test_a_withdrawn_row_is_dropped_before_the_next_step() -> None:
    some, engine = scheduler(), EchoEngine()
    first, second, third = everybody = tickets(4, 4, 4)
    some.submit(everybody)
    step(some, engine)
    first.future.cancel()
    assert step(some, engine) == [third, second]


def test_a_closed_scheduler_drains_what_was_admitted() -> None:
    some, engine = scheduler(rows=1), EchoEngine()
    admitted = tickets(2, 1)
    some.submit(admitted)
    some.close()
    assert some.closed
    with pytest.raises(Closed):
        some.submit([ticket()])
    for _ in range(3):
        step(some, engine)
    assert [t.future.result().ids for t in admitted] == [[0, 1], [0]]
    assert some.pick() is None


def test_everything_can_be_failed_at_once() -> None:
    some = scheduler(rows=1)
    running, waiting, gone = everybody = tickets(1, 1, 1)
    some.submit(everybody)
    seat(some)
    gone.future.cancel()
    error = RuntimeError("the end")
    some.fail_all(error)
    assert running.future.exception() is waiting.future.exception() is error
    assert gone.future.cancelled()
    assert (some.waiting, some.running, some.pick()) == (0, [], None)
    with pytest.raises(Closed):
        some.submit([ticket()])


def test_who_left_at_this_very_moment_is_neither_answered_nor_failed() -> None:
    gone = ticket()
    gone.future.cancel()
    resolve(gone, Answer())
    fail(gone, RuntimeError())
    assert gone.future.cancelled()
