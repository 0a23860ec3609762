"""A request's wait, with answers that come faster than they are followed up."""

import asyncio

import pytest

from service.engine.queue import Bounds, Queue
from service.engine.types import Ticket
from service.errors import ClientGone, DeadlineExceeded, ServiceError
from service.metrics import Metrics
from service.models.engine_client import Desk
from service.models.request_scope import AT_ONCE, Visit
from tests.service.fakes import answer


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def at_once() -> None: ...


@pytest.mark.parametrize(
    ("timeout", "departure", "fault"),
    [(0.0, never, DeadlineExceeded), (60.0, at_once, ClientGone)],
    ids=["deadline", "departure"],
)
def test_answers_without_a_pause_keep_nobody_from_ending_it(
    timeout: float, departure: object, fault: type[ServiceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [Ticket([n]) for n in range(1000)]

    monkeypatch.setattr("service.models.request_scope.UNWATCHED", 0.0)
    answered: list[Ticket] = []

    async def work() -> None:
        desk = Desk("toy", Queue(Bounds()), Metrics().of_model("toy"))
        with Visit(timeout, departure) as visit:  # type: ignore[arg-type]
            visit.submit(desk, tickets)
            for ticket in tickets:
                ticket.future.set_result(answer([1]))  # as a worker does while the last one is followed up
                assert await visit.news()
                answered.append(ticket)

    with pytest.raises(fault):
        asyncio.run(work())
    assert len(answered) < 10
    assert all(ticket.future.done() for ticket in tickets)


def test_an_answer_that_comes_alone_is_told() -> None:
    async def wait() -> list[int]:
        desk, ticket = Desk("toy", Queue(Bounds()), Metrics().of_model("toy")), Ticket([1])
        with Visit(60, never) as visit:
            asyncio.get_running_loop().call_soon(lambda: ticket.future.set_result(answer([7])))
            [found] = await visit.answers(desk, [ticket])
            assert await visit.news() == []
        return found.ids

    assert asyncio.run(wait()) == [7]


def test_what_a_step_answers_at_once_is_followed_up_bit_by_bit() -> None:
    async def wait() -> list[int]:
        desk, tickets = Desk("toy", Queue(Bounds()), Metrics().of_model("toy")), [Ticket([n]) for n in range(100)]
        with Visit(60, never) as visit:
            visit.submit(desk, tickets)
            for ticket in tickets:
                ticket.future.set_result(answer([1]))
            sizes = []
            while visit.waiting:
                sizes.append(len(await visit.news()))
        return sizes

    sizes = asyncio.run(wait())
    assert sum(sizes) == 100
    assert max(sizes) == AT_ONCE
