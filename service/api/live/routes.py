"""GET /metrics/live: what happens in the service, for those who look at the page at this moment.

Nothing is sampled or recorded while nobody looks; the listeners share one sampler, and their number is limited. Like
/metrics it needs no key: it has counts, and of the running batches the lengths of rows, never a text.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.live.figures import figures
from service.api.live.trace import BatchTrace
from service.api.shared import wait_for_disconnect
from service.engine.process.remote_pool import RemoteWorkerPool
from service.errors import NotReady, Overloaded
from service.http.admission import Admission
from service.http.sse import Event, event_stream
from service.http.start_page import LIVE_PATH
from service.metrics import Metrics
from service.models.registry import Registry

MAX_LISTENERS = 8
TICK = 0.1  # seconds between two looks at the batches
FIGURES_EVERY = 10  # ticks
MAX_BEHIND = 100  # events that a listener may be behind; a slower one is disconnected

Queue = asyncio.Queue[Event | None]  # None: the end


class LiveView:
    """Samples the service while somebody listens."""

    def __init__(self, registry: Registry, metrics: Metrics, admission: Admission) -> None:
        self._registry, self._metrics, self._admission = registry, metrics, admission
        self._watched: set[RemoteWorkerPool] = set()
        self._listeners: set[Queue] = set()
        self._traces: dict[str, BatchTrace] = {}
        self._sampler: asyncio.Task[None] | None = None

    @property
    def watches(self) -> bool:
        """Whether anything is sampled or recorded now."""
        return self._sampler is not None or any(pool.watcher is not None for pool in self._watched | self._pools)

    @property
    def _pools(self) -> set[RemoteWorkerPool]:
        """The pools that are served now; workers in this process are not watched."""
        pools = (pool for model in self._registry.newest for pool in model.worker_pools)
        return {pool for pool in pools if isinstance(pool, RemoteWorkerPool)}

    def listen(self, disconnect: Callable[[], Awaitable[None]]) -> AsyncGenerator[Event]:
        """Return the events from now on, until the listener disconnects or the service stops.

        Raises:
            Overloaded: there are as many listeners as allowed.
            NotReady: the service is stopping.
        """
        if self._admission.stopping:
            raise NotReady("the service is stopping")
        if len(self._listeners) >= MAX_LISTENERS:
            raise Overloaded(f"{MAX_LISTENERS} viewers watch the service, the most allowed; close one, or try later")
        return self._events(disconnect)

    async def _events(self, disconnect: Callable[[], Awaitable[None]]) -> AsyncGenerator[Event]:
        queue: Queue = asyncio.Queue(MAX_BEHIND)
        self._listeners.add(queue)
        gone = asyncio.ensure_future(disconnect())
        gone.add_done_callback(lambda _: self._end(queue))
        self._start()
        try:
            yield _event("figures", figures(self._metrics))
            while (event := await queue.get()) is not None:
                yield event
        finally:
            gone.cancel()
            self._end(queue)

    def _end(self, queue: Queue) -> None:
        """Send a listener no more, and wake its stream so that it ends."""
        self._listeners.discard(queue)
        while queue.full():
            queue.get_nowait()
        queue.put_nowait(None)
        if not self._listeners:
            self._stop()

    def _start(self) -> None:
        if self._sampler is not None:
            return
        self._watch()
        self._sampler = asyncio.ensure_future(self._sample())

    def _watch(self) -> None:
        """Record what happens in the pools that are served now, which may be others than before."""
        if self._watched == (pools := self._pools):
            return
        for pool in self._watched - pools:
            pool.watcher = None
        for pool in pools - self._watched:
            pool.watcher = self._traces[pool.name] = BatchTrace()
        self._watched = pools

    def _stop(self) -> None:
        if self._sampler is not None:
            self._sampler.cancel()
            self._sampler = None
        for pool in self._watched:
            pool.watcher = None
        self._watched = set()
        self._traces.clear()

    async def _sample(self) -> None:
        ticks = 0
        while not self._admission.stopping:
            await asyncio.sleep(TICK)
            ticks += 1
            self._watch()
            batches = {name: events for name, trace in self._traces.items() if (events := trace.take())}
            if batches:
                self._send(_event("batches", batches))
            if ticks % FIGURES_EVERY == 0:
                self._send(_event("figures", figures(self._metrics)))
        for queue in list(self._listeners):
            self._end(queue)

    def _send(self, event: Event) -> None:
        for queue in list(self._listeners):
            if queue.full():
                self._end(queue)
            else:
                queue.put_nowait(event)


def _event(name: str, data: dict[str, Any]) -> Event:
    return Event(name, json.dumps(data, separators=(",", ":")))


def live_router(view: LiveView) -> APIRouter:
    """Return the route of the live view. It belongs to the page, and changes with it: it is no part of the API."""
    router = APIRouter(include_in_schema=False)

    @router.get(LIVE_PATH)
    async def live(request: Request) -> Response:
        return await event_stream(view.listen(wait_for_disconnect(request)), request.scope["request_id"])

    return router
