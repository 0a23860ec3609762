"""Large requests work one after another, in turns of the event loop."""

import asyncio

import pytest

from service.models.loop_turns import CONTENTION_SECONDS, LoopTurns


def test_one_large_request_works_in_each_turn_in_order_and_ended_ones_take_none() -> None:
    async def turns() -> list[list[int]]:
        found: list[list[int]] = []

        async def work(number: int) -> None:
            await LoopTurns.of(asyncio.get_running_loop()).next()
            found[-1].append(number)

        tasks = [asyncio.ensure_future(work(number)) for number in range(5)]
        await asyncio.sleep(0)  # all of them ask
        tasks[2].cancel()
        while not all(task.done() for task in tasks):
            found.append([])
            await asyncio.sleep(0)
        return [turn for turn in found if turn]

    assert asyncio.run(turns()) == [[0], [1], [3], [4]]
    assert asyncio.run(turns()) == [[0], [1], [3], [4]]  # in another event loop, too


def test_large_requests_make_pauses_while_small_ones_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.models.loop_turns.PAUSE_SECONDS", 0.02)  # far more than turns without pauses take

    async def seconds(small: bool) -> float:
        loop = asyncio.get_running_loop()
        turns = LoopTurns.of(loop)
        if small:
            turns.note_small(loop)
        started = loop.time()
        await asyncio.gather(*(turns.next() for _ in range(20)))
        return loop.time() - started

    async def after_small_ones() -> float:
        loop = asyncio.get_running_loop()
        turns = LoopTurns.of(loop)
        turns.note_small(loop)
        turns._small_at -= CONTENTION_SECONDS
        return await seconds(small=False)

    assert asyncio.run(seconds(small=True)) >= 19 * 0.02
    assert asyncio.run(seconds(small=False)) < 19 * 0.02
    assert asyncio.run(after_small_ones()) < 19 * 0.02
