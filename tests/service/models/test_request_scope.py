"""A request's scope, with results that arrive faster than they are processed."""

import asyncio
from collections.abc import Callable

import pytest

from service.engine.occupancy import QueueLimits
from service.engine.queue import Queue
from service.engine.types import EngineRequest
from service.errors import ClientGone, DeadlineExceeded, ServiceError
from service.metrics import Metrics
from service.models.engine_client import EngineClient
from service.models.request_scope import MAX_UPDATES, RequestScope, WaitForDisconnect
from tests.service.fakes import answer


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def at_once() -> None: ...


def engine_client() -> EngineClient:
    return EngineClient("toy", Queue(QueueLimits()), Metrics().of_model("toy"))


@pytest.mark.parametrize(
    ("timeout", "wait_for_disconnect", "error"),
    [(0.0, never, DeadlineExceeded), (60.0, at_once, ClientGone)],
    ids=["deadline", "disconnect"],
)
def test_scope_ends_although_results_keep_arriving(
    timeout: float,
    wait_for_disconnect: WaitForDisconnect,
    error: type[ServiceError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = [EngineRequest([n]) for n in range(1000)]
    monkeypatch.setattr("service.models.request_scope.DISCONNECT_WATCH_DELAY", 0.0)
    answered: list[EngineRequest] = []

    async def work() -> None:
        with RequestScope(timeout, wait_for_disconnect) as scope:
            scope.submit(engine_client(), requests)
            for request in requests:
                request.future.set_result(answer([1]))  # as a worker does while the last result is processed
                assert await scope.updates()
                answered.append(request)

    with pytest.raises(error):
        asyncio.run(work())
    assert len(answered) < 10
    assert all(request.future.done() for request in requests)


def test_scope_ends_when_it_is_told_that_the_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.models.request_scope.DISCONNECT_WATCH_DELAY", 0.0)
    listeners: list[Callable[[], None] | None] = []

    def on_client_gone(listener: Callable[[], None] | None) -> None:
        listeners.append(listener)
        if listener is not None:
            listener()

    async def wait() -> None:
        with RequestScope(60, never, on_client_gone=on_client_gone) as scope:
            scope.submit(engine_client(), [EngineRequest([1])])
            await scope.updates()

    with pytest.raises(ClientGone):
        asyncio.run(wait())
    assert len(listeners) == 2
    assert listeners[-1] is None


def test_results_returns_a_single_result() -> None:
    async def wait() -> list[int]:
        request = EngineRequest([1])
        with RequestScope(60, never) as scope:
            asyncio.get_running_loop().call_soon(lambda: request.future.set_result(answer([7])))
            [result] = await scope.results(engine_client(), [request])
            assert await scope.updates() == []
        return result.ids

    assert asyncio.run(wait()) == [7]


def test_updates_returns_the_results_of_one_step_in_small_groups() -> None:
    async def wait() -> list[int]:
        requests = [EngineRequest([n]) for n in range(100)]
        with RequestScope(60, never) as scope:
            scope.submit(engine_client(), requests)
            for request in requests:
                request.future.set_result(answer([1]))
            sizes = []
            while scope.pending:
                sizes.append(len(await scope.updates()))
        return sizes

    sizes = asyncio.run(wait())
    assert sum(sizes) == 100
    assert max(sizes) == MAX_UPDATES
