"""The service's side of a worker pool in the engine process: admission, cancellation, and the order of results."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from service.engine.interfaces import PoolConfig
from service.engine.occupancy import QueueFull, QueueLimits
from service.engine.process import messages
from service.engine.process.remote_pool import LARGE_AT_ONCE, SENT_AT_ONCE, RemoteQueue, RemoteWorkerPool
from service.engine.queue import Closed
from service.engine.types import EngineFailure, EngineRequest, Sender
from tests.service.fakes import RecordingObserver, answer


def pool_config(workers: int = 1, **limits: int) -> PoolConfig:
    return PoolConfig(workers, 1, QueueLimits(**limits))


def remote_pool(sent: list[messages.Command], **limits: int) -> RemoteWorkerPool:
    return RemoteWorkerPool("toy", pool_config(**limits), sent.append, RecordingObserver(), lambda _: None)


def submitted_numbers(sent: Sequence[messages.Command]) -> list[int]:
    return [one.number for command in sent if isinstance(command, messages.SubmitRequests) for one in command.requests]


def pool_events(*events: messages.Event, worker_died: bool = False) -> messages.PoolEvents:
    return messages.PoolEvents("toy", events, 100, worker_died)


def test_full_queue_rejects_all_requests_of_a_call_until_others_have_joined() -> None:
    sent: list[messages.Command] = []
    pool = remote_pool(sent, queue_segments=2, queue_tokens=10)
    pool.queue.submit([EngineRequest([1] * 6), EngineRequest([1])])
    for rejected in ([EngineRequest([1])], [EngineRequest([1] * 4)]):
        with pytest.raises(QueueFull, match="2 segments are waiting"):
            pool.queue.submit(rejected)
    assert submitted_numbers(sent) == [0, 1]
    pool.handle(pool_events(messages.GroupEncoded([0], 0.1)))
    assert (pool.queue.waiting, pool.running, pool.pool_bytes) == (1, 1, 100)
    with pytest.raises(QueueFull):
        pool.queue.submit([EngineRequest([1] * 20)])  # twice the limit of tokens, which a small request may use
    pool.queue.reserve(Sender(), 1)
    pool.queue.submit([EngineRequest([1] * 9)])
    with pytest.raises(QueueFull):
        pool.queue.reserve(Sender(), 1)


def test_large_requests_are_sent_in_pieces_that_are_marked() -> None:
    sent: list[messages.Command] = []
    remote_pool(sent).queue.submit([EngineRequest([1]) for _ in range(SENT_AT_ONCE + 1)])
    pieces = [command for command in sent if isinstance(command, messages.SubmitRequests)]
    assert [(len(piece.requests), piece.large) for piece in pieces] == [(SENT_AT_ONCE, True), (1, True)]


def test_cancelled_request_frees_its_place_at_once_and_is_cancelled_in_the_process() -> None:
    sent: list[messages.Command] = []
    pool = remote_pool(sent, queue_segments=2)
    requests = [EngineRequest([1]), EngineRequest([2])]
    pool.queue.submit(requests)
    requests[0].future.cancel()
    assert sent[1:] == [messages.CancelRequest("toy", 0)]
    pool.queue.submit([EngineRequest([3])])
    # Events that the process sent before the cancellation reached it.
    pool.handle(
        pool_events(
            messages.GroupEncoded([0, 1], 0.1), messages.TokenGenerated(0, 7), messages.RequestDone(0, answer([7]))
        )
    )
    assert pool.running == 1
    assert pool._observer.groups == [[1]]  # type: ignore[attr-defined]


def test_results_errors_and_tokens_reach_their_own_requests() -> None:
    pool = remote_pool([])
    requests = [EngineRequest([1]), EngineRequest([2]), EngineRequest([3])]
    streamed: list[int] = []
    requests[2].on_token = streamed.append
    pool.queue.submit(requests)
    pool.handle(
        pool_events(
            messages.GroupEncoded([0, 1, 2], 0.1),
            messages.TokenGenerated(2, 9),
            messages.RequestDone(2, answer([9])),
            messages.RequestDone(0, EngineFailure("the step failed: ValueError")),
        )
    )
    assert streamed == requests[2].future.result(0).ids == [9]
    assert str(requests[0].future.exception(0)) == "the step failed: ValueError"
    assert not requests[1].future.done()
    assert not pool.drain(0)
    pool.handle(pool_events(messages.RequestDone(1, answer([4]))))
    assert pool.drain(0)


def test_results_of_small_requests_come_first_and_few_are_passed_on_in_one_turn() -> None:
    async def turns() -> list[list[int]]:
        pool = remote_pool([])
        large = [EngineRequest([1], sender=Sender(1, 1)) for _ in range(20)]
        small = [EngineRequest([1], sender=Sender(2, 2)) for _ in range(2)]
        pool.queue.submit(large)
        pool.queue.submit(small)
        results = [messages.RequestDone(number, answer([4])) for number in range(22)]
        pool.handle(pool_events(messages.GroupEncoded(list(range(22)), 0.1), *results[:10]))
        pool.handle(pool_events(*results[10:]))
        done = []
        while pool.running:
            done.append([number for number, one in enumerate(large + small) if one.future.done()])
            await asyncio.sleep(0)
        assert not pool.queue._by_sender
        return done

    done = asyncio.run(turns())
    assert done[0] == [0, 1, 2, 3]
    assert done[1][-2:] == [20, 21]  # before the others that came with them or earlier
    assert all(len(later) - len(before) <= LARGE_AT_ONCE + 2 for before, later in pairwise(done))


def test_death_of_a_worker_fails_waiting_requests_but_not_running_ones() -> None:
    pool = remote_pool([])
    running, waiting = EngineRequest([1]), EngineRequest([2])
    pool.queue.submit([running, waiting])
    pool.handle(pool_events(messages.GroupEncoded([0], 0.1)))
    assert not pool.problem
    pool.handle(pool_events(worker_died=True))
    assert "a worker has died" in pool.problem
    assert isinstance(waiting.future.exception(0), EngineFailure)
    with pytest.raises(Closed):
        pool.queue.submit([EngineRequest([3])])
    pool.handle(pool_events(messages.RequestDone(0, answer([5])), worker_died=True))
    assert running.future.result(0).ids == [5]


def test_rows_are_divided_among_the_workers() -> None:
    assert RemoteQueue("toy", pool_config(workers=3, rows=20), lambda _: None).rows_per_worker == 6
