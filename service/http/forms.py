"""Read request bodies: JSON, or for LibreTranslate and DeepL also a form or the query string."""

import codecs
import json
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from service.errors import InvalidRequest, UnsupportedMediaType

Model = TypeVar("Model", bound=BaseModel)
MAX_FORM_FIELDS = 10_000
INVALID_JSON = "body: it cannot be parsed; send JSON in UTF-8"
PLAIN_JSON = (b"content-type", b"application/json")  # as nearly all clients send it
JSON_MEDIA_TYPE = re.compile(r"application/(.*\+)?json")
ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # of a pair, or unpaired
UNPAIRED_SURROGATE = re.compile("[\ud800-\udfff]")


async def read_json_or_form(request: Request, model: type[Model]) -> Model:
    """Read the body as the model: JSON strictly; a form, or the query string, with numbers as strings.

    Raises:
        UnsupportedMediaType: Content-Type is neither JSON nor a form.
        InvalidRequest, RequestValidationError: the body cannot be parsed or does not fit the model.
    """
    media_type = _media_type(request)
    try:
        if media_type == "application/json":
            return model.model_validate(parse_json(await request.body()), strict=True)
        return model.model_validate(_unwrap_single(await _read_form(request, media_type)), strict=False)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


async def read_json(request: Request, model: type[Model]) -> Model:
    """Read a JSON body as the model. Its texts may have unpaired surrogates: see `checked_texts`.

    Raises:
        UnsupportedMediaType: Content-Type is not JSON.
        InvalidRequest, RequestValidationError: the body is not JSON or does not fit the model.
    """
    if PLAIN_JSON not in request.scope["headers"]:
        media_type = _media_type(request)
        if not JSON_MEDIA_TYPE.fullmatch(media_type):
            raise _wrong_media_type(media_type, "application/json")
    message = await request.receive()  # the whole body: see BodyLimitMiddleware
    try:
        return model.model_validate(parse_json(message["body"], allow_surrogates=True))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([one | {"loc": ("body", *one["loc"])} for one in errors]) from None


def _wrong_media_type(media_type: str, accepted: str) -> UnsupportedMediaType:
    given = f"is {ascii(media_type)[:60]}" if media_type else "is missing"
    return UnsupportedMediaType(f"Content-Type {given}; send {accepted}")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_json(body: bytes, allow_surrogates: bool = False) -> Any:
    """Parse JSON.

    Raises:
        InvalidRequest: the body is not JSON in UTF-8 or is nested too deeply; or it has an unpaired surrogate, unless
            `allow_surrogates` leaves that check to the caller, who can name the field.
    """
    try:
        # json.loads would accept unpaired surrogates, UTF-16 and UTF-32 in bytes.
        parsed = json.loads(body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):  # ValueError also for an integer with thousands of digits
        raise InvalidRequest(INVALID_JSON) from None
    if not allow_surrogates and ESCAPED_SURROGATE.search(body):
        _check_surrogates(json.dumps(parsed, ensure_ascii=False))
    return parsed


def _check_surrogates(text: str) -> None:
    if UNPAIRED_SURROGATE.search(text):
        raise InvalidRequest("body: it contains an unpaired surrogate, which is not a character; send valid Unicode")


async def _read_form(request: Request, media_type: str) -> dict[str, list[str]]:
    """Return the values of each field, those of the query string first."""
    fields = _parse_urlencoded(request.url.query)
    body = await request.body()
    if media_type == "multipart/form-data":
        added = await _read_multipart(request, len(body))
    elif media_type == "application/x-www-form-urlencoded":
        added = _parse_urlencoded(body.decode("latin-1"))
    elif body:
        raise _wrong_media_type(media_type, "application/json or a form")
    else:
        added = {}
    for name, values in added.items():
        fields.setdefault(name, []).extend(values)
    return fields


def _parse_urlencoded(encoded: str) -> dict[str, list[str]]:
    """Parse strictly: `request.form` would replace bytes that are not UTF-8 without an error."""
    try:
        return parse_qs(encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError:
        raise InvalidRequest("the form is not UTF-8; encode it in UTF-8 before percent-encoding its bytes") from None
    except ValueError:
        raise InvalidRequest(f"the form has more than {MAX_FORM_FIELDS} fields; send fewer") from None


async def _read_multipart(request: Request, size: int) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    try:
        form = await request.form(max_files=0, max_fields=MAX_FORM_FIELDS, max_part_size=size)
    except (MultiPartException, HTTPException, UnicodeError) as error:  # UnicodeError: from a charset of the client's
        reason = error.detail if isinstance(error, HTTPException) else str(error)
        raise InvalidRequest(f"the form cannot be read: {reason[:200]}; send fields in UTF-8, no files") from None
    for name, value in form.multi_items():
        _check_surrogates(f"{name}{value}")  # some charsets can encode them
        fields.setdefault(name, []).append(str(value))
    return fields


def _unwrap_single(fields: dict[str, list[str]]) -> dict[str, Any]:
    """Replace the list of a field that occurs once by its value."""
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
