"""The OpenAPI document: descriptions of bodies and responses, and the one place that changes what FastAPI generates."""

import copy
import functools
import json
from collections.abc import Collection, Mapping
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

from service.http.error_formats import ErrorFormats

Schema = dict[str, Any]
OPENAPI_PATH = "/openapi.json"
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def customise_openapi(app: FastAPI, error_formats: ErrorFormats, public_paths: Collection[str] | None) -> None:
    """Complete the OpenAPI document of an application, and serve it.

    It gets the schemas of errors (as a route's `model` they would be listed under the wrong media type too), names for
    the schemas of request bodies, and, unless `public_paths` is None, the API keys that every other path requires.
    """
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        document = copy.deepcopy(generate())  # parts of it belong to the routes
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _remove_validation_errors(document)
        schemas |= error_formats.schemas
        for operation in _operations(document):
            _name_body_schema(operation, schemas)
        if public_paths is not None:
            _require_keys(document, public_paths)
        return document

    @functools.cache
    def rendered() -> bytes:
        return json.dumps(openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    # Not a coroutine, so that it runs in a thread: the first document takes half a second.
    @app.get(OPENAPI_PATH, include_in_schema=False)
    def document() -> Response:
        return Response(rendered(), media_type="application/json")

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _remove_validation_errors(document: dict[str, Any]) -> None:
    """Remove FastAPI's own 422 responses: the error handlers use other formats, which every route declares itself."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operation in _operations(document):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]


def _name_body_schema(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the schema of a JSON body to the document's components, so that generated clients have a name for it."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if name := content.get("schema", {}).get("title"):
        schemas[name] = content["schema"]
        content["schema"] = {"$ref": f"#/components/schemas/{name}"}


def _require_keys(document: dict[str, Any], public_paths: Collection[str]) -> None:
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path not in public_paths or method != "get":
                operation["security"] = [{name: []} for name in SECURITY_SCHEMES]


def response_example(example: Any) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` entry with an example of a route's JSON response."""
    return {200: {"content": {"application/json": {"example": example}}}}


def inline_schema(model: type[BaseModel]) -> Schema:
    """Return a model's JSON schema without references, to describe a body that the route reads itself."""
    schema = model.model_json_schema(ref_template="{model}")
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        rest = {key: inline(value) for key, value in node.items() if key != "$ref"}
        return inline(definitions[node["$ref"]]) | rest if "$ref" in node else rest

    inlined: Schema = inline(schema)
    return inlined


def json_body(schema: Schema, examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body that the route reads itself, with examples by name."""
    media = {"schema": schema, "examples": {name: {"value": example} for name, example in examples.items()}}
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def json_or_form_body(schema: Schema, example: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that may be JSON or a form."""
    form = schema | {"properties": {name: _form_field(field) for name, field in schema["properties"].items()}}
    schemas = {"application/json": schema, "application/x-www-form-urlencoded": form, "multipart/form-data": form}
    content = {media_type: {"schema": one, "example": example} for media_type, one in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _form_field(field: Schema) -> Schema:
    """Return the schema of a field in a form, which has no null and spells booleans in several ways."""
    if field.get("type") == "boolean":
        return {
            **field,
            "type": "string",
            "enum": ["0", "1", "false", "true"],
            "default": str(field["default"]).lower(),
        }
    choices = [one for one in field.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key != "anyOf" and value is not None}
    return rest | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})
