"""Dynamic batching as it is usually built: collect requests, compute them together, return the results."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BatchingOptions:
    """Batch size, waiting time and concurrency."""

    max_batch: int = 64
    max_wait: float = 0.002  # seconds after the first request of a batch; 0: only requests already waiting
    in_flight: int = 1  # batches computed at the same time


class Batcher(Generic[Item, Result]):
    """Requests wait while `in_flight` batches are computed; the next batch takes those waiting or arriving in time."""

    def __init__(self, compute: Callable[[list[Item]], list[Result]], batching_options: BatchingOptions) -> None:
        self.compute, self.batching_options = compute, batching_options
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue()
        self._free = asyncio.Semaphore(batching_options.in_flight)
        self._threads = ThreadPoolExecutor(batching_options.in_flight)
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Return the result of one request; raises what `compute` raises on its batch."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Collect and compute batches until cancelled."""
        while True:
            await self._free.acquire()
            batch = await self._collect()
            task = asyncio.create_task(self._compute_batch(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _collect(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [await self._waiting.get()]
        deadline = asyncio.get_running_loop().time() + self.batching_options.max_wait
        self._take_waiting(batch)
        if len(batch) < self.batching_options.max_batch and self.batching_options.max_wait:
            try:
                async with asyncio.timeout_at(deadline):
                    while len(batch) < self.batching_options.max_batch:
                        batch.append(await self._waiting.get())
            except TimeoutError:
                self._take_waiting(batch)
        return batch

    def _take_waiting(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        while len(batch) < self.batching_options.max_batch and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())

    async def _compute_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        items, futures = [item for item, _ in batch], [future for _, future in batch]
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._threads, self.compute, items)
            for future, result in zip(futures, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        finally:
            self._free.release()
