"""Errors as RFC 9457 problem+json, for every path of the native dialect and for what no route answers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api.schemas import Problem
from service.errors import InvalidRequest, ServiceError

MEDIA_TYPE = "application/problem+json"


def problem(fault: ServiceError, request_id: str, errors: Sequence[dict[str, str]] = ()) -> JSONResponse:
    """The response for a fault."""
    body = {
        "type": "about:blank",
        "title": fault.title,
        "status": fault.status,
        "detail": str(fault).encode("utf-8", "backslashreplace").decode(),  # a name may hold half a surrogate pair
        "code": fault.code,
        "request_id": request_id,
    }
    extra = {"errors": list(errors)} if errors else {}
    return JSONResponse(body | extra, fault.status, fault.headers, media_type=MEDIA_TYPE)


def responses(*faults: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the problems that a route can answer."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {}
    for fault in dict.fromkeys(faults):
        earlier = found.get(fault.status, {}).get("description")
        description = f"{earlier}; {fault.title}" if earlier else fault.title
        found[fault.status] = {"description": description, "content": content}
    return found


def install(app: FastAPI) -> None:
    """Answer every exception as a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        """With the schema that `responses` refers to; as a route's `model` it would promise application/json too."""
        description = describe()
        description["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


async def _service_error(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, ServiceError)
    return problem(fault, _id(request))


async def _validation_error(request: Request, fault: Exception) -> JSONResponse:
    """Say where and why; the input itself is not repeated, it may be large or not even encodable."""
    assert isinstance(fault, RequestValidationError)
    errors = [{"field": _place(error["loc"]), "message": str(error["msg"])} for error in fault.errors()]
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:5])
    return problem(InvalidRequest(detail), _id(request), errors[:20])


def _place(location: Sequence[object]) -> str:
    """A field's path; names that the caller invented are shortened and made printable."""
    parts = [ascii(part)[1:-1][:60] if isinstance(part, str) else str(part) for part in location]
    return ".".join(parts)


async def _http_exception(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, HTTPException)
    status = HTTPStatus(fault.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's word for whatever the JSON parser raises but its own error
        return problem(InvalidRequest("body: it cannot be parsed; send JSON in UTF-8"), _id(request))
    named = ServiceError(f"{request.method} {request.scope['path']}: {fault.detail}"[:300])
    named.status, named.title, named.code = fault.status_code, status.phrase, status.name.lower()
    response = problem(named, _id(request))
    response.headers.update(fault.headers or {})
    return response
