"""Long work of a request in a thread: it ends with the request."""

import asyncio
import threading

import pytest

from service.errors import ClientGone, DeadlineExceeded, ServiceError
from service.models.request_scope import RequestScope, WaitForDisconnect
from tests.service.fakes import TIMEOUT
from tests.service.models.test_request_scope import at_once, never

ends_of_requests = pytest.mark.parametrize(
    ("timeout", "wait_for_disconnect", "error"),
    [(0.05, never, DeadlineExceeded), (60.0, at_once, ClientGone)],
    ids=["deadline", "disconnect"],
)


class EndlessWork:
    """Work that only a request's end stops."""

    def __init__(self, scope: RequestScope) -> None:
        self._scope = scope
        self.started, self.stopped = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.started.set()
        try:
            while True:
                self._scope.check()
        finally:
            self.stopped.set()


@ends_of_requests
def test_work_ends_with_its_request(
    timeout: float, wait_for_disconnect: WaitForDisconnect, error: type[ServiceError]
) -> None:
    async def request() -> EndlessWork:
        with RequestScope(timeout, wait_for_disconnect) as scope:
            work = EndlessWork(scope)
            with pytest.raises(error):
                await scope.run(work, in_thread=True)
        return work

    assert asyncio.run(request()).stopped.wait(TIMEOUT)


def test_work_ends_when_the_service_cancels_its_request() -> None:
    """As at the end of the drain time: the process must not wait for the thread."""

    async def service() -> EndlessWork:
        works: list[EndlessWork] = []

        async def request() -> None:
            with RequestScope(60.0, never) as scope:
                works.append(EndlessWork(scope))
                await scope.run(works[0], in_thread=True)

        task = asyncio.create_task(request())
        await asyncio.sleep(0)
        assert await asyncio.to_thread(works[0].started.wait, TIMEOUT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return works[0]

    assert asyncio.run(service()).stopped.wait(TIMEOUT)


def test_run_returns_the_result_or_the_error_of_the_work() -> None:
    async def request(in_thread: bool) -> list[object]:
        def fail() -> None:
            raise ValueError("no")

        with RequestScope(60.0, never) as scope:
            with pytest.raises(ValueError, match="no"):
                await scope.run(fail, in_thread=in_thread)
            return [await scope.run(threading.current_thread, in_thread=in_thread)]

    assert asyncio.run(request(in_thread=False)) == [threading.main_thread()]
    assert asyncio.run(request(in_thread=True)) != [threading.main_thread()]
