"""The Open Inference Protocol's tensors of text and numbers, as JSON and in the binary data extension.

Binary data follows the JSON part of a body, tensor by tensor; a BYTES element is its length, 4 bytes little-endian, and
its bytes; numbers are little-endian. Source: kserve/open-inference-protocol, and Triton's extension_binary_data.
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
from service.http.forms import parsed

JSON_LENGTH = "Inference-Header-Content-Length"
Parameters = Annotated[
    dict[str, Any], Field(json_schema_extra={"additionalProperties": {"type": ["string", "number", "boolean"]}})
]


class InputTensor(BaseModel):
    """Texts; `data` holds them unless the parameter binary_data_size says that they follow the JSON part."""

    name: Literal["text"]
    shape: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(max_length=8)
    datatype: Literal["BYTES"]
    parameters: Parameters = {}
    data: Annotated[Any, Field(json_schema_extra={"type": "array", "items": {"type": "string"}})] = None


class OutputWish(BaseModel):
    """An output that is wanted."""

    name: str
    parameters: Parameters = {}


class InferBody(BaseModel):
    """The JSON part of a request."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputWish] | None = Field(default=None, max_length=16)


@dataclass(frozen=True)
class Output:
    """A tensor of an answer; BYTES are texts, FP32 are floats, both flat."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]
    values: Sequence[Any]


def read_body(body: bytes, json_length: str | None) -> tuple[InferBody, bytes]:
    """The JSON part of a body, and the binary part after it.

    Raises:
        InvalidRequest, RequestValidationError: it has no such parts.
    """
    length = len(body)
    if json_length is not None:
        length = int(json_length) if json_length.isdecimal() and len(json_length) < 12 else length + 1
        if length > len(body):
            raise InvalidRequest(
                f"{JSON_LENGTH} is {json_length[:20]!r}; give the length of the JSON part of {len(body)} bytes"
            )
    try:
        return InferBody.model_validate(parsed(body[:length])), body[length:]
    except ValidationError as fault:
        raise RequestValidationError(fault.errors(include_url=False, include_input=False)) from None


def read_texts(tensor: InputTensor, binary: bytes) -> list[str]:
    """The texts of the only input, row by row; `binary` is what follows the JSON part, and must be used up.

    Raises:
        InvalidRequest: shape, data and sizes disagree, or an element is no text in UTF-8.
    """
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if binary:
            raise InvalidRequest(f"{len(binary)} bytes follow the JSON part, but no input has binary_data_size")
        texts = _flat(tensor.data)
    elif type(size) is not int or size != len(binary):
        raise InvalidRequest(f"binary_data_size is {str(size)[:20]}, but {len(binary)} bytes follow the JSON part")
    elif tensor.data is not None:
        raise InvalidRequest("inputs.0 has both data and binary_data_size; give one of them")
    else:
        texts = _unpacked(binary)
    if len(texts) != math.prod(tensor.shape):
        raise InvalidRequest(f"inputs.0 has shape {tensor.shape} and {len(texts)} elements; they must agree")
    return texts


def _flat(data: Any) -> list[str]:
    """The strings of nested lists, in order."""
    texts: list[str] = []
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, str):
            texts.append(one)
        else:
            raise InvalidRequest(f"inputs.0.data: element {len(texts)} is no string; give a list of strings")
    return texts


def _unpacked(binary: bytes) -> list[str]:
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
            raise InvalidRequest(f"inputs.0: element {len(texts)} is not UTF-8; encode it so") from None
        start = end
    return texts


def write(model: str, body: InferBody, outputs: Sequence[Output]) -> Response:
    """The answer, with the outputs that the request wishes for, each as it wishes.

    Raises:
        InvalidRequest: it wishes for one that there is not.
    """
    by_name = {output.name: output for output in outputs}
    wishes = [OutputWish(name=name) for name in by_name] if body.outputs is None else body.outputs
    told: list[dict[str, Any]] = []
    binary = b""
    for wish in wishes:
        output = by_name.get(wish.name)
        if output is None:
            raise InvalidRequest(f"no output {wish.name[:80]!r}; there is {', '.join(by_name)}")
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if wish.parameters.get("binary_data", body.parameters.get("binary_data_output", False)) is True:
            packed = _packed(output)
            binary += packed
            entry["parameters"] = {"binary_data_size": len(packed)}
        else:
            entry["data"] = list(output.values)
        told.append(entry)
    answer = {"model_name": model, "outputs": told} | ({} if body.id is None else {"id": body.id})
    head = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    if not any("parameters" in entry for entry in told):
        return Response(head, media_type="application/json")
    return Response(head + binary, headers={JSON_LENGTH: str(len(head))}, media_type="application/octet-stream")


def _packed(output: Output) -> bytes:
    if output.datatype == "FP32":
        return np.asarray(output.values, "<f4").tobytes()
    texts = [text.encode() for text in output.values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
