"""The engine process: what is sent to it, its death and its restart."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from benchmarks.common.processes import process_tree
from service.artifact import ArtifactError, read_artifact
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.process import client as client_module
from service.engine.process import messages
from service.engine.process.__main__ import PoolServer
from service.engine.process.channel import MessageChannel
from service.engine.process.client import EngineEvents, EngineProcess
from service.engine.process.remote_pool import RemoteWorkerPool
from service.engine.queue import Closed, Queue, Unavailable
from service.engine.types import EngineFailure, EngineRequest, EngineUnavailable, Sender
from service.engine.worker import LocalWorkerPool
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import ROOT, Process, Start, corrupt, eventually, waiting
from tests.service.engine.process.test_remote_pool import pool_config
from tests.service.fakes import TIMEOUT, HeldEngine, RecordingObserver

EOS = 3


class SentMessages(MessageChannel):
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[messages.PoolEvents] = []

    def send(self, message: object) -> None:
        assert isinstance(message, messages.PoolEvents)
        self.sent.append(message)

    def done(self) -> list[int]:
        events = [event for message in self.sent for event in message.events]
        return sorted(event.number for event in events if isinstance(event, messages.RequestDone))


def test_pool_server_never_rejects_requests_that_the_service_has_admitted() -> None:
    """Admission happens once, in the service. A `QueueFull` here would end the engine process."""
    engine, channel = HeldEngine(), SentMessages()
    server = PoolServer("toy", channel)
    pool = LocalWorkerPool("toy", [engine], Queue(QueueLimits(rows=1, queue_segments=1, queue_tokens=4)), server)
    server.serve(pool)
    pool.start()
    for start in range(0, 12, 4):
        requests = [
            messages.RequestMessage(n, [n] * 3, DecodingOptions(), None, 0.0, False) for n in range(start, start + 4)
        ]
        server.submit(Sender(), requests)
    engine.allow(100)
    assert pool.drain(TIMEOUT)
    assert channel.done() == list(range(12))


def test_events_name_the_worker_whose_thread_they_come_from() -> None:
    channel = SentMessages()
    server = PoolServer("toy", channel)
    server.serve(LocalWorkerPool("toy", [HeldEngine()], Queue(QueueLimits()), server))
    with ThreadPoolExecutor(1) as other:
        for _ in range(2):
            server.on_step(3, 0.1)
            other.submit(server.on_step, 4, 0.1).result()
            other.submit(server.on_encoded, [], 0.1).result()
    server.on_iteration_end()
    [message] = channel.sent
    [one, two] = messages.StepComputed(3, 0.1, worker=0), messages.StepComputed(4, 0.1, worker=1)
    assert message.events == 2 * [one, two, messages.GroupEncoded([], 0.1, worker=1)]


Client = Callable[[RemoteWorkerPool, RecordingObserver, int], Coroutine[None, None, None]]


def run_client(artifact: Path, client: Client, *, inherit_socket: bool = True, **limits: int) -> int:
    """Run a client of an artifact's worker pool in an event loop; return the exit status of the engine process."""
    observer = RecordingObserver()
    with EngineProcess(inherit_socket=inherit_socket) as engine:
        pools = engine.start_pools([read_artifact(artifact)], pool_config(**limits), lambda _: observer).pools

        async def run() -> None:
            await client(pools[read_artifact(artifact).manifest.name], observer, engine._process.pid)
            for pool in pools.values():
                await asyncio.to_thread(pool.drain, TIMEOUT)

        asyncio.run(run())
    return engine._process.returncode


async def result(request: EngineRequest) -> list[int]:
    return (await asyncio.wait_for(request.future.wait(), TIMEOUT)).ids


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event signals."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


def test_cancelled_requests_are_not_computed(toy_translator: Path) -> None:
    async def client(pool: RemoteWorkerPool, observer: RecordingObserver, pid: int) -> None:
        long = DecodingOptions(max_length=20, min_length=20)
        requests = [EngineRequest([5, 9, EOS], long) for _ in range(500)]
        pool.queue.submit(requests)
        await result(requests[0])
        for request in requests[1:]:
            request.future.cancel()
        last = EngineRequest([5, 9, EOS], long)
        pool.queue.submit([last])
        assert await result(last) == await result(requests[0])
        assert len(observer.steps) < 5000  # of 10,000

    assert run_client(toy_translator, client, rows=1) == 0


