"""Requests that come at once are started a few in each turn of the event loop, in order."""

import asyncio
import math

import pytest

from service.http.start_queue import LARGE_BODY, STARTED_AT_ONCE, StartQueue


@pytest.mark.parametrize(("seconds", "most"), [(math.inf, STARTED_AT_ONCE), (0.0, 1)])
def test_few_are_started_in_one_turn(seconds: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.start_queue.TURN_SECONDS", seconds)

    async def turns() -> list[int]:
        loop, queue = asyncio.get_running_loop(), StartQueue()
        started: list[int] = []
        for i in range(2 * STARTED_AT_ONCE + 1):
            queue.add(loop, lambda i=i: started.append(i))  # type: ignore[misc]
        counts = [len(started)]
        while queue:
            await asyncio.sleep(0)
            counts.append(len(started))
        assert started == list(range(2 * STARTED_AT_ONCE + 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queue.add(loop, lambda: started.append(-1))
        assert started[-1] == -1  # at once: nothing was started in this turn
        return counts

    counts = asyncio.run(turns())
    assert counts[0] == most
    assert all(later - before <= most for before, later in zip(counts, counts[1:], strict=False))


def test_request_with_a_large_body_has_a_turn_of_its_own() -> None:
    async def turns() -> list[list[str]]:
        loop, queue = asyncio.get_running_loop(), StartQueue()
        found: list[list[str]] = [[]]
        for name in ("small", "large 1", "large 2", "last"):
            size = LARGE_BODY if "large" in name else LARGE_BODY - 1
            queue.add(loop, lambda name=name: found[-1].append(name), size)  # type: ignore[misc]
        while queue:
            found.append([])
            await asyncio.sleep(0)
        return found

    assert asyncio.run(turns()) == [["small"], ["large 1"], ["large 2"], ["last"]]
