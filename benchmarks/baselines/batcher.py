"""Dynamic batching as it is usually built: collect requests, compute them together, hand out the answers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Knobs:
    """How batches are made."""

    max_batch: int = 64
    max_wait: float = 0.002  # seconds since the first request of a batch; 0 takes what waits
    in_flight: int = 1  # batches computed at the same time


class Batcher(Generic[Item, Answer]):
    """Requests wait while `in_flight` batches are being computed; then a batch is what waits, or comes soon enough."""

    def __init__(self, compute: Callable[[list[Item]], list[Answer]], knobs: Knobs) -> None:
        self.compute, self.knobs = compute, knobs
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Answer]]] = asyncio.Queue()
        self._free = asyncio.Semaphore(knobs.in_flight)
        self._threads = ThreadPoolExecutor(knobs.in_flight)
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item) -> Answer:
        """The answer to one request; whatever `compute` raises on its batch."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Make batches until cancelled."""
        while True:
            await self._free.acquire()
            batch = await self._collect()
            task = asyncio.create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _collect(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch = [await self._waiting.get()]
        deadline = asyncio.get_running_loop().time() + self.knobs.max_wait
        self._take_waiting(batch)
        if len(batch) < self.knobs.max_batch and self.knobs.max_wait:
            try:
                async with asyncio.timeout_at(deadline):
                    while len(batch) < self.knobs.max_batch:
                        batch.append(await self._waiting.get())
            except TimeoutError:
                self._take_waiting(batch)
        return batch

    def _take_waiting(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        while len(batch) < self.knobs.max_batch and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        items, futures = [item for item, _ in batch], [future for _, future in batch]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._threads, self.compute, items)
            for future, answer in zip(futures, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        finally:
            self._free.release()
