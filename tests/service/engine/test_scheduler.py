"""Who waits, who runs, who leaves: checked without a thread, stepping by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue import Closed, Queue, QueueFull, QueueLimits
from service.engine.scheduler import Scheduler
from service.engine.types import EngineRequest, EngineResult, fail, resolve
from tests.service.fakes import EchoEngine, answer


def request(length: int = 1) -> EngineRequest:
    return EngineRequest(list(range(length)))


def requests(*lengths: int) -> list[EngineRequest]:
    return [request(length) for length in lengths]


def scheduler(**limits: int) -> Scheduler:
    return Scheduler(Queue(QueueLimits(**limits)))


def admit(scheduler: Scheduler) -> list[list[EngineRequest]]:
    """Let everybody join who may."""
    plan = scheduler.pick()
    assert plan is not None
    for group in plan.joining:
        scheduler.admit(group)
    return plan.joining


def step(scheduler: Scheduler, engine: EchoEngine) -> list[EngineRequest]:
    """One turn of the worker's loop; the requests that shared its step."""
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
    [({"queue_segments": 3}, [1, 1], [1, 1]), ({"queue_tokens": 10}, [4, 4], [1, 2])],
    ids=["segments", "tokens"],
)
def test_a_full_queue_refuses_the_whole_request(limits: dict[str, int], fits: list[int], too_many: list[int]) -> None:
    some = scheduler(**limits)
    some.queue.submit(requests(*fits))
    with pytest.raises(QueueFull) as caught:
        some.queue.submit(requests(*too_many))
    assert caught.value.waiting == some.queue.waiting == len(fits)
    some.queue.submit(requests(too_many[0]))  # alone it fits: nothing of the refused request was kept


def test_the_queue_counts_tokens_down_when_tickets_leave_it() -> None:
    some = scheduler(queue_tokens=8, encode_tokens=8)
    for _ in range(3):
        some.queue.submit(requests(4, 4))
        assert admit(some)
        some.fail_running(RuntimeError())


def test_withdrawn_tickets_free_their_place_in_a_full_queue() -> None:
    some = scheduler(queue_segments=2, queue_tokens=9)
    gone, waits = requests(5, 4)
    some.queue.submit([gone, waits])
    gone.future.cancel()
    late = request(5)
    some.queue.submit([late])
    assert admit(some) == [[waits, late]]


def test_newcomers_join_in_the_order_of_their_arrival_as_rows_allow() -> None:
    some = scheduler(rows=3)
    first, second, third, fourth = waiting = requests(4, 2, 3, 1)
    some.queue.submit(waiting)
    assert admit(some) == [[second, third, first]]
    assert admit(some) == []
    some.settle([(second, answer([]))])
    assert admit(some) == [[fourth]]
    assert some.running == [third, first, fourth]


def test_groups_are_cut_by_length() -> None:
    some = scheduler()
    some.queue.submit(requests(100, 3, 14, 15, 36, 4))
    assert [[len(t.ids) for t in group] for group in admit(some)] == [[3, 4, 14], [15, 36], [100]]


def test_the_encode_budget_counts_the_padded_rectangle() -> None:
    some = scheduler(encode_tokens=20)
    some.queue.submit(requests(2, 10, 2, 2))
    assert [[len(t.ids) for t in group] for group in admit(some)] == [[2, 10]]
    assert [[len(t.ids) for t in group] for group in admit(some)] == [[2, 2]]


def test_a_ticket_above_the_encode_budget_joins_alone() -> None:
    some = scheduler(encode_tokens=5)
    some.queue.submit(requests(9, 1))
    assert [[len(t.ids) for t in group] for group in admit(some)] == [[9]]


def test_withdrawn_tickets_take_neither_rows_nor_budget() -> None:
    some = scheduler(rows=2, encode_tokens=8)
    gone, *rest = waiting = requests(100, 4, 4)
    some.queue.submit(waiting)
    gone.future.cancel()
    assert admit(some) == [rest]


