"""LibreTranslate's dialect for documents: /translate_file, /download_file.

The response to the upload comes when the translation is done, and has the URL to download it. Source: the code of
LibreTranslate 1.6.
"""

import asyncio
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api import libretranslate
from service.api.documents.shared import (
    FILE_RESPONSE,
    JOB_ERRORS,
    UPLOAD_ERRORS,
    file_response,
    upload_body,
)
from service.api.libretranslate import missing, served_language
from service.api.shared import wait_for_disconnect
from service.documents.jobs import DocumentJob, DocumentJobs
from service.documents.translation import EXTENSIONS, DocumentRequest, safe_filename
from service.errors import ClientGone, InvalidRequest, UnknownDocument
from service.http.auth import UPLOAD_PATH
from service.http.openapi import response_example
from service.http.uploads import read_upload
from service.translation.request import AUTO
from service.translation.translator import Translator

DOWNLOAD_PATH = "/download_file/{filename}"
PATHS = (UPLOAD_PATH, "/download_file")
ERROR_FORMAT = replace(
    libretranslate.ERROR_FORMAT,
    statuses={**libretranslate.ERROR_FORMAT.statuses, "unsupported_document": 400, "invalid_document": 400},
)
# In a URL: the id and the key of a document, and its name.
DOWNLOAD_NAME = re.compile(r"([0-9A-F]{32})([0-9A-F]{64})\..*", re.DOTALL)
UPLOAD_RESPONSE = response_example(
    {"translatedFileUrl": "https://translate.example.com/download_file/04DE5AD98A02647D83285A36021911C6.hello.docx"}
)


class LibreTranslateFile(BaseModel):
    """Where to download the translated file; the URL is secret."""

    translatedFileUrl: str  # noqa: N815


class LibreTranslateFileFields(BaseModel):
    """The fields beside the file."""

    source: str = ""
    target: str = ""


def file_router(jobs: DocumentJobs, translator: Translator, root_path: str) -> APIRouter:
    """Return the routes over the documents; `root_path` is the path of the service at a proxy."""
    router = APIRouter(tags=["libretranslate"])

    @router.post(
        UPLOAD_PATH,
        responses=ERROR_FORMAT.openapi_responses(*UPLOAD_ERRORS) | UPLOAD_RESPONSE,
        response_model=LibreTranslateFile,
        openapi_extra=_upload_body(translator),
    )
    async def translate_file(request: Request) -> JSONResponse:
        """Translate a file; the response comes when it is done."""
        form = await read_upload(request)
        fields = form.validated(LibreTranslateFileFields)
        if form.content is None:
            raise missing("file")
        if not form.filename:
            raise InvalidRequest("Invalid request: empty file")
        if not fields.source:
            raise missing("source")
        if not fields.target:
            raise missing("target")
        pairs = translator.language_pairs()
        source = served_language(fields.source, {AUTO, *(source for source, _ in pairs)})
        document = DocumentRequest(
            safe_filename(form.filename),
            form.content,
            target=served_language(fields.target, {target for _, target in pairs}),
            source=None if source == AUTO else source,
        )
        job = jobs.submit(document, request.scope["caller"], request.scope.get("key"))
        await _wait(jobs, job, request)
        if job.error is not None:
            jobs.delete(job)
            raise job.error
        folder = str(request.base_url.replace(path=f"{root_path}/download_file"))
        return JSONResponse({"translatedFileUrl": f"{folder}/{job.id}{job.key}.{quote(job.filename)}"})

    @router.get(
        DOWNLOAD_PATH,
        responses=ERROR_FORMAT.openapi_responses(*JOB_ERRORS) | FILE_RESPONSE,
        response_class=Response,
    )
    async def download_file(request: Request, filename: str) -> Response:
        """Download a translated file; it is deleted after a time."""
        match = DOWNLOAD_NAME.fullmatch(filename)
        if match is None:
            raise UnknownDocument("Invalid filename")
        job = jobs.find(match[1], match[2], request.scope.get("key"))
        return file_response(job, jobs.result(job))

    return router


async def _wait(jobs: DocumentJobs, job: DocumentJob, request: Request) -> None:
    """Wait until a document is done; give it up if the client closes the connection.

    Raises:
        ClientGone: the client did.
    """
    finished = asyncio.ensure_future(job.finished.wait())
    gone = asyncio.ensure_future(wait_for_disconnect(request)())
    try:
        await asyncio.wait({finished, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished.cancel()
        gone.cancel()
        if not job.finished.is_set():
            jobs.delete(job)
    if not job.finished.is_set():
        raise ClientGone("the client closed the connection")


def _upload_body(translator: Translator) -> dict[str, Any]:
    pairs = translator.language_pairs()
    return upload_body(
        {
            "source": {"type": "string", "enum": [AUTO, *sorted({source for source, _ in pairs})]},
            "target": {"type": "string", "enum": sorted({target for _, target in pairs})},
            "api_key": {"type": "string"},
        },
        ["source", "target"],
        {"source": "de", "target": "en"},
    ) | {"description": f"Translate a file: {', '.join(EXTENSIONS)}."}
