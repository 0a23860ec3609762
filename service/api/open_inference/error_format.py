"""The error format of the Open Inference Protocol over HTTP."""

from typing import Any

from pydantic import BaseModel

from service.errors import ServiceError
from service.http.error_formats import ErrorFormat, FieldErrors, error_message


class InferenceError(BaseModel):
    """An error in the format of the Open Inference Protocol."""

    error: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"error": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    InferenceError, _error_body, statuses={"invalid_request": 400, "empty_text": 400, "not_loaded": 400}
)
