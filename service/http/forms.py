"""Bodies that may be JSON or a form, as LibreTranslate's and DeepL's are."""

import json
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)
MANY = 10_000  # fields of a form
ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a pair, or a whole one
HALF = re.compile("[\ud800-\udfff]")


async def read_fields(request: Request, model: type[Model]) -> Model:
    """The body as the model: JSON strictly; a form, or the query where there is no body, with numbers as strings.

    Raises:
        InvalidRequest, RequestValidationError: it is neither, or not such a body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            return model.model_validate(parsed(await request.body()), strict=True)
        return model.model_validate(_single(await _form(request, kind)), strict=False)
    except ValidationError as fault:
        raise RequestValidationError(fault.errors(include_url=False, include_input=False)) from None


def parsed(body: bytes) -> Any:
    """What a body in JSON says.

    Raises:
        InvalidRequest: it is no JSON, not in UTF-8, or nested deeper than anybody means to.
    """
    try:
        found = json.loads(body.decode())  # of bytes it would take half of a surrogate pair
    except (ValueError, RecursionError):  # the former for a number of thousands of digits, too
        raise InvalidRequest("body: it cannot be parsed; send JSON in UTF-8") from None
    if ESCAPED.search(body):
        _refuse_halves(json.dumps(found, ensure_ascii=False))
    return found


def _refuse_halves(text: str) -> None:
    if HALF.search(text):
        raise InvalidRequest("body: it has half of a surrogate pair in it, which is no character; send valid Unicode")


async def _form(request: Request, kind: str) -> dict[str, list[str]]:
    """The values of each field, those of the query first."""
    fields = _decoded(request.url.query)
    body = await request.body()
    if kind == "multipart/form-data":
        added = await _parts(request, len(body))
    elif kind == "application/x-www-form-urlencoded":
        added = _decoded(body.decode("latin-1"))
    elif body:
        raise InvalidRequest(f"Content-Type is {ascii(kind)[:60]}; send application/json or a form")
    else:
        added = {}
    for name, values in added.items():
        fields.setdefault(name, []).extend(values)
    return fields


def _decoded(encoded: str) -> dict[str, list[str]]:
    try:
        return parse_qs(encoded, keep_blank_values=True, errors="strict", max_num_fields=MANY)
    except UnicodeDecodeError:
        raise InvalidRequest("the form is not UTF-8; encode it so before its bytes are percent-encoded") from None
    except ValueError:
        raise InvalidRequest(f"the form has more than {MANY} fields; send fewer") from None


async def _parts(request: Request, size: int) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    parser = MultiPartParser(request.headers, request.stream(), max_files=0, max_fields=MANY, max_part_size=size)
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as fault:  # the latter from a charset that the caller named
        raise InvalidRequest(f"the form cannot be read: {str(fault)[:200]}; send fields in UTF-8, no files") from None
    for name, value in form.multi_items():
        _refuse_halves(f"{name}{value}")  # there are charsets that can spell them
        fields.setdefault(name, []).append(str(value))
    return fields


def _single(fields: dict[str, list[str]]) -> dict[str, Any]:
    """A field that is given once is a string, one that is repeated is a list."""
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def form_content(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of such a body."""
    form = schema | {"properties": {name: _in_a_form(field) for name, field in schema["properties"].items()}}
    kinds = {"application/json": schema, "application/x-www-form-urlencoded": form, "multipart/form-data": form}
    content = {kind: {"schema": one, "example": example} for kind, one in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}


def _in_a_form(field: dict[str, Any]) -> dict[str, Any]:
    """A form has no null, and writes true and false in its own way."""
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
