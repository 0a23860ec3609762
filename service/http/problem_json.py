"""RFC 9457 problem details, the native API's error format, and the handlers that turn exceptions into responses."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.errors import InvalidRequest, ServiceError
from service.http.error_formats import ErrorFormat, ErrorFormats, FieldErrors, error_message
from service.http.forms import INVALID_JSON


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []


def _problem_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": status,
        "detail": error_message(error),
        "code": error.code,
        "request_id": request_id,
    }
    return body | ({"errors": list(fields)} if fields else {})


PROBLEM_FORMAT = ErrorFormat(Problem, _problem_body, media_type="application/problem+json")


def error_response(error_formats: ErrorFormats, scope: Scope, error: Exception) -> JSONResponse:
    """Return the response to an exception in the error format of the request's path."""
    match error:
        case ServiceError():
            return error_formats.response(scope, error)
        case RequestValidationError():
            return error_formats.response(scope, *invalid_request(error.errors()))
        case HTTPException():
            response = error_formats.response(scope, _service_error(scope, error))
            response.headers.update(error.headers or {})
            return response
    raise error


def add_error_handlers(app: FastAPI, error_formats: ErrorFormats) -> None:
    """Format the errors of all routes in the error format of the path."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return error_response(error_formats, request.scope, error)

    for kind in (ServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def invalid_request(errors: Sequence[Any]) -> tuple[InvalidRequest, FieldErrors]:
    """Convert Pydantic's errors to an error and its fields.

    The input is not repeated: it may be large, or not even valid Unicode.
    """
    fields = [{"field": _field_path(error["loc"]), "message": str(error["msg"])} for error in errors]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
    return InvalidRequest(detail), fields[:20]


def _field_path(location: Sequence[object]) -> str:
    """Return the path of a field; names that the client made up are shortened and made printable."""
    parts = [ascii(part)[1:-1][:60] if isinstance(part, str) else str(part) for part in location]
    return ".".join(parts)


def _service_error(scope: Scope, error: HTTPException) -> ServiceError:
    """Convert an error of FastAPI or Starlette, such as an unknown path or a wrong method."""
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI raises it for a JSON body that its parser fails on
        return InvalidRequest(INVALID_JSON)
    converted = ServiceError(f"{scope['method']} {scope['path']}: {error.detail}"[:300])
    converted.status, converted.title, converted.code = error.status_code, status.phrase, status.name.lower()
    return converted
