"""How each dialect puts its errors. Which one speaks is a property of the path, so that it also holds for what happens
before a route is found: a body that is too large or cannot be parsed, an unknown path, the wrong method, a missing key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Scope

from service.errors import ServiceError

Errors = Sequence[dict[str, str]]  # what is wrong with a body, a {field, message} each


@dataclass(frozen=True)
class ErrorFormat:
    """One dialect's error answers."""

    schema: type[BaseModel]  # of a body
    body: Callable[[ServiceError, int, str, Errors], dict[str, Any]]  # from fault, status, request id, wrong fields
    statuses: Mapping[str, int] = field(default_factory=dict)  # by a fault's code, where this dialect has another
    media_type: str = "application/json"

    def status(self, fault: ServiceError | type[ServiceError]) -> int:
        """The HTTP status that this dialect gives a fault."""
        return self.statuses.get(fault.code, fault.status)

    @property
    def schemas(self) -> dict[str, Any]:
        """The OpenAPI schemas of a body, by name."""
        schema = self.schema.model_json_schema(ref_template="#/components/schemas/{model}")
        parts: dict[str, Any] = schema.pop("$defs", {})
        return parts | {self.schema.__name__: schema}

    def response(self, fault: ServiceError, request_id: str, errors: Errors = ()) -> JSONResponse:
        """The answer to a fault."""
        status = self.status(fault)
        return JSONResponse(
            self.body(fault, status, request_id, errors), status, fault.headers, media_type=self.media_type
        )

    def responses(self, *faults: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
        """The OpenAPI description of the errors that a route can answer, with an example of each."""
        found: dict[int | str, dict[str, Any]] = {}
        for fault in faults:
            status = self.status(fault)
            if status not in found:
                content = {"schema": {"$ref": f"#/components/schemas/{self.schema.__name__}"}, "examples": {}}
                found[status] = {"description": fault.title, "content": {self.media_type: content}}
            elif fault.title not in found[status]["description"].split("; "):
                found[status]["description"] += f"; {fault.title}"
            value = self.body(fault(fault.example), status, "5f0c1e9a7b3d4c52", ())
            examples = found[status]["content"][self.media_type]["examples"]
            examples[fault.code] = {"summary": fault.title, "value": value}
        return found


def printable(fault: ServiceError) -> str:
    """What a fault says; a name in it may hold half a surrogate pair, which no answer can carry."""
    return str(fault).encode("utf-8", "backslashreplace").decode()


class ErrorFormats:
    """The table: a path begins like one of a dialect's, or the native dialect speaks."""

    def __init__(self, native: ErrorFormat, others: Mapping[str, ErrorFormat]) -> None:
        self._native, self._others = native, others
        self._depth = max((prefix.count("/") for prefix in others), default=0)

    @property
    def schemas(self) -> dict[str, Any]:
        """The OpenAPI schemas of every dialect's errors, by name."""
        found: dict[str, Any] = {}
        for error_format in (self._native, *self._others.values()):
            found |= error_format.schemas
        return found

    def of(self, path: str) -> ErrorFormat:
        """The wording of the longest prefix, in whole segments, that the path begins with."""
        segments = path.split("/", self._depth + 1)
        for count in range(min(len(segments), self._depth + 1), 1, -1):
            if error_format := self._others.get("/".join(segments[:count])):
                return error_format
        return self._native

    def answer(self, scope: Scope, fault: ServiceError, errors: Errors = ()) -> JSONResponse:
        """The answer to a fault, in the words of the request's path."""
        return self.of(scope["path"]).response(fault, scope.get("request_id", ""), errors)


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A body's JSON schema without references, for a route that reads its body itself."""
    schema = model.model_json_schema(ref_template="{model}")
    parts = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(one) for one in node]
        if not isinstance(node, dict):
            return node
        rest = {key: inline(value) for key, value in node.items() if key != "$ref"}
        return inline(parts[node["$ref"]]) | rest if "$ref" in node else rest

    found: dict[str, Any] = inline(schema)
    return found
