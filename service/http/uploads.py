"""Read a multipart form with one file."""

from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import InvalidRequest
from service.http.forms import UNPAIRED_SURROGATE

Model = TypeVar("Model", bound=BaseModel)
MAX_FIELDS = 100
MAX_FIELD_BYTES = 10_000


@dataclass(frozen=True)
class Upload:
    """The fields of a form and its file; `filename` is empty if the client sent none."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    filename: str = ""
    content: bytes | None = None  # None without a file

    def validated(self, model: type[Model]) -> Model:
        """Return the fields as a model; a field that occurs once is a string, else a list.

        Raises:
            RequestValidationError: they do not fit the model.
        """
        unwrapped = {name: values[0] if len(values) == 1 else values for name, values in self.fields.items()}
        try:
            return model.model_validate(unwrapped, strict=False)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


class _MemoryParser(MultiPartParser):
    """Keeps the file in memory, where the body is already; the container's file system may be read-only."""

    spool_max_size = 0  # SpooledTemporaryFile never moves to disk


async def read_upload(request: Request) -> Upload:
    """Read the form in the body; fields beside the file may also be in the query string.

    Raises:
        InvalidRequest: the body is not a multipart form, or has more than one file.
    """
    media_type = request.headers.get("content-type", "")
    if not media_type.lower().startswith("multipart/form-data"):
        raise InvalidRequest(f"Content-Type is {ascii(media_type)[:60]}; send multipart/form-data with a file")
    fields: dict[str, list[str]] = {}
    filename, content = "", None
    for name, value in request.query_params.multi_items():
        fields.setdefault(name, []).append(value)
    try:
        parser = _MemoryParser(
            request.headers, request.stream(), max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
        )
        form = await parser.parse()
    except (MultiPartException, HTTPException, UnicodeError) as error:
        reason = error.detail if isinstance(error, HTTPException) else getattr(error, "message", str(error))
        raise InvalidRequest(f"the form cannot be read: {reason[:200]}; send one file, and fields in UTF-8") from None
    for name, item in form.multi_items():
        if isinstance(item, UploadFile):
            filename, content = item.filename or "", await item.read()
            await item.close()
            continue
        if UNPAIRED_SURROGATE.search(f"{name}{item}"):  # some charsets can encode them
            raise InvalidRequest(
                "the form contains an unpaired surrogate, which is not a character; send valid Unicode"
            )
        fields.setdefault(name, []).append(item)
    return Upload(fields, filename, content)
