"""The baselines' dynamic batcher: full batches, deadlines, parallel batches, failures."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.baselines.batcher import Batcher, BatchingOptions


def with_batcher(
    compute: Callable[[list[str]], list[int]],
    batching_options: BatchingOptions,
    work: Callable[[Batcher[str, int]], Awaitable[list[object]]],
) -> list[object]:
    async def run() -> list[object]:
        batcher = Batcher(compute, batching_options)
        task = asyncio.create_task(batcher.run())
        try:
            return await work(batcher)
        finally:
            task.cancel()

    return asyncio.run(run())


async def ask_all(batcher: Batcher[str, int], *texts: str) -> list[object]:
    return list(await asyncio.gather(*map(batcher.submit, texts), return_exceptions=True))


@pytest.mark.parametrize("wait", [0.0, 0.005])
def test_each_request_gets_its_own_result(wait: float) -> None:
    sizes: list[int] = []

    def lengths(batch: list[str]) -> list[int]:
        sizes.append(len(batch))
        return [len(text) for text in batch]

    texts = ["x" * i for i in range(1, 11)]
    found = with_batcher(lengths, BatchingOptions(4, wait, 1), lambda b: ask_all(b, *texts))
    assert found == list(range(1, 11))
    assert sizes == [4, 4, 2]


def test_full_batch_is_computed_at_once() -> None:
    found = with_batcher(
        lambda batch: [len(batch)] * len(batch), BatchingOptions(2, 3600.0, 1), lambda b: ask_all(b, "a", "b")
    )
    assert found == [2, 2]


def test_single_request_is_computed_after_max_wait() -> None:
    assert with_batcher(lambda batch: [len(batch)], BatchingOptions(64, 0.001, 1), lambda b: ask_all(b, "a")) == [1]


def test_batches_are_computed_in_parallel() -> None:
    together = threading.Barrier(2, timeout=10)  # broken, were they one after another

    def meet(batch: list[str]) -> list[int]:
        together.wait()
        return [0] * len(batch)

    assert with_batcher(meet, BatchingOptions(1, 0.0, 2), lambda b: ask_all(b, "a", "b")) == [0, 0]


def test_failing_batch_fails_only_its_own_requests() -> None:
    def fail(batch: list[str]) -> list[int]:
        if "bad" in batch:
            raise ValueError("bad batch")
        return [1] * len(batch)

    found = with_batcher(fail, BatchingOptions(1, 0.0, 1), lambda b: ask_all(b, "good", "bad", "good"))
    assert [type(one) for one in found] == [int, ValueError, int]


def test_missing_result_raises() -> None:
    found = with_batcher(lambda batch: [], BatchingOptions(4, 0.0, 1), lambda b: ask_all(b, "a"))
    assert isinstance(found[0], ValueError)
