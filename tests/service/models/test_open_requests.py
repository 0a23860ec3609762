"""Waiting for the requests that are open at a moment, and for no later ones."""

import asyncio

from service.models.open_requests import OpenRequests


def test_earlier_requests_are_waited_for_and_later_ones_are_not() -> None:
    async def run() -> None:
        requests = OpenRequests.of(asyncio.get_running_loop())
        await requests.wait_for_earlier()
        requests.add("first")
        with requests.hold():
            waiting = asyncio.ensure_future(requests.wait_for_earlier())
            cancelled = asyncio.ensure_future(requests.wait_for_earlier())
            await asyncio.sleep(0)
            requests.add("later")
            requests.remove("first")
            cancelled.cancel()
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        requests.remove("later")
        await requests.wait_for_earlier()

    asyncio.run(run())