@given(st.data(), st.integers(1, 12))
def test_who_leaves_frees_his_rows_and_the_others_keep_their_order(data: st.DataObject, rows: int) -> None:
    some = scheduler(rows=rows)
    everybody = [request(2) for _ in range(rows)]
    some.queue.submit([*everybody, *(late := requests(*[1] * rows))])
    admit(some)
    done = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    some.settle((t, answer([])) for t, flag in zip(everybody, done, strict=True) if flag)
    staying = [t for t, flag in zip(everybody, done, strict=True) if not flag]
    assert (some.running, some.rows) == (staying, len(staying))
    assert [t for group in admit(some) for t in group] == late[: sum(done)]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=30))
def test_whatever_comes_and_goes_everybody_gets_his_own_answer(arrivals: list[tuple[int, int]]) -> None:
    some, engine = scheduler(rows=4, encode_tokens=12), EchoEngine()
    everybody = [EngineRequest([number] * length) for number, (length, _) in enumerate(arrivals)]
    patience = [steps for _, steps in arrivals]  # some callers leave before their answer
    some.queue.submit(everybody)
    for turn in range(200):
        for t, steps in zip(everybody, patience, strict=True):
            if steps == turn:
                t.future.cancel()
        if all(t.future.done() for t in everybody):
            break
        step(some, engine)
        assert set(some.running) == set(engine.requests)
    for t in everybody:
        assert t.future.cancelled() or t.future.result().ids == t.ids


def test_settling_a_ticket_that_does_not_run_is_a_defect() -> None:
    some = scheduler()
    some.queue.submit(requests(1))
    admit(some)
    with pytest.raises(KeyError):
        some.settle([(request(), answer([]))])


def test_what_went_wrong_for_one_ticket_is_told_to_it_alone() -> None:
    some = scheduler()
    good, bad = both = requests(1, 1)
    some.queue.submit(both)
    admit(some)
    error = RuntimeError("not a number")
    some.settle([(bad, error), (good, answer([7]))])
    assert bad.future.exception() is error
    assert good.future.result().ids == [7]
    assert (some.running, some.rows) == ([], 0)


def test_a_short_ticket_overtakes_the_long_one_it_shares_steps_with() -> None:
    some, engine = scheduler(), EchoEngine()
    long, short = requests(6, 2)
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
    one = EngineRequest([1], submitted=time.monotonic() - 5)
    some.queue.submit([one])
    step(some, engine)
    assert 5000 <= one.future.result().queue_ms < 15_000
    assert 0 <= one.future.result().compute_ms < 10_000


def test_a_withdrawn_row_is_dropped_before_the_next_step() -> None:
    some, engine = scheduler(), EchoEngine()
    first, second, third = everybody = requests(4, 4, 4)
    some.queue.submit(everybody)
    step(some, engine)
    first.future.cancel()
    assert step(some, engine) == [second, third]


def test_a_closed_queue_drains_what_was_admitted() -> None:
    some, engine = scheduler(rows=1), EchoEngine()
    admitted = requests(2, 1)
    some.queue.submit(admitted)
    some.queue.close()
    assert some.queue.closed
    with pytest.raises(Closed):
        some.queue.submit([request()])
    for _ in range(3):
        step(some, engine)
    assert [t.future.result().ids for t in admitted] == [[0, 1], [0]]
    assert some.pick() is None


def test_everything_can_be_failed_at_once() -> None:
    some = scheduler(rows=1)
    running, waiting, gone = everybody = requests(1, 1, 1)
    some.queue.submit(everybody)
    admit(some)
    gone.future.cancel()
    error = RuntimeError("the end")
    some.fail_running(error)
    some.queue.fail_waiting(error)
    assert running.future.exception() is waiting.future.exception() is error
    assert gone.future.cancelled()
    assert (some.queue.waiting, some.running, some.pick()) == (0, [], None)
    with pytest.raises(Closed):
        some.queue.submit([request()])


def test_who_left_at_this_very_moment_is_neither_answered_nor_failed() -> None:
    gone = request()
    gone.future.cancel()
    resolve(gone, EngineResult())
    fail(gone, RuntimeError())
    assert gone.future.cancelled()
