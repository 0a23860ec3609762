"""The native dialect's errors, RFC 9457 problem+json, and the handlers that answer every exception by its path."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from service.errors import InvalidRequest, ServiceError
from service.http import openapi as examples
from service.http.error_formats import ErrorFormat, ErrorFormats, Errors, printable


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []


def _problem(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    body = {
        "type": "about:blank",
        "title": fault.title,
        "status": status,
        "detail": printable(fault),
        "code": fault.code,
        "request_id": request_id,
    }
    return body | ({"errors": list(errors)} if errors else {})


PROBLEM = ErrorFormat(Problem, _problem, media_type="application/problem+json")
responses = PROBLEM.responses


def install(app: FastAPI, error_formats: ErrorFormats) -> None:
    """Answer every exception in the words of its path."""

    async def service_error(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, ServiceError)
        return error_formats.answer(request.scope, fault)

    async def validation_error(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, RequestValidationError)
        return error_formats.answer(request.scope, *invalid(fault.errors()))

    async def http_exception(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, HTTPException)
        response = error_formats.answer(request.scope, _named(request, fault))
        response.headers.update(fault.headers or {})
        return response

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_exception)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        """With the schemas of errors; as a route's `model` they would promise other media types too."""
        description = describe()
        _forget_validation_errors(description)
        examples.describe(description)
        description["components"]["schemas"] |= error_formats.schemas
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _forget_validation_errors(description: dict[str, Any]) -> None:
    """FastAPI promises answers that the handlers above give in other words, and each route names those itself."""
    for name in ("HTTPValidationError", "ValidationError"):
        description["components"]["schemas"].pop(name, None)
    for operation in (one for path in description["paths"].values() for one in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]


def invalid(faults: Sequence[Any]) -> tuple[InvalidRequest, Errors]:
    """Pydantic's findings: where and why; the input itself is not repeated, it may be large or not even encodable."""
    errors = [{"field": _place(fault["loc"]), "message": str(fault["msg"])} for fault in faults]
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:5])
    return InvalidRequest(detail), errors[:20]


def _place(location: Sequence[object]) -> str:
    """A field's path; names that the caller invented are shortened and made printable."""
    parts = [ascii(part)[1:-1][:60] if isinstance(part, str) else str(part) for part in location]
    return ".".join(parts)


def _named(request: Request, fault: HTTPException) -> ServiceError:
    status = HTTPStatus(fault.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's word for whatever the JSON parser raises but its own error
        return InvalidRequest("body: it cannot be parsed; send JSON in UTF-8")
    named = ServiceError(f"{request.method} {request.scope['path']}: {fault.detail}"[:300])
    named.status, named.title, named.code = fault.status_code, status.phrase, status.name.lower()
    return named
