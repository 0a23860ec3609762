"""Translation of documents in the background: bounded in number and age, each for its owner only."""

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from service.documents.translation import DocumentProgress, DocumentRequest, DocumentTranslator
from service.errors import (
    DocumentNotReady,
    InternalError,
    Overloaded,
    RateLimited,
    ServiceError,
    Stopping,
    UnknownDocument,
)
from service.settings import Settings

log = logging.getLogger("attendant")

RUNNING = 2  # documents that are translated at once; further ones wait for their turn
UNKNOWN = "no document has this id and key; it may have been downloaded already, or has expired"
FULL_RETRY_SECONDS = 30

Status = Literal["queued", "translating", "done", "error"]


@dataclass(eq=False)
class DocumentJob:
    """A document from its upload to its download."""

    filename: str
    media_type: str
    caller: str  # whom it counts for
    owner: str | None  # the name of the API key that may read it; None where keys are not required
    id: str = field(default_factory=lambda: secrets.token_hex(16).upper())
    key: str = field(default_factory=lambda: secrets.token_hex(32).upper())
    status: Status = "queued"
    progress: DocumentProgress = field(default_factory=DocumentProgress)
    started: float | None = None  # time at which its translation began, in seconds
    result: bytes = b""
    error: ServiceError | None = None
    downloaded: bool = False
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def seconds_remaining(self, now: float) -> int | None:
        """Return the estimated time until the translation is done, at the speed so far; None before there is one."""
        if self.started is None or not self.progress.done:
            return None
        rest = self.progress.characters - self.progress.done
        return math.ceil((now - self.started) * rest / self.progress.done)


class DocumentJobs:
    """All documents that are waiting, being translated or waiting to be downloaded. `clock` returns seconds."""

    def __init__(
        self, translator: DocumentTranslator, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._translator, self._settings, self._clock = translator, settings, clock
        self._jobs: dict[str, DocumentJob] = {}
        self._turn = asyncio.Semaphore(RUNNING)

    def submit(self, request: DocumentRequest, caller: str, owner: str | None) -> DocumentJob:
        """Check a document and start to translate it in the background.

        Raises:
            RateLimited: the caller has too many documents.
            Overloaded: there are too many documents.
            UnsupportedDocument, InvalidDocument, TooLarge, UnknownModel, ModelRequired: see
                `DocumentTranslator.check`.
        """
        self._translator.check(request)
        self._make_room(caller)
        job = DocumentJob(request.filename, request.format.media_type, caller, owner)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job, request), name=f"document {job.id}")
        job.task.add_done_callback(partial(self._finish, job))
        return job

    def find(self, job_id: str, key: str, api_key: str | None) -> DocumentJob:
        """Return a document. `api_key` is the name of the caller's; None if the route requires none.

        Raises:
            UnknownDocument: there is none with this id and key, or it has another owner.
        """
        job = self._jobs.get(job_id)
        known = hmac.compare_digest(key.encode("utf-8", "replace"), (job.key if job else "").encode())
        if job is None or not known or api_key not in (None, job.owner):
            raise UnknownDocument(UNKNOWN)
        return job

    def result(self, job: DocumentJob) -> bytes:
        """Return the translated document.

        Raises:
            DocumentNotReady: it is not done.
            ServiceError: the one that its translation failed with.
        """
        if job.error is not None:
            raise job.error
        if job.status != "done":
            raise DocumentNotReady(f"the document is {job.status}; ask for its status until it is done")
        job.downloaded = True
        return job.result

    def delete(self, job: DocumentJob) -> None:
        """Forget a document; if it is not done, stop its translation."""
        self._jobs.pop(job.id, None)
        if job.task is not None:
            job.task.cancel()

    async def stop(self) -> None:
        """Fail the documents that are not done, and forget all."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._jobs.clear()

    def seconds_remaining(self, job: DocumentJob) -> int | None:
        """Return the estimated time until a document is done; None if it is not known."""
        return job.seconds_remaining(self._clock())

    def _make_room(self, caller: str) -> None:
        """Check the limits on the number of documents; the oldest one that was downloaded makes room."""
        limit = self._settings.max_documents
        share = max(1, limit // 2)
        own = [job for job in self._jobs.values() if job.caller == caller]
        for jobs, bound in ((own, share), (list(self._jobs.values()), limit)):
            if len(jobs) < bound:
                continue
            downloaded = next((job for job in jobs if job.downloaded), None)
            if downloaded is not None:
                self.delete(downloaded)
            elif jobs is own:
                raise RateLimited(
                    f"{caller} has {len(own)} documents here; at most {share} are kept for one caller: download or "
                    f"wait for one",
                    FULL_RETRY_SECONDS,
                )
            else:
                raise Overloaded(f"{len(jobs)} documents are here; at most {limit} are kept: try again later")

    async def _run(self, job: DocumentJob, request: DocumentRequest) -> None:
        """Translate a document in its turn."""
        async with self._turn:
            job.status, job.started = "translating", self._clock()
            job.result = await self._translator.translate(request, job.caller, job.progress)

    def _finish(self, job: DocumentJob, task: asyncio.Task[None]) -> None:
        """Set the outcome of a document, and forget it at the end of its lifetime."""
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            job.error = Stopping()
        elif isinstance(error, ServiceError):
            job.error = error
        elif error is not None:
            log.error("document %s failed", job.id, exc_info=error)
            job.error = InternalError(f"{type(error).__name__}; the log has the details under the document's id")
        job.status, job.task = "error" if job.error else "done", None
        job.finished.set()
        asyncio.get_running_loop().call_later(self._settings.document_lifetime_seconds, self._jobs.pop, job.id, None)
