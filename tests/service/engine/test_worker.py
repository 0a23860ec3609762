"""The worker's thread over fake engines: faults stay where they happen, and nobody waits for ever."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

from service.engine.queue import Bounds, Closed, Queue
from service.engine.types import Finished, Ticket
from service.engine.worker import Crew, Engine, EngineFailure
from tests.service.fakes import PATIENCE, EchoEngine, Failing, HeldEngine, Record

Start = Callable[..., Crew]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the workers of a model; they are drained when the test ends."""
    crews = []

    def start(*engines: Engine, **bounds: int) -> Crew:
        crew = Crew("test", list(engines), Queue(Bounds(**bounds), len(engines)), Record())
        crew.start()
        crews.append(crew)
        return crew

    yield start
    for crew in crews:
        assert crew.drain(PATIENCE)


def record(crew: Crew) -> Record:
    observer = crew.workers[0].observer
    assert isinstance(observer, Record)
    return observer


def ids(ticket: Ticket) -> list[int]:
    return ticket.future.result(PATIENCE).ids


def failure(ticket: Ticket) -> str:
    error = ticket.future.exception(PATIENCE)
    assert isinstance(error, EngineFailure)
    return str(error)


def test_a_failed_step_fails_its_rows_and_the_next_ticket_is_served(start: Start) -> None:
    crew = start(EchoEngine(on_step=Failing(1)))
    both = [Ticket([1, 2]), Ticket([3])]
    crew.queue.submit(both)
    assert [failure(ticket) for ticket in both] == ["the step failed: RuntimeError"] * 2
    later = Ticket([4, 5])
    crew.queue.submit([later])
    assert ids(later) == [4, 5]
    assert crew.alive
    assert record(crew).failures == 1


def test_a_failed_step_spares_those_who_wait(start: Start) -> None:
    crew = start(EchoEngine(on_step=Failing(1)), rows=1)
    first, second = both = [Ticket([1]), Ticket([2])]
    crew.queue.submit(both)
    assert failure(first) == "the step failed: RuntimeError"
    assert ids(second) == [2]


def test_a_group_that_fails_to_join_fails_alone(start: Start) -> None:
    engine = HeldEngine()
    engine.on_join = Failing(3)
    crew = start(engine)
    running = Ticket([1, 2, 3])
    crew.queue.submit([running])
    engine.wait_for_step(1)
    short, long = Ticket([4]), Ticket([5] * 50)  # two groups: joins number 2 and 3
    crew.queue.submit([short, long])
    engine.allow(10)
    assert failure(long) == "encoding failed: RuntimeError"
    assert (ids(running), ids(short)) == ([1, 2, 3], [4])


def test_what_the_observer_is_told(start: Start) -> None:
    crew = start(EchoEngine())
    crew.queue.submit([Ticket([1, 2, 3]), Ticket([4])])
    assert crew.drain(PATIENCE)
    assert record(crew).groups == [[1, 3]]
    assert record(crew).steps == [2, 1, 1]
    assert record(crew).turns == 3
    assert record(crew).answers == 2


class Confused(EchoEngine):
    """Answers a ticket that it was never given, and that is no fault of one step."""

    def step(self) -> list[Finished]:
        return [(Ticket([1]), outcome) for _, outcome in super().step()]


def test_a_dead_worker_fails_everybody_and_takes_nobody(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    crew = start(Confused(), rows=1)
    everybody = [Ticket([1]), Ticket([2]), Ticket([3])]
    crew.queue.submit(everybody)
    assert [failure(ticket) for ticket in everybody] == ["the worker died: KeyError"] * 3
    assert crew.drain(PATIENCE)
    assert not crew.alive
    with pytest.raises(Closed):
        crew.queue.submit([Ticket([4])])
    assert "worker-test-0 died" in caplog.text
    assert record(crew).turns == 1  # so that what became of them is told


class Clinging(HeldEngine):
    """Cannot let go of a ticket that is withdrawn."""

    def drop(self, tickets: list[Ticket]) -> None:
        if any(ticket.left for ticket in tickets):
            raise RuntimeError("it clings")
        super().drop(tickets)


def test_a_worker_that_dies_between_picking_and_joining_fails_whom_it_picked(start: Start) -> None:
    engine = Clinging()
    crew = start(engine)
    gone, picked = Ticket([1] * 9), [Ticket([2]), Ticket([3] * 50)]
    crew.queue.submit([gone])
    engine.wait_for_step(1)
    crew.queue.submit(picked)
    gone.future.cancel()
    engine.allow(1)
    assert [failure(ticket) for ticket in picked] == ["the worker died: RuntimeError"] * 2


def test_a_cancelled_running_ticket_leaves_before_the_next_step(start: Start) -> None:
    engine = HeldEngine()
    crew = start(engine)
    gone, stays = Ticket([1] * 9), Ticket([2] * 9)
    crew.queue.submit([gone, stays])
    engine.wait_for_step(1)
    gone.future.cancel()
    engine.allow(1)
    engine.wait_for_step(2)
    assert engine.tickets == [stays]
    engine.allow(8)
    assert ids(stays) == [2] * 9


def test_when_all_callers_have_left_nothing_of_theirs_stays(start: Start) -> None:
    empty = threading.Event()

    class Watched(HeldEngine):
        def drop(self, tickets: list[Ticket]) -> None:
            super().drop(tickets)
            if tickets and not self.tickets:
                empty.set()

    engine = Watched()
    crew = start(engine)
    gone = [Ticket([1] * 9), Ticket([2] * 9)]
    crew.queue.submit(gone)
    engine.wait_for_step(1)
    for ticket in gone:
        ticket.future.cancel()
    engine.allow(1)
    assert empty.wait(PATIENCE)  # and nobody came to have it done


def test_draining_answers_everything_admitted(start: Start) -> None:
    engine = HeldEngine()
    crew = start(engine, rows=2)
    admitted = [Ticket([n] * 3) for n in range(7)]
    crew.queue.submit(admitted)
    engine.wait_for_step(1)
    assert not crew.drain(timeout=0)  # held, so it cannot be done yet
    assert crew.alive
    engine.allow(100)
    assert crew.drain(PATIENCE)
    assert [ids(ticket) for ticket in admitted] == [ticket.ids for ticket in admitted]


def test_every_answer_is_its_own(start: Start) -> None:
    """Many callers at once, texts of all lengths: an answer that went to another's ticket would show."""
    generator = random.Random(1)
    everybody = [Ticket([generator.randrange(10_000) for _ in range(generator.randint(1, 60))]) for _ in range(200)]
    crew = start(EchoEngine(), rows=16, encode_tokens=200)
    callers = [threading.Thread(target=submit_in_pairs, args=(crew, everybody[i::5])) for i in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wait([ticket.future for ticket in everybody], PATIENCE).not_done
    assert [ids(ticket) for ticket in everybody] == [ticket.ids for ticket in everybody]


def submit_in_pairs(crew: Crew, tickets: list[Ticket]) -> None:
    for i in range(0, len(tickets), 2):
        crew.queue.submit(tickets[i : i + 2])
