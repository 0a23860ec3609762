"""The rivals' dynamic batcher: full batches, deadlines, several in flight, failures."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.baselines.batcher import Batcher, Knobs


def with_batcher(
    compute: Callable[[list[str]], list[int]],
    knobs: Knobs,
    work: Callable[[Batcher[str, int]], Awaitable[list[object]]],
) -> list[object]:
    async def run() -> list[object]:
        batcher = Batcher(compute, knobs)
        task = asyncio.create_task(batcher.run())
        try:
            return await work(batcher)
        finally:
            task.cancel()

    return asyncio.run(run())


async def ask_all(batcher: Batcher[str, int], *texts: str) -> list[object]:
    return list(await asyncio.gather(*map(batcher.ask, texts), return_exceptions=True))


@pytest.mark.parametrize("wait", [0.0, 0.005])
def test_everyone_gets_the_answer_to_the_own_question(wait: float) -> None:
    sizes: list[int] = []

    def lengths(batch: list[str]) -> list[int]:
        sizes.append(len(batch))
        return [len(text) for text in batch]

    texts = ["x" * i for i in range(1, 11)]
    found = with_batcher(lengths, Knobs(4, wait, 1), lambda b: ask_all(b, *texts))
    assert found == list(range(1, 11))
    assert sizes == [4, 4, 2]


def test_a_full_batch_does_not_wait() -> None:
    found = with_batcher(lambda batch: [len(batch)] * len(batch), Knobs(2, 3600.0, 1), lambda b: ask_all(b, "a", "b"))
    assert found == [2, 2]


def test_a_lone_request_is_answered_when_the_wait_is_over() -> None:
    assert with_batcher(lambda batch: [len(batch)], Knobs(64, 0.001, 1), lambda b: ask_all(b, "a")) == [1]


def test_batches_run_side_by_side() -> None:
    together = threading.Barrier(2, timeout=10)  # broken, were they one after another

    def meet(batch: list[str]) -> list[int]:
        together.wait()
        return [0] * len(batch)

    assert with_batcher(meet, Knobs(1, 0.0, 2), lambda b: ask_all(b, "a", "b")) == [0, 0]


def test_a_failing_batch_fails_alone() -> None:
    def fail(batch: list[str]) -> list[int]:
        if "bad" in batch:
            raise ValueError("bad batch")
        return [1] * len(batch)

    found = with_batcher(fail, Knobs(1, 0.0, 1), lambda b: ask_all(b, "good", "bad", "good"))
    assert [type(one) for one in found] == [int, ValueError, int]


def test_a_missing_answer_is_an_error() -> None:
    found = with_batcher(lambda batch: [], Knobs(4, 0.0, 1), lambda b: ask_all(b, "a"))
    assert isinstance(found[0], ValueError)
