"""Bodies that may be JSON or a form, as LibreTranslate's and DeepL's are."""

from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)
MANY = 10_000  # fields of a form


async def read_fields(request: Request, model: type[Model]) -> Model:
    """The body as the model: JSON strictly; a form, or the query where there is no body, with numbers as strings.

    Raises:
        InvalidRequest, RequestValidationError: it is neither, or not such a body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            return model.model_validate_json(await request.body(), strict=True)
        return model.model_validate(_single(await _form(request, kind)), strict=False)
    except ValidationError as fault:
        raise RequestValidationError(fault.errors(include_url=False, include_input=False)) from None


async def _form(request: Request, kind: str) -> dict[str, list[str]]:
    """The values of each field, those of the query first."""
    fields = _parsed(request.url.query)
    body = await request.body()
    if kind == "multipart/form-data":
        added = await _parts(request, len(body))
    elif kind == "application/x-www-form-urlencoded":
        added = _parsed(body.decode("latin-1"))
    elif body:
        raise InvalidRequest(f"Content-Type is {ascii(kind)[:60]}; send application/json or a form")
    else:
        added = {}
    for name, values in added.items():
        fields.setdefault(name, []).extend(values)
    return fields


def _parsed(encoded: str) -> dict[str, list[str]]:
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
        fields.setdefault(name, []).append(str(value))
    return fields


def _single(fields: dict[str, list[str]]) -> dict[str, Any]:
    """A field that is given once is a string, one that is repeated is a list."""
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def form_content(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of such a body."""
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": schema, "example": example} for kind in kinds}}
    }
