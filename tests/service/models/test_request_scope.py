"""A request's wait, with answers that come faster than they are followed up."""

import asyncio

import pytest

from service.engine.queue import Queue, QueueLimits
from service.engine.types import EngineRequest
from service.errors import ClientGone, DeadlineExceeded, ServiceError
from service.metrics import Metrics
from service.models.engine_client import EngineClient
from service.models.request_scope import AT_ONCE, RequestScope
from tests.service.fakes import answer


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def at_once() -> None: ...


@pytest.mark.parametrize(
    ("timeout", "wait_for_disconnect", "fault"),
    [(0.0, never, DeadlineExceeded), (60.0, at_once, ClientGone)],
    ids=["deadline", "departure"],
)
def test_answers_without_a_pause_keep_nobody_from_ending_it(
    timeout: float, wait_for_disconnect: object, fault: type[ServiceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_requests = [EngineRequest([n]) for n in range(1000)]

    monkeypatch.setattr("service.models.request_scope.UNWATCHED", 0.0)
    answered: list[EngineRequest] = []

    async def work() -> None:
        engine_client = EngineClient("toy", Queue(QueueLimits()), Metrics().of_model("toy"))
        with RequestScope(timeout, wait_for_disconnect) as request_scope:  # type: ignore[arg-type]
            request_scope.submit(engine_client, engine_requests)
            for engine_request in engine_requests:
                engine_request.future.set_result(answer([1]))  # as a worker does while the last one is followed up
                assert await request_scope.news()
                answered.append(engine_request)

    with pytest.raises(fault):
        asyncio.run(work())
    assert len(answered) < 10
    assert all(engine_request.future.done() for engine_request in engine_requests)


def test_an_answer_that_comes_alone_is_told() -> None:
    async def wait() -> list[int]:
        engine_client, engine_request = (
            EngineClient("toy", Queue(QueueLimits()), Metrics().of_model("toy")),
            EngineRequest([1]),
        )
        with RequestScope(60, never) as request_scope:
            asyncio.get_running_loop().call_soon(lambda: engine_request.future.set_result(answer([7])))
            [found] = await request_scope.answers(engine_client, [engine_request])
            assert await request_scope.news() == []
        return found.ids

    assert asyncio.run(wait()) == [7]


def test_what_a_step_answers_at_once_is_followed_up_bit_by_bit() -> None:
    async def wait() -> list[int]:
        engine_client, engine_requests = (
            EngineClient("toy", Queue(QueueLimits()), Metrics().of_model("toy")),
            [EngineRequest([n]) for n in range(100)],
        )
        with RequestScope(60, never) as request_scope:
            request_scope.submit(engine_client, engine_requests)
            for engine_request in engine_requests:
                engine_request.future.set_result(answer([1]))
            sizes = []
            while request_scope.waiting:
                sizes.append(len(await request_scope.news()))
        return sizes

    sizes = asyncio.run(wait())
    assert sum(sizes) == 100
    assert max(sizes) == AT_ONCE
