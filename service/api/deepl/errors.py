"""Errors in the format of DeepL."""

from typing import Any

from pydantic import BaseModel

from service.errors import ServiceError
from service.http.error_formats import ErrorFormat, FieldErrors, error_message


class DeepLError(BaseModel):
    """An error in the format of DeepL."""

    message: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"message": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    DeepLError, _error_body,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip
