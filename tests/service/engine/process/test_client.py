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

from benchmarks.common.processes import family
from service.artifact import ArtifactError, read_artifact
from service.engine.decoding.options import Options
from service.engine.interfaces import Posts
from service.engine.process import messages
from service.engine.process.client import EngineProcess, RemoteCrew, RemoteQueue
from service.engine.queue import Bounds, Closed, QueueFull
from service.engine.types import Ticket
from service.engine.worker import EngineFailure
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Process, Start, eventually, waiting
from tests.service.fakes import PATIENCE, Record, answer
from tests.service.test_main import spoil

EOS = 3


def posts(workers: int = 1, **bounds: int) -> Posts:
    return Posts(workers, 1, Bounds(**bounds))


def crew_of(sent: list[messages.Letter], **bounds: int) -> RemoteCrew:
    return RemoteCrew("toy", posts(**bounds), sent.append, Record(), lambda _: None)


def numbers(sent: Sequence[messages.Letter]) -> list[int]:
    return [one.number for letter in sent if isinstance(letter, messages.Submitted) for one in letter.tickets]


def report(*events: messages.Event, died: bool = False) -> messages.Report:
    return messages.Report("toy", events, 100, died)


def test_a_request_that_does_not_fit_is_refused_whole_until_others_have_joined() -> None:
    sent: list[messages.Letter] = []
    crew = crew_of(sent, queue_segments=2, queue_tokens=10)
    crew.queue.submit([Ticket([1] * 6), Ticket([1])])
    for refused in ([Ticket([1])], [Ticket([1] * 4)]):
        with pytest.raises(QueueFull, match="2 segments are waiting"):
            crew.queue.submit(refused)
    assert numbers(sent) == [0, 1]
    crew.hear(report(messages.Encoded([0], 0.1)))
    assert (crew.queue.waiting, crew.running, crew.pool_bytes) == (1, 1, 100)
    with pytest.raises(QueueFull):
        crew.queue.submit([Ticket([1] * 10)])
    crew.queue.submit([Ticket([1] * 9)])


def test_who_leaves_makes_room_at_once_and_is_withdrawn() -> None:
    sent: list[messages.Letter] = []
    crew = crew_of(sent, queue_segments=2)
    tickets = [Ticket([1]), Ticket([2])]
    crew.queue.submit(tickets)
    tickets[0].future.cancel()
    assert sent[1:] == [messages.Withdrawn("toy", 0)]
    crew.queue.submit([Ticket([3])])
    # What the process was about to do when the news reached it.
    crew.hear(report(messages.Encoded([0, 1], 0.1), messages.Written(0, 7), messages.Ended(0, answer([7]))))
    assert crew.running == 1
    assert crew._observer.groups == [[1]]  # type: ignore[attr-defined]


def test_answers_and_faults_reach_their_own_tickets() -> None:
    crew = crew_of([])
    tickets = [Ticket([1]), Ticket([2]), Ticket([3])]
    told: list[int] = []
    tickets[2].on_token = told.append
    crew.queue.submit(tickets)
    crew.hear(
        report(
            messages.Encoded([0, 1, 2], 0.1),
            messages.Written(2, 9),
            messages.Ended(2, answer([9])),
            messages.Ended(0, EngineFailure("the step failed: ValueError")),
        )
    )
    assert told == tickets[2].future.result(0).ids == [9]
    assert str(tickets[0].future.exception(0)) == "the step failed: ValueError"
    assert not tickets[1].future.done()
    assert not crew.drain(0)
    crew.hear(report(messages.Ended(1, answer([4]))))
    assert crew.drain(0)


def test_the_death_of_a_worker_fails_who_waits_and_nobody_who_runs() -> None:
    crew = crew_of([])
    running, waiting = Ticket([1]), Ticket([2])
    crew.queue.submit([running, waiting])
    crew.hear(report(messages.Encoded([0], 0.1)))
    assert crew.alive
    crew.hear(report(died=True))
    assert not crew.alive
    assert isinstance(waiting.future.exception(0), EngineFailure)
    with pytest.raises(Closed):
        crew.queue.submit([Ticket([3])])
    crew.hear(report(messages.Ended(0, answer([5])), died=True))
    assert running.future.result(0).ids == [5]


