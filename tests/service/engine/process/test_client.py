"""Crews in the engine process: admitted here, computed there, and nobody waits for ever when it dies."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree as copy

import httpx
import pytest

from benchmarks.common.processes import process_tree
from service.artifact import ArtifactError, read_artifact
from service.engine.decoding.options import DecodingOptions
from service.engine.interfaces import PoolConfig
from service.engine.process import messages
from service.engine.process.client import EngineProcess, RemoteQueue, RemoteWorkerPool
from service.engine.queue import Closed, QueueFull, QueueLimits
from service.engine.types import EngineFailure, EngineRequest
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Process, Start, eventually, waiting
from tests.service.fakes import PATIENCE, Record, answer
from tests.service.test_main import spoil

EOS = 3


def pool_config(workers: int = 1, **limits: int) -> PoolConfig:
    return PoolConfig(workers, 1, QueueLimits(**limits))


def crew_of(sent: list[messages.Command], **limits: int) -> RemoteWorkerPool:
    return RemoteWorkerPool("toy", pool_config(**limits), sent.append, Record(), lambda _: None)


def numbers(sent: Sequence[messages.Command]) -> list[int]:
    return [one.number for command in sent if isinstance(command, messages.SubmitRequests) for one in command.requests]


def report(*events: messages.Event, died: bool = False) -> messages.Report:
    return messages.Report("toy", events, 100, died)


def test_a_request_that_does_not_fit_is_refused_whole_until_others_have_joined() -> None:
    sent: list[messages.Command] = []
    worker_pool = crew_of(sent, queue_segments=2, queue_tokens=10)
    worker_pool.queue.submit([EngineRequest([1] * 6), EngineRequest([1])])
    for refused in ([EngineRequest([1])], [EngineRequest([1] * 4)]):
        with pytest.raises(QueueFull, match="2 segments are waiting"):
            worker_pool.queue.submit(refused)
    assert numbers(sent) == [0, 1]
    worker_pool.hear(report(messages.Encoded([0], 0.1)))
    assert (worker_pool.queue.waiting, worker_pool.running, worker_pool.pool_bytes) == (1, 1, 100)
    with pytest.raises(QueueFull):
        worker_pool.queue.submit([EngineRequest([1] * 10)])
    worker_pool.queue.submit([EngineRequest([1] * 9)])


def test_who_leaves_makes_room_at_once_and_is_withdrawn() -> None:
    sent: list[messages.Command] = []
    worker_pool = crew_of(sent, queue_segments=2)
    requests = [EngineRequest([1]), EngineRequest([2])]
    worker_pool.queue.submit(requests)
    requests[0].future.cancel()
    assert sent[1:] == [messages.CancelRequest("toy", 0)]
    worker_pool.queue.submit([EngineRequest([3])])
    # What the process was about to do when the news reached it.
    worker_pool.hear(
        report(messages.Encoded([0, 1], 0.1), messages.TokenGenerated(0, 7), messages.RequestDone(0, answer([7])))
    )
    assert worker_pool.running == 1
    assert worker_pool._observer.groups == [[1]]  # type: ignore[attr-defined]


def test_answers_and_faults_reach_their_own_tickets() -> None:
    worker_pool = crew_of([])
    requests = [EngineRequest([1]), EngineRequest([2]), EngineRequest([3])]
    told: list[int] = []
    requests[2].on_token = told.append
    worker_pool.queue.submit(requests)
    worker_pool.hear(
        report(
            messages.Encoded([0, 1, 2], 0.1),
            messages.TokenGenerated(2, 9),
            messages.RequestDone(2, answer([9])),
            messages.RequestDone(0, EngineFailure("the step failed: ValueError")),
        )
    )
    assert told == requests[2].future.result(0).ids == [9]
    assert str(requests[0].future.exception(0)) == "the step failed: ValueError"
    assert not requests[1].future.done()
    assert not worker_pool.drain(0)
    worker_pool.hear(report(messages.RequestDone(1, answer([4]))))
    assert worker_pool.drain(0)


def test_the_death_of_a_worker_fails_who_waits_and_nobody_who_runs() -> None:
    worker_pool = crew_of([])
    running, waiting = EngineRequest([1]), EngineRequest([2])
    worker_pool.queue.submit([running, waiting])
    worker_pool.hear(report(messages.Encoded([0], 0.1)))
    assert worker_pool.alive
    worker_pool.hear(report(died=True))
    assert not worker_pool.alive
    assert isinstance(waiting.future.exception(0), EngineFailure)
    with pytest.raises(Closed):
        worker_pool.queue.submit([EngineRequest([3])])
    worker_pool.hear(report(messages.RequestDone(0, answer([5])), died=True))
    assert running.future.result(0).ids == [5]


def test_rows_are_shared_among_the_workers() -> None:
    assert RemoteQueue("toy", pool_config(workers=3, rows=20), lambda _: None).rows_per_worker == 6


Talking = Callable[[RemoteWorkerPool, Record, int], Coroutine[None, None, None]]


def talk(artifact: Path, talking: Talking, **limits: int) -> int:
    """Talk to the worker pool of an artifact in a process, in an event loop; the status with which the process
    ended."""
    observer = Record()
    with EngineProcess() as engine:
        worker_pools = engine.start_pools([read_artifact(artifact)], pool_config(**limits), lambda _: observer)

        async def run() -> None:
            await talking(worker_pools[read_artifact(artifact).manifest.name], observer, engine._process.pid)
            for worker_pool in worker_pools.values():
                await asyncio.to_thread(worker_pool.drain, PATIENCE)

        asyncio.run(run())
    return engine._process.returncode


async def result(request: EngineRequest) -> list[int]:
    return (await asyncio.wait_for(asyncio.wrap_future(request.future), PATIENCE)).ids


def test_what_is_withdrawn_is_not_computed(toy_translator: Path) -> None:
    async def talking(worker_pool: RemoteWorkerPool, observer: Record, pid: int) -> None:
        long = DecodingOptions(max_length=20, min_length=20)
        requests = [EngineRequest([5, 9, EOS], long) for _ in range(500)]
        worker_pool.queue.submit(requests)
        await result(requests[0])
        for request in requests[1:]:
            request.future.cancel()
        last = EngineRequest([5, 9, EOS], long)
        worker_pool.queue.submit([last])
        assert await result(last) == await result(requests[0])
        assert len(observer.steps) < 5000  # of 10,000

    assert talk(toy_translator, talking, rows=1) == 0


def test_tokens_come_while_they_are_written_and_in_order(toy_translator: Path) -> None:
    async def talking(worker_pool: RemoteWorkerPool, observer: Record, pid: int) -> None:
        told: list[int] = []
        request = EngineRequest([5, 9, EOS], DecodingOptions(max_length=20, min_length=20), on_token=told.append)
        worker_pool.queue.submit([request])
        assert await result(request) == told
        assert len(told) == 20

    assert talk(toy_translator, talking) == 0


def test_the_death_of_the_process_fails_all_its_tickets(toy_translator: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def talking(worker_pool: RemoteWorkerPool, observer: Record, pid: int) -> None:
        long = DecodingOptions(max_length=30, min_length=30)
        requests = [EngineRequest([5, 9, EOS], long) for _ in range(400)]
        worker_pool.queue.submit(requests)
        await result(requests[0])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineFailure, match="the engine process died"):
            await result(requests[-1])
        assert all(request.future.done() for request in requests)
        assert not worker_pool.alive
        assert (worker_pool.queue.waiting, worker_pool.running) == (0, 0)
        with pytest.raises(Closed):
            worker_pool.queue.submit([EngineRequest([EOS])])

    assert talk(toy_translator, talking, rows=1) == -signal.SIGKILL
    assert "the engine process has died" in caplog.text


def test_faults_of_graphs_come_from_the_process(toy_models: Path, toy_classifier: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        spoil(copy(toy_classifier, tmp_path / name), "classify.onnx", b"not a graph")
    with EngineProcess() as engine, pytest.raises(ArtifactError) as caught:
        load_models(Settings(models=tmp_path), Metrics(), engine.start_pools)
    for name in ("one", "two"):
        assert f"{name}/classify.onnx: onnxruntime cannot load it" in str(caught.value)
    assert engine._process.returncode == 1


def test_a_process_that_cannot_start(monkeypatch: pytest.MonkeyPatch, toy_classifier: Path) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with EngineProcess() as engine, pytest.raises(EngineFailure, match="ended at once, with status 1"):
        engine.start_pools([read_artifact(toy_classifier)], pool_config(), lambda _: Record())


def engine_of(service: Process) -> int:
    [_, engine] = [process.pid for process in process_tree(service.process.pid)]
    return engine


@contextmanager
def under_way(service: Process) -> Iterator["Future[httpx.Response]"]:
    """A request of many texts that the service has taken and not answered."""
    body = {"text": ["one two three four five"] * 800, "source": "a", "target": "b"}
    with httpx.Client(base_url=service.url, timeout=PATIENCE, verify=False) as client, ThreadPoolExecutor() as pool:
        reply = pool.submit(client.post, "/v1/translate", json=body)
        eventually(lambda: waiting(client.get("/metrics").text) > 100)
        yield reply


def test_without_its_engine_the_service_tells_its_callers_and_ends(start: Start) -> None:
    service = start(rows=1, max_texts=4000)
    with under_way(service) as reply:
        os.kill(engine_of(service), signal.SIGKILL)
        # Which of the two depends on whether some of its segments were still to be handed in.
        assert (reply.result().status_code, reply.result().json()["code"]) in {(500, "internal"), (503, "not_ready")}
    assert service.process.wait(PATIENCE) == 1
    assert "the engine process has died" in "".join(service.log)
    assert "Traceback" not in "".join(service.log)


def test_an_interrupt_of_both_processes_loses_no_answer(start: Start) -> None:
    service = start(rows=1, max_texts=4000)
    with under_way(service) as reply:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(engine_of(service), number)
        assert service.stop(signal.SIGINT) == 0
        assert {one["text"] for one in reply.result().json()["translations"]} == {"eins zwei drei vier fünf"}


def test_the_engine_leaves_when_the_service_is_killed(start: Start) -> None:
    service = start()
    engine = engine_of(service)
    service.stop(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{engine}/exe").exists())
