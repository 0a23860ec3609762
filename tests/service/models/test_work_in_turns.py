"""Work of many short pieces in turns of the event loop: others run in between, and it ends with the request."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from service.errors import ServiceError
from service.models.request_scope import RequestScope, WaitForDisconnect
from tests.service.models.test_request_scope import never
from tests.service.models.test_work_in_threads import ends_of_requests


async def turns_of_others(pieces: int) -> int:
    """Return how many turns of the event loop other tasks get while a request does its work."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    with RequestScope(60.0, never) as scope:
        assert await scope.run_in_turns(map(str, range(pieces))) == [str(piece) for piece in range(pieces)]
    task.cancel()
    return turns


def test_short_work_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.models.request_scope.TURN_SECONDS", 60.0)
    assert asyncio.run(turns_of_others(50)) == 0


def test_others_run_between_the_pieces_of_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.models.request_scope.TURN_SECONDS", 0.0)
    assert asyncio.run(turns_of_others(50)) >= 50


@ends_of_requests
def test_work_ends_with_its_request(
    timeout: float, wait_for_disconnect: WaitForDisconnect, error: type[ServiceError]
) -> None:
    def pieces() -> Iterator[int]:
        yield from itertools.count()

    async def request() -> None:
        with RequestScope(timeout, wait_for_disconnect) as scope:
            await scope.run_in_turns(pieces())

    with pytest.raises(error):
        asyncio.run(request())