@pytest.mark.parametrize("inherit_socket", [True, False], ids=["inherited", "loopback"])
def test_tokens_are_streamed_in_order(toy_translator: Path, inherit_socket: bool) -> None:
    async def client(pool: RemoteWorkerPool, observer: RecordingObserver, pid: int) -> None:
        streamed: list[int] = []
        request = EngineRequest([5, 9, EOS], DecodingOptions(max_length=20, min_length=20), on_token=streamed.append)
        pool.queue.submit([request])
        assert await result(request) == streamed
        assert len(streamed) == 20

    assert run_client(toy_translator, client, inherit_socket=inherit_socket) == 0


@pytest.mark.parametrize("inherit_socket", [True, False], ids=["inherited", "loopback"])
def test_dead_process_is_restarted_once_a_minute(
    toy_translator: Path, caplog: pytest.LogCaptureFixture, inherit_socket: bool
) -> None:
    """Its requests fail, the same pools compute the next ones, and a second death is final."""
    caplog.set_level("INFO")
    happened: list[str] = []
    artifact = read_artifact(toy_translator)

    async def run(engine: EngineProcess, pool: RemoteWorkerPool) -> None:
        long = DecodingOptions(max_length=30, min_length=30)
        requests = [EngineRequest([5, 9, EOS], long) for _ in range(400)]
        pool.queue.submit(requests)
        expected = await result(requests[0])
        engine.kill()
        with pytest.raises(EngineUnavailable, match="send the request again"):
            await result(requests[-1])
        assert all(request.future.done() for request in requests)
        assert (pool.queue.waiting, pool.running) == (0, 0)
        assert "restarted" in pool.problem
        with pytest.raises(Unavailable):
            pool.queue.submit([EngineRequest([EOS])])
        await until(lambda: happened == ["restarted"])
        assert not pool.problem
        pool.queue.submit([again := EngineRequest([5, 9, EOS], long)])
        assert await result(again) == expected
        engine.kill()
        await until(lambda: happened == ["restarted", "died"])
        with pytest.raises(Closed):
            pool.queue.submit([EngineRequest([EOS])])

    events = EngineEvents(lambda: happened.append("restarted"), lambda: happened.append("died"))
    with EngineProcess(events, inherit_socket=inherit_socket) as engine:
        pools = engine.start_pools([artifact], pool_config(rows=1), lambda _: RecordingObserver()).pools
        asyncio.run(run(engine, pools[artifact.manifest.name]))
    assert engine.died
    assert "the engine process has died again within a minute" in caplog.text


def test_process_is_not_restarted_with_files_that_have_changed(toy_classifier: Path, tmp_path: Path) -> None:
    folder, happened = copytree(toy_classifier, tmp_path / "model"), list[str]()
    artifact = read_artifact(folder)

    async def run(engine: EngineProcess, pool: RemoteWorkerPool) -> None:
        pool.queue.submit([first := EngineRequest([5, EOS])])
        await asyncio.wait_for(first.future.wait(), TIMEOUT)
        (folder / "tokenizer.json").write_text("{}", "utf-8")
        engine.kill()
        await until(lambda: happened == ["died"])

    with EngineProcess(EngineEvents(on_death=lambda: happened.append("died"))) as engine:
        pools = engine.start_pools([artifact], pool_config(), lambda _: RecordingObserver()).pools
        asyncio.run(run(engine, pools[artifact.manifest.name]))


