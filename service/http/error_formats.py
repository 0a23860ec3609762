"""The error format of each dialect.

The path selects the format, so that errors raised before a route is found also have the right shape: a body that is too
large or is not JSON, an unknown path, a wrong method, a missing API key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Scope

from service.errors import ServiceError

FieldErrors = Sequence[dict[str, str]]  # the invalid fields of a body: {"field": ..., "message": ...} each


@dataclass(frozen=True)
class ErrorFormat:
    """The error responses of one dialect."""

    schema: type[BaseModel]  # of the response body
    body: Callable[[ServiceError, int, str, FieldErrors], dict[str, Any]]  # (error, status, request id, fields) -> body
    # Statuses of error codes, and of classes that share a code, where they are not the error's own.
    statuses: Mapping[str | type[ServiceError], int] = field(default_factory=dict)
    media_type: str = "application/json"

    def status(self, error: ServiceError | type[ServiceError]) -> int:
        """Return the HTTP status of an error in this dialect."""
        kind = error if isinstance(error, type) else type(error)
        return self.statuses.get(kind, self.statuses.get(error.code, error.status))

    @property
    def schemas(self) -> dict[str, Any]:
        """The OpenAPI schemas of the response body, by name."""
        schema = self.schema.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions: dict[str, Any] = schema.pop("$defs", {})
        return definitions | {self.schema.__name__: schema}

    def response(self, error: ServiceError, request_id: str, fields: FieldErrors = ()) -> JSONResponse:
        """Return the response to an error."""
        status = self.status(error)
        return JSONResponse(
            self.body(error, status, request_id, fields), status, error.headers, media_type=self.media_type
        )

    def openapi_responses(self, *errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
        """Return the OpenAPI description of the errors that a route may return, with an example of each."""
        responses: dict[int | str, dict[str, Any]] = {}
        for error in errors:
            status = self.status(error)
            if status not in responses:
                content = {"schema": {"$ref": f"#/components/schemas/{self.schema.__name__}"}, "examples": {}}
                responses[status] = {"description": error.title, "content": {self.media_type: content}}
            elif error.title not in responses[status]["description"].split("; "):
                responses[status]["description"] += f"; {error.title}"
            value = self.body(error(error.example), status, "5f0c1e9a7b3d4c52", ())
            examples = responses[status]["content"][self.media_type]["examples"]
            examples.setdefault(error.code, {"summary": error.title, "value": value})
        return responses


def error_message(error: ServiceError) -> str:
    """Return the message of an error as valid Unicode: it may quote a name with an unpaired surrogate."""
    return str(error).encode("utf-8", "backslashreplace").decode()


class ErrorFormats:
    """The error format of every path: that of the longest registered path prefix, or else the native format."""

    def __init__(self, native: ErrorFormat, by_prefix: Mapping[str, ErrorFormat]) -> None:
        self._native, self._by_prefix = native, by_prefix
        self._depth = max((prefix.count("/") for prefix in by_prefix), default=0)

    @property
    def schemas(self) -> dict[str, Any]:
        """The OpenAPI schemas of all dialects' errors, by name."""
        schemas: dict[str, Any] = {}
        for error_format in (self._native, *self._by_prefix.values()):
            schemas |= error_format.schemas
        return schemas

    def for_path(self, path: str) -> ErrorFormat:
        """Return the error format of a path; prefixes match whole path segments."""
        if path == "/":
            return self._by_prefix.get(path, self._native)
        segments = path.split("/", self._depth + 1)
        for count in range(min(len(segments), self._depth + 1), 1, -1):
            prefix = "/".join(segments[:count])
            if prefix != "/" and (error_format := self._by_prefix.get(prefix)):  # "/" is a path, not one's beginning
                return error_format
        return self._native

    def response(self, scope: Scope, error: ServiceError, fields: FieldErrors = ()) -> JSONResponse:
        """Return the response to an error in the format of the request's path, and note its code for the metrics."""
        scope["error_code"] = error.code
        return self.for_path(scope["path"]).response(error, scope.get("request_id", ""), fields)
