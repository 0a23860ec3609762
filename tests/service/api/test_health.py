"""The page of metrics: rendered beside the event loop, and once for all who ask meanwhile."""

import asyncio
import threading

from prometheus_client import Metric

from service.api.health import MetricsPage
from service.metrics import Metrics

SCRAPERS = 8


class SlowCollector:
    """Takes until it is released, as thousands of series take long."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.begun, self.released = threading.Event(), threading.Event()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        self.threads.append(threading.get_ident())
        self.begun.set()
        self.released.wait()
        return []


def test_metrics_are_rendered_beside_the_event_loop_once_for_all_who_ask() -> None:
    metrics, slow = Metrics(), SlowCollector()
    metrics.registry.register(slow)

    async def scrape() -> set[bytes]:
        page = MetricsPage(metrics)
        asked = [asyncio.create_task(page.response("")) for _ in range(SCRAPERS)]
        gone = asyncio.create_task(page.response(""))
        await asyncio.to_thread(slow.begun.wait)
        gone.cancel()
        slow.released.set()
        found = {bytes((await one).body) for one in asked}
        await page.response("")
        await page.response("application/openmetrics-text")
        return found

    [page] = asyncio.run(scrape())
    assert b"attendant_requests_in_flight" in page
    assert len(slow.threads) == 3
    assert threading.get_ident() not in slow.threads