def test_stopped_process_is_seen_and_loses_nothing(toy_translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PING_SECONDS", 0.05)
    monkeypatch.setattr(client_module, "HUNG_SECONDS", 0.5)

    async def client(pool: RemoteWorkerPool, observer: RecordingObserver, pid: int) -> None:
        pool.queue.submit([first := EngineRequest([5, 9, EOS], DecodingOptions(max_length=5))])
        expected = await result(first)
        os.kill(pid, signal.SIGSTOP)
        pool.queue.submit([second := EngineRequest([5, 9, EOS], DecodingOptions(max_length=5))])
        await until(lambda: "does not respond" in pool.problem)
        with pytest.raises(Unavailable, match="does not respond"):
            pool.queue.submit([EngineRequest([EOS])])
        os.kill(pid, signal.SIGCONT)
        assert await result(second) == expected
        await until(lambda: not pool.problem)

    assert run_client(toy_translator, client) == 0


def test_process_that_stays_stopped_is_killed_and_restarted(
    toy_translator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"PING_SECONDS": 0.05, "HUNG_SECONDS": 0.2, "KILL_SECONDS": 0.5}.items():
        monkeypatch.setattr(client_module, name, seconds)

    async def client(pool: RemoteWorkerPool, observer: RecordingObserver, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        pool.queue.submit([lost := EngineRequest([5, 9, EOS], DecodingOptions(max_length=5))])
        with pytest.raises(EngineUnavailable):
            await result(lost)
        monkeypatch.setattr(client_module, "KILL_SECONDS", 60.0)
        await until(lambda: not pool.problem)
        pool.queue.submit([EngineRequest([5, 9, EOS], DecodingOptions(max_length=5))])

    assert run_client(toy_translator, client) == 0


def test_errors_of_all_graphs_come_from_the_process(toy_models: Path, tmp_path: Path) -> None:
    graphs = {"toy-classifier": "classify.onnx", "toy-translator": "step.onnx"}
    for name, file in graphs.items():
        corrupt(copytree(toy_models / name, tmp_path / name), file, b"not a graph")
    with EngineProcess() as engine, pytest.raises(ArtifactError) as caught:
        load_models(Settings(models=tmp_path), Metrics(), engine.start_pools)
    for name, file in graphs.items():
        assert f"{name}/{file}: onnxruntime cannot load it" in str(caught.value)
    assert engine._process.returncode == 0


def test_process_that_cannot_start_raises(monkeypatch: pytest.MonkeyPatch, toy_classifier: Path) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with EngineProcess() as engine, pytest.raises(EngineFailure, match="ended at once, with status 1"):
        engine.start_pools([read_artifact(toy_classifier)], pool_config(), lambda _: RecordingObserver())
    with pytest.raises(EngineFailure, match="ended at once, with status 1"):
        EngineProcess(inherit_socket=False)


START_WITHOUT_MEMORY = """
import sys
from service.engine.process.client import EngineProcess
from service.engine.occupancy import QueueLimits
from service.engine.interfaces import PoolConfig

sys.executable = "/bin/false"  # ends at once, as the engine process does when it cannot get memory
EngineProcess().start_pools([], PoolConfig(1, 1, QueueLimits()), lambda _: None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space cannot be limited")
def test_limit_of_the_address_space_is_part_of_the_error_at_start() -> None:
    command = f'ulimit -v 16000000 && exec "{sys.executable}" -c "$1"'
    result = subprocess.run(
        ["sh", "-c", command, "sh", START_WITHOUT_MEMORY], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert "with status 1; the address space is limited to 16000000 kB: raise it with `ulimit -v`" in result.stderr


def engine_pid(service: Process) -> int:
    pids: list[int] = [process.pid for process in process_tree(service.process.pid)]
    [_, engine] = pids
    return engine


@contextmanager
def pending_request(service: Process) -> Iterator["Future[httpx.Response]"]:
    """A request of many texts that the service has admitted and not answered."""
    body = {"text": ["one two three four five"] * 800, "source": "a", "target": "b"}
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, verify=False) as client, ThreadPoolExecutor() as threads:
        reply = threads.submit(client.post, "/v1/translate", json=body)
        eventually(lambda: waiting(client.get("/metrics").text) > 100)
        yield reply


def test_service_survives_the_death_of_its_engine_but_not_a_second_one(start: Start) -> None:
    service = start(rows=1, max_texts=4000)
    with pending_request(service) as reply:
        os.kill(engine_pid(service), signal.SIGKILL)
        response = reply.result()
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert int(response.headers["Retry-After"]) > 0
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, verify=False) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        body = {"text": "one two", "source": "a", "target": "b"}
        assert client.post("/v1/translate", json=body).json()["translations"][0]["text"] == "eins zwei"
        assert "attendant_engine_restarts_total 1.0" in client.get("/metrics").text
    os.kill(engine_pid(service), signal.SIGKILL)
    assert service.process.wait(TIMEOUT) == 1
    assert "the engine process has died again" in "".join(service.log)
    assert "Traceback" not in "".join(service.log)


def test_interrupt_of_both_processes_loses_no_result(start: Start) -> None:
    service = start(rows=1, max_texts=4000)
    with pending_request(service) as reply:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(engine_pid(service), number)
        assert service.stop(signal.SIGINT) == 0
        assert {one["text"] for one in reply.result().json()["translations"]} == {"eins zwei drei vier fünf"}


def test_engine_process_exits_when_the_service_is_killed(start: Start) -> None:
    service = start()
    engine = engine_pid(service)
    service.stop(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{engine}/exe").exists())
