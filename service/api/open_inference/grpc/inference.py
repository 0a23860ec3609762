"""Inference requests over gRPC: from a ModelInferRequest to the request that HTTP has too, and back to a response.

Source: Triton's grpc_service.proto. Texts come in `contents.bytes_contents` or, as Triton's client sends them, in
`raw_input_contents` with a length before each; outputs are always raw, as Triton returns them.
"""

from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.api.open_inference.grpc.messages import Method
from service.api.open_inference.inference import Check
from service.api.open_inference.tensors import (
    InferBody,
    OutputValues,
    check_element_count,
    pack_values,
    unpack_texts,
)
from service.errors import InvalidRequest
from service.models.served_model import ServedModel

# What Triton's clients add to a request of a stream. It is accepted because it changes nothing: every request of a
# stream has one response here, which is the last.
STREAM_PARAMETERS: dict[str, Check] = {
    "triton_enable_empty_final_response": lambda value: None if isinstance(value, bool) else "give true or false"
}


def read_request(request: Any) -> tuple[InferBody, list[str]]:
    """Return the body and the texts of a ModelInferRequest.

    Raises:
        InvalidRequest, RequestValidationError: it is not one tensor of texts.
    """
    fields = {
        "parameters": _parameters(request.parameters),
        "inputs": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "datatype": tensor.datatype,
                "parameters": _parameters(tensor.parameters),
            }
            for tensor in request.inputs
        ],
        "outputs": [{"name": output.name, "parameters": _parameters(output.parameters)} for output in request.outputs],
    }
    try:
        body = InferBody.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    return body, _texts(request, body)


def _texts(request: Any, body: InferBody) -> list[str]:
    contents, raw = request.inputs[0].contents, request.raw_input_contents
    if request.inputs[0].HasField("contents") and raw:
        raise InvalidRequest("inputs.0 has contents, and the request has raw_input_contents; give one of them")
    if len(raw) > 1:
        raise InvalidRequest(f"raw_input_contents has {len(raw)} tensors; the only input is 'text'")
    if raw:
        texts = unpack_texts(raw[0])
    else:
        others = [field.name for field, _ in contents.ListFields() if field.name != "bytes_contents"]
        if others:
            raise InvalidRequest(f"inputs.0.contents has {others[0]}; the texts belong in bytes_contents")
        try:
            texts = [text.decode("utf-8") for text in contents.bytes_contents]
        except UnicodeDecodeError:
            raise InvalidRequest("inputs.0: an element is not UTF-8; encode it in UTF-8") from None
    check_element_count(body.inputs[0], len(texts))
    return texts


def _parameters(parameters: Any) -> dict[str, Any]:
    """Return InferParameters as values; one without a value is None."""
    chosen = {name: one.WhichOneof("parameter_choice") for name, one in parameters.items()}
    return {name: getattr(parameters[name], choice) if choice else None for name, choice in chosen.items()}


def make_response(method: Method, request: Any, model: ServedModel, outputs: Sequence[OutputValues]) -> Any:
    """Return the ModelInferResponse to a request."""
    response: Any = method.response()
    response.model_name, response.model_version, response.id = model.name, model.manifest.version, request.id
    for output in outputs:
        tensor = response.outputs.add()
        tensor.name, tensor.datatype = output.name, output.datatype
        tensor.shape.extend(output.shape)
        response.raw_output_contents.append(pack_values(output))
    return response
