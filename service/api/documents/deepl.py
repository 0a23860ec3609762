"""DeepL's dialect for documents: /v2/document.

A document is uploaded, its status is polled, and its translation is downloaded once. Source: the OpenAPI document of
DeepLcom/openapi 3, deepl-mock, and the requests of the official client, deepl 1.32.
"""

import asyncio
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from service.api.deepl.errors import ERROR_FORMAT as TEXT_ERROR_FORMAT
from service.api.deepl.glossaries import glossary_terms
from service.api.deepl.languages import match_language
from service.api.deepl.requests import SourceLanguage
from service.api.deepl.routes import UsageCounter
from service.api.documents.shared import (
    FILE_RESPONSE,
    JOB_ERRORS,
    UPLOAD_ERRORS,
    file_response,
    upload_body,
)
from service.documents.jobs import DocumentJob, DocumentJobs
from service.documents.translation import DocumentRequest, safe_filename
from service.errors import InvalidDocument, InvalidRequest
from service.glossaries.store import GlossaryStore
from service.http.error_formats import error_message
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body, response_example
from service.http.uploads import read_upload
from service.translation.translator import Translator

UPLOAD_PATH = "/v2/document"
PATHS = (UPLOAD_PATH,)
ERROR_FORMAT = replace(
    TEXT_ERROR_FORMAT, statuses={**TEXT_ERROR_FORMAT.statuses, "unsupported_document": 400, "invalid_document": 400}
)
ID_EXAMPLE, KEY_EXAMPLE = "04DE5AD98A02647D83285A36021911C6", "0CB0054F1C132C1625B392EADDA41CB754A742822F6877173029"
UPLOAD_RESPONSE = response_example({"document_id": ID_EXAMPLE, "document_key": KEY_EXAMPLE})
STATUS_RESPONSE = response_example({"document_id": ID_EXAMPLE, "status": "translating", "seconds_remaining": 20})
UNSUPPORTED = ("glossary_ids", "style_id", "translation_memory_id")


class DeepLDocumentFields(BaseModel):
    """The fields beside the file."""

    target_lang: Annotated[str, Field(min_length=1, max_length=35)]
    source_lang: SourceLanguage = None
    filename: Annotated[str | None, Field(max_length=500)] = None
    output_format: Annotated[str | None, Field(max_length=20)] = None
    formality: Literal["default", "prefer_more", "prefer_less"] | None = None
    glossary_id: Annotated[str | None, Field(max_length=100)] = None
    glossary_ids: Any = None
    style_id: Any = None
    translation_memory_id: Any = None

    def check_supported(self) -> None:
        """Check that no unsupported option is given.

        Raises:
            InvalidRequest: some are.
        """
        if given := [name for name in UNSUPPORTED if getattr(self, name)]:
            raise InvalidRequest(f"{', '.join(given)}: not supported for documents; leave it out")


class DeepLDocumentHandle(BaseModel):
    """The id and the key of a document; both are needed to read it."""

    document_id: str
    document_key: str


class DeepLDocumentStatus(BaseModel):
    """The status of a document."""

    document_id: str
    status: Literal["queued", "translating", "done", "error"]
    seconds_remaining: int | None = None
    billed_characters: int | None = None
    error_message: str | None = None
    message: str | None = None


class DeepLDocumentKey(BaseModel):
    """The key of a document."""

    document_key: Annotated[str, Field(min_length=1, max_length=200)]


KEY_BODY = json_or_form_body(DeepLDocumentKey.model_json_schema(), {"document_key": KEY_EXAMPLE})