def test_rows_are_shared_among_the_workers() -> None:
    assert RemoteQueue("toy", posts(workers=3, rows=20), lambda _: None).rows == 6


Talking = Callable[[RemoteCrew, Record, int], Coroutine[None, None, None]]


def talk(artifact: Path, talking: Talking, **bounds: int) -> int:
    """Talk to the crew of an artifact in a process, in an event loop; the status with which the process ended."""
    observer = Record()
    with EngineProcess() as engine:
        crews = engine.hire([read_artifact(artifact)], posts(**bounds), lambda _: observer)

        async def run() -> None:
            await talking(crews[read_artifact(artifact).manifest.name], observer, engine._process.pid)
            for crew in crews.values():
                await asyncio.to_thread(crew.drain, PATIENCE)

        asyncio.run(run())
    return engine._process.returncode


async def result(ticket: Ticket) -> list[int]:
    return (await asyncio.wait_for(asyncio.wrap_future(ticket.future), PATIENCE)).ids


def test_what_is_withdrawn_is_not_computed(toy_translator: Path) -> None:
    async def talking(crew: RemoteCrew, observer: Record, pid: int) -> None:
        long = Options(max_length=20, min_length=20)
        tickets = [Ticket([5, 9, EOS], long) for _ in range(500)]
        crew.queue.submit(tickets)
        await result(tickets[0])
        for ticket in tickets[1:]:
            ticket.future.cancel()
        last = Ticket([5, 9, EOS], long)
        crew.queue.submit([last])
        assert await result(last) == await result(tickets[0])
        assert len(observer.steps) < 5000  # of 10,000

    assert talk(toy_translator, talking, rows=1) == 0


def test_tokens_come_while_they_are_written_and_in_order(toy_translator: Path) -> None:
    async def talking(crew: RemoteCrew, observer: Record, pid: int) -> None:
        told: list[int] = []
        ticket = Ticket([5, 9, EOS], Options(max_length=20, min_length=20), on_token=told.append)
        crew.queue.submit([ticket])
        assert await result(ticket) == told
        assert len(told) == 20

    assert talk(toy_translator, talking) == 0


def test_the_death_of_the_process_fails_all_its_tickets(toy_translator: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def talking(crew: RemoteCrew, observer: Record, pid: int) -> None:
        long = Options(max_length=30, min_length=30)
        tickets = [Ticket([5, 9, EOS], long) for _ in range(400)]
        crew.queue.submit(tickets)
        await result(tickets[0])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineFailure, match="the engine process died"):
            await result(tickets[-1])
        assert all(ticket.future.done() for ticket in tickets)
        assert not crew.alive
        assert (crew.queue.waiting, crew.running) == (0, 0)
        with pytest.raises(Closed):
            crew.queue.submit([Ticket([EOS])])

    assert talk(toy_translator, talking, rows=1) == -signal.SIGKILL
    assert "the engine process has died" in caplog.text


def test_faults_of_graphs_come_from_the_process(toy_models: Path, toy_classifier: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        spoil(copy(toy_classifier, tmp_path / name), "classify.onnx", b"not a graph")
    with EngineProcess() as engine, pytest.raises(ArtifactError) as caught:
        load_models(Settings(models=tmp_path), Metrics(), engine.hire)
    for name in ("one", "two"):
        assert f"{name}/classify.onnx: onnxruntime cannot load it" in str(caught.value)
    assert engine._process.returncode == 1


def test_a_process_that_cannot_start(monkeypatch: pytest.MonkeyPatch, toy_classifier: Path) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with EngineProcess() as engine, pytest.raises(EngineFailure, match="ended at once, with status 1"):
        engine.hire([read_artifact(toy_classifier)], posts(), lambda _: Record())


def engine_of(service: Process) -> int:
    [_, engine] = family(service.process.pid)
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
