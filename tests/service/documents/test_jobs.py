"""Tests of service.documents.jobs: real translators over engines that the test controls."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from service.documents.jobs import DocumentJob, DocumentJobs
from service.documents.translation import DocumentRequest, DocumentTranslator, SameLanguage, batches
from service.engine.types import Sender
from service.errors import (
    DeadlineExceeded,
    DocumentNotReady,
    InvalidDocument,
    Overloaded,
    RateLimited,
    ServiceError,
    Stopping,
    TooLarge,
    UnknownDocument,
    UnknownModel,
    UnsupportedDocument,
)
from service.metrics import Metrics
from service.models.registry import Registry
from service.settings import Settings
from service.translation.translator import Translator
from tests.service.conftest import fake_model
from tests.service.fakes import TIMEOUT, EchoEngine, Failing, HeldEngine

LINES = b"red house\none dog\n"


def document(content: bytes = LINES, name: str = "a.txt", **fields: Any) -> DocumentRequest:
    return DocumentRequest(name, content, **({"target": "b", "source": "a"} | fields))


@pytest.fixture
def run(toy_translator: Path) -> Callable[..., None]:
    """Return a function that runs a test with the jobs of a service, over an engine."""

    def run(
        test: Callable[[DocumentJobs], Coroutine[Any, Any, None]], engine: EchoEngine | None = None, **changes: Any
    ) -> None:
        settings = Settings(**changes)
        registry = Registry([fake_model(toy_translator, engine or EchoEngine(), settings, Metrics())])

        async def main() -> None:
            jobs = DocumentJobs(DocumentTranslator(Translator(registry, settings), settings), settings)
            async with asyncio.timeout(TIMEOUT):
                await test(jobs)
            await jobs.stop()

        asyncio.run(main())
        registry.drain(TIMEOUT)

    return run


async def done(job: DocumentJob) -> DocumentJob:
    await job.finished.wait()
    return job


def test_a_document_is_translated_in_the_background(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        job = jobs.submit(document(), "alice", None)
        assert job.status == "queued"
        with pytest.raises(DocumentNotReady, match="the document is queued"):
            jobs.result(job)
        await done(job)
        assert (job.status, jobs.result(job)) == ("done", LINES)  # the engine echoes
        assert job.progress.characters == job.progress.done == len(LINES)

    run(test)


def test_a_document_is_only_for_its_owner(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        job = jobs.submit(document(), "key alice", "alice")
        assert jobs.find(job.id, job.key, "alice") is job
        for job_id, key, owner in ((job.id, job.key, "bob"), (job.id, "x", "alice"), ("x", job.key, "alice")):
            with pytest.raises(UnknownDocument):
                jobs.find(job_id, key, owner)

    run(test)


def test_the_number_of_documents_is_limited_for_a_caller_and_for_all(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        first = await done(jobs.submit(document(), "alice", None))
        jobs.submit(document(), "alice", None)
        with pytest.raises(RateLimited, match="alice has 2 documents here; at most 2 are kept for one caller"):
            jobs.submit(document(), "alice", None)
        for caller in ("bob", "carol"):
            jobs.submit(document(), caller, None)
        with pytest.raises(Overloaded, match="4 documents are here; at most 4 are kept"):
            jobs.submit(document(), "dave", None)
        jobs.result(first)  # a downloaded document makes room
        jobs.submit(document(), "dave", None)
        with pytest.raises(UnknownDocument):
            jobs.find(first.id, first.key, None)

    run(test, max_documents=4)


def test_a_document_is_forgotten_at_the_end_of_its_lifetime(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        job = await done(jobs.submit(document(), "alice", None))
        forgotten = False
        while not forgotten:
            await asyncio.sleep(0.01)
            try:
                jobs.find(job.id, job.key, None)
            except UnknownDocument:
                forgotten = True

    run(test, document_lifetime_seconds=0.05)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (document(name="a.pdf"), UnsupportedDocument),
        (document(b""), InvalidDocument),
        (document(b"x" * 101), TooLarge),
        (document(target="c"), UnknownModel),
        (document(target="a", same_language_is_error=True), SameLanguage),
    ],
)
def test_what_cannot_be_translated_is_refused_at_once(
    request_: DocumentRequest, error: type[ServiceError], run: Callable[..., None]
) -> None:
    async def test(jobs: DocumentJobs) -> None:
        with pytest.raises(error):
            jobs.submit(request_, "alice", None)

    run(test, max_document_bytes=100)


def test_an_engine_error_fails_the_document_and_no_other(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        failed = await done(jobs.submit(document(), "alice", None))
        assert failed.status == "error"
        with pytest.raises(ServiceError, match="encoding failed: RuntimeError"):
            jobs.result(failed)
        assert (await done(jobs.submit(document(), "alice", None))).status == "done"

    run(test, EchoEngine(on_join=Failing(1)))


def test_a_full_queue_delays_a_document(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        held, waiting = (jobs.submit(document(b"red\n" * 2), "alice", None) for _ in range(2))
        await asyncio.to_thread(engine.wait_for_step, 1)
        engine.allow(10_000)
        assert [(await done(job)).status for job in (held, waiting)] == ["done", "done"]

    engine = HeldEngine()
    run(test, engine, queue_segments=2, rows=1)


def test_a_document_is_a_bulk_request_of_its_caller(run: Callable[..., None]) -> None:
    senders = set[Sender]()

    def record() -> None:
        senders.update(request.sender for request in engine.requests)

    async def test(jobs: DocumentJobs) -> None:
        await done(jobs.submit(document(), "alice", None))
        await done(jobs.submit(document(), "bob", None))
        assert [(sender.caller, sender.bulk) for sender in sorted(senders, key=lambda sender: sender.request)] == [
            (hash("alice"), True),
            (hash("bob"), True),
        ]

    engine = EchoEngine(on_step=record)
    run(test, engine)


def test_a_document_that_takes_too_long_fails(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        job = await done(jobs.submit(document(), "alice", None))
        assert isinstance(job.error, DeadlineExceeded)
        engine.allow(100)

    engine = HeldEngine()
    run(test, engine, document_timeout_seconds=0.2)


def test_a_stop_fails_the_documents_that_are_not_done(run: Callable[..., None]) -> None:
    async def test(jobs: DocumentJobs) -> None:
        running = jobs.submit(document(), "alice", None)
        await asyncio.to_thread(engine.wait_for_step, 1)
        waiting = [jobs.submit(document(), "alice", None) for _ in range(3)]
        await jobs.stop()
        assert all(isinstance(job.error, Stopping) for job in (running, *waiting))
        engine.allow(100)

    engine = HeldEngine()
    run(test, engine)


def test_a_text_longer_than_the_queue_is_translated_in_parts(run: Callable[..., None]) -> None:
    content = b"red house. " * 300
    largest = 0

    def record() -> None:
        nonlocal largest
        largest = max(largest, len(engine.requests))

    async def test(jobs: DocumentJobs) -> None:
        job = await done(jobs.submit(document(content), "alice", None))
        assert (job.status, job.result) == ("done", content)

    engine = EchoEngine(on_step=record)
    run(test, engine, queue_segments=64)
    assert 0 < largest <= 64


def test_batches_hold_all_units_in_order() -> None:
    units = [str(i) * (i % 7 * 400 + 1) for i in range(100)]
    found = list(batches(units))
    assert [unit for batch in found for unit in batch] == units
    assert len(found) > 5
    assert list(batches([])) == []