def document_router(
    jobs: DocumentJobs, translator: Translator, glossaries: GlossaryStore, usage: UsageCounter
) -> APIRouter:
    """Return the routes over the documents."""
    router = APIRouter(tags=["deepl"])

    @router.post(
        UPLOAD_PATH,
        responses=ERROR_FORMAT.openapi_responses(*UPLOAD_ERRORS) | UPLOAD_RESPONSE,
        response_model=DeepLDocumentHandle,
        openapi_extra=_upload_body(translator),
    )
    async def upload(request: Request) -> JSONResponse:
        """Upload a document and start its translation."""
        form = await read_upload(request)
        fields = form.validated(DeepLDocumentFields)
        fields.check_supported()
        if form.content is None:
            raise InvalidDocument("Invalid file data. The form has no file; send it as the field `file`.")
        pairs = translator.language_pairs()
        filename = safe_filename(fields.filename or form.filename)
        target = match_language(fields.target_lang, (target for _, target in pairs), "target_lang")
        source = fields.source_lang and match_language(
            fields.source_lang, (source for source, _ in pairs), "source_lang"
        )
        terms = None
        if fields.glossary_id:
            terms = glossary_terms(glossaries, request, fields.glossary_id, source, target)
            await asyncio.to_thread(terms.find, (), lambda: None)  # so that an unknown one is an error now
        document = DocumentRequest(
            filename, form.content, target=target, source=source, same_language_is_error=True, terms=terms
        )
        _check_output_format(fields.output_format, document)
        job = jobs.submit(document, request.scope["caller"], request.scope.get("key"))
        usage.count_document(job)
        return JSONResponse({"document_id": job.id, "document_key": job.key})

    errors = ERROR_FORMAT.openapi_responses(*JOB_ERRORS)

    @router.post(
        "/v2/document/{document_id}",
        responses=errors | STATUS_RESPONSE,
        response_model=DeepLDocumentStatus,
        openapi_extra=KEY_BODY,
    )
    async def status(request: Request, document_id: str) -> JSONResponse:
        """Return the status of a document."""
        job = await find(request, document_id)
        return JSONResponse(_status(job, jobs.seconds_remaining(job)))

    @router.post(
        "/v2/document/{document_id}/result",
        responses=errors | FILE_RESPONSE,
        response_class=Response,
        openapi_extra=KEY_BODY,
    )
    async def result(request: Request, document_id: str) -> Response:
        """Download the translation of a document, once: it is deleted then."""
        job = await find(request, document_id)
        content = jobs.result(job)
        jobs.delete(job)
        return file_response(job, content)

    async def find(request: Request, document_id: str) -> DocumentJob:
        body = await read_json_or_form(request, DeepLDocumentKey)
        return jobs.find(document_id, body.document_key, request.scope.get("key"))

    return router


def _check_output_format(output_format: str | None, document: DocumentRequest) -> None:
    """Check that a document is to stay in its format.

    Raises:
        InvalidRequest: it is not.
    """
    if output_format and output_format.lower().removeprefix(".") not in document.format.extensions:
        raise InvalidRequest(
            f"output_format not supported: {output_format!r}; a document keeps its format, leave it out"
        )


def _status(job: DocumentJob, seconds_remaining: int | None) -> dict[str, Any]:
    status: dict[str, Any] = {"document_id": job.id, "status": job.status}
    if job.status == "translating" and seconds_remaining is not None:
        status["seconds_remaining"] = seconds_remaining
    if job.status == "done":
        status |= {"seconds_remaining": 0, "billed_characters": job.progress.characters}
    if job.error is not None:
        # The original writes both names.
        status |= dict.fromkeys(("error_message", "message"), error_message(job.error))
    return status


def _upload_body(translator: Translator) -> dict[str, Any]:
    pairs = translator.language_pairs()
    language = {"type": "string"}
    return upload_body(
        {
            "target_lang": language | {"enum": sorted({target.upper() for _, target in pairs})},
            "source_lang": language | {"enum": ["", *sorted({source.upper() for source, _ in pairs})]},
            "filename": {"type": "string", "maxLength": 500, "description": "Instead of the name of the file."},
        },
        ["target_lang"],
        {"filename": "hello.txt", "target_lang": "EN-GB"},
    )
