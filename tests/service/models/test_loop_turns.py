"""Large requests work one after another, in turns of the event loop."""

import asyncio

from service.models.loop_turns import LoopTurns


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
