"""The Open Inference Protocol's tensors of texts and numbers, in JSON and in the binary tensor data extension.

Binary data follows the JSON part of a body, tensor by tensor. A BYTES element is its length (4 bytes, little-endian)
and its bytes; numbers are little-endian. Source: kserve/open-inference-protocol, and Triton's extension_binary_data.
"""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidRequest
from service.http.forms import parse_json
from service.models.served_model import ServedModel

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
Parameters = Annotated[
    dict[str, Any], Field(json_schema_extra={"additionalProperties": {"type": ["string", "number", "boolean"]}})
]


class InputTensor(BaseModel):
    """The texts: in `data`, or after the JSON part if the parameter binary_data_size is given."""

    name: Literal["text"]
    shape: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(max_length=8)
    datatype: Literal["BYTES"]
    parameters: Parameters = {}
    data: Annotated[Any, Field(json_schema_extra={"type": "array", "items": {"type": "string"}})] = None


class RequestedOutput(BaseModel):
    """An output to return."""

    name: str
    parameters: Parameters = {}


class InferBody(BaseModel):
    """The JSON part of a request."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(default=None, max_length=16)  # None or empty: all outputs


@dataclass(frozen=True)
class OutputValues:
    """A tensor to return; its values are flat, strings for BYTES and floats for FP32."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]
    values: Sequence[Any]


def read_infer_body(body: bytes, json_length: str | None) -> tuple[InferBody, bytes]:
    """Return the JSON part of a body, and the binary data after it. `json_length` is the value of the header.

    Raises:
        InvalidRequest, RequestValidationError: the length or the JSON part is invalid.
    """
    length = len(body)
    if json_length is not None:
        length = int(json_length) if json_length.isdecimal() and len(json_length) < 12 else length + 1
        if length > len(body):
            raise InvalidRequest(
                f"{JSON_LENGTH_HEADER} is {json_length[:20]!r}; give that of the JSON part, at most {len(body)}"
            )
    try:
        return InferBody.model_validate(parse_json(body[:length])), body[length:]
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def read_texts(tensor: InputTensor, binary: bytes) -> list[str]:
    """Return the texts of an input tensor in row-major order. `binary` is the data after the JSON part.

    Raises:
        InvalidRequest: shape, data and sizes disagree, or an element is not text in UTF-8.
    """
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if binary:
            raise InvalidRequest(f"{len(binary)} bytes follow the JSON part, but no input has binary_data_size")
        texts = _flatten(tensor.data)
    elif type(size) is not int or size != len(binary):
        raise InvalidRequest(f"binary_data_size is {str(size)[:20]}, but {len(binary)} bytes follow the JSON part")
    elif tensor.data is not None:
        raise InvalidRequest("inputs.0 has both data and binary_data_size; give one of them")
    else:
        texts = unpack_texts(binary)
    check_element_count(tensor, len(texts))
    return texts


def check_element_count(tensor: InputTensor, count: int) -> None:
    """Check that an input tensor has as many elements as its shape says.

    Raises:
        InvalidRequest: it has not.
    """
    if count != math.prod(tensor.shape):
        raise InvalidRequest(f"inputs.0 has shape {tensor.shape} and {count} elements; they must agree")


def _flatten(data: Any) -> list[str]:
    """Return the strings of nested lists in order. A stack, not recursion: the lists may be nested deeply."""
    texts: list[str] = []
    stack = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += reversed(item)
        elif isinstance(item, str):
            texts.append(item)
        else:
            raise InvalidRequest(f"inputs.0.data: element {len(texts)} is not a string; give a list of strings")
    return texts


def unpack_texts(binary: bytes) -> list[str]:
    """Return the elements of a BYTES tensor in binary data, as texts.

    Raises:
        InvalidRequest: an element ends beyond the data, or is not UTF-8.
    """
    texts: list[str] = []
    start = 0
    while start < len(binary):
        end = start + 4
        if end <= len(binary):
            end += struct.unpack_from("<I", binary, start)[0]
        if end > len(binary):
            raise InvalidRequest(f"inputs.0: element {len(texts)} ends beyond the binary data of {len(binary)} bytes")
        try:
            texts.append(binary[start + 4 : end].decode("utf-8"))
        except UnicodeDecodeError:
            raise InvalidRequest(f"inputs.0: element {len(texts)} is not UTF-8; encode it in UTF-8") from None
        start = end
    return texts


def infer_response(model: ServedModel, body: InferBody, outputs: Sequence[OutputValues]) -> Response:
    """Return the HTTP response with the requested outputs, each in JSON or as binary data."""
    default = body.parameters.get("binary_data_output", False)
    requested = [one.parameters.get("binary_data", default) for one in body.outputs or ()]
    wanted = requested or [default] * len(outputs)
    entries: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for output, as_binary in zip(outputs, wanted, strict=True):
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if as_binary:
            binary.append(pack_values(output))
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = list(output.values)
        entries.append(entry)
    reply = {"model_name": model.name, "model_version": model.manifest.version, "outputs": entries}
    reply |= {} if body.id is None else {"id": body.id}
    json_part = json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode()
    if not binary:
        return Response(json_part, media_type="application/json")
    headers = {JSON_LENGTH_HEADER: str(len(json_part))}
    return Response(b"".join([json_part, *binary]), headers=headers, media_type="application/octet-stream")


def pack_values(output: OutputValues) -> bytes:
    """Return the values of a tensor as binary data."""
    if output.datatype == "FP32":
        return np.asarray(output.values, "<f4").tobytes()
    texts = [text.encode() for text in output.values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
