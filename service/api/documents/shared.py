"""What the document routes of all dialects share."""

from typing import Any
from urllib.parse import quote

from fastapi import Response

from service.api.shared import MODEL_ERRORS
from service.documents.jobs import DocumentJob
from service.errors import DocumentNotReady, InvalidDocument, UnknownDocument, UnsupportedDocument

UPLOAD_ERRORS = (*MODEL_ERRORS, InvalidDocument, UnsupportedDocument)
JOB_ERRORS = (*MODEL_ERRORS, InvalidDocument, UnsupportedDocument, UnknownDocument, DocumentNotReady)


def file_response(job: DocumentJob, content: bytes) -> Response:
    """Return a document as a download with its name (RFC 6266, RFC 8187)."""
    plain = job.filename.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(job.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=job.media_type, headers=headers)


FILE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The translated document.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def upload_body(properties: dict[str, Any], required: list[str], example: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a form with a file."""
    file = {"type": "string", "format": "binary", "description": "The document; its name has the extension."}
    schema = {"type": "object", "properties": {"file": file} | properties, "required": ["file", *required]}
    media = {"schema": schema, "example": {"file": "Guten Morgen.", **example}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": media}}}
