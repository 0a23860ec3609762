"""The Open Inference Protocol: Triton's client against a running service, and bodies that it would never send."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.service.conftest import Service

TEXTS = ["orange yellow", "cyan"]
INFER = "/v2/models/toy-classifier/infer"


@pytest.fixture(scope="module")
def triton(service: Service) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(service.url.removeprefix("http://"))
    yield client
    client.close()


def tensor(texts: list[str], shape: list[int] | None = None, binary: bool = True) -> InferInput:
    found = InferInput("text", shape or [len(texts)], "BYTES")
    array = np.array([text.encode() for text in texts], dtype=object).reshape(shape or [len(texts)])
    return found.set_data_from_numpy(array, binary_data=binary)


def assert_error(response: httpx.Response, status: int) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    message: str = body["error"]
    assert len(message) < 1000
    return message


def test_server_and_models_are_described(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy-translator")
    assert not triton.is_model_ready("nothing")
    server = triton.get_server_metadata()
    assert (server["name"], server["version"]) == ("attendant", "0.1.0")
    assert {"binary_tensor_data", "classification", "model_configuration", "statistics"} <= set(server["extensions"])
    classifier = triton.get_model_metadata("toy-classifier")
    assert classifier["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert classifier["outputs"][2] == {"name": "probability", "datatype": "FP32", "shape": [-1, 3]}
    assert sorted(classifier["parameters"]["labels"]) == ["cold", "none", "warm"]
    translator = triton.get_model_metadata("toy-translator")
    assert translator["parameters"]["directions"] == ["a-b", "b-a"]
    assert [output["name"] for output in translator["outputs"]] == ["translation", "source", "warnings"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("outputs", [None, True, False])
def test_classify(triton: InferenceServerClient, service: Service, binary_in: bool, outputs: bool | None) -> None:
    names = ("label", "score", "probability")
    requested = None if outputs is None else [InferRequestedOutput(name, binary_data=outputs) for name in names]
    found = triton.infer("toy-classifier", [tensor(TEXTS, binary=binary_in)], outputs=requested, request_id="42")
    assert found.get_response()["id"] == "42"
    assert found.get_response()["model_name"] == "toy-classifier"
    labels = [one.decode() if isinstance(one, bytes) else one for one in found.as_numpy("label").tolist()]
    assert labels == ["warm", "cold"]
    native = service.post("/v1/classify", {"text": TEXTS, "top_k": 3}).json()["results"]
    best = [one["labels"][0]["score"] for one in native]
    np.testing.assert_allclose(found.as_numpy("score"), best, rtol=1e-6)
    assert found.as_numpy("probability").shape == (2, 3)
    np.testing.assert_allclose(np.sort(found.as_numpy("probability"), axis=1)[:, -1], best, rtol=1e-6)


def test_translate(triton: InferenceServerClient) -> None:
    found = triton.infer("toy-translator", [tensor(["red house", "dog"])], parameters={"source": "a", "target": "b"})
    assert found.as_numpy("translation").tolist() == [b"rot Haus", b"Hund"]
    assert found.as_numpy("source").tolist() == [b"a", b"a"]
    assert found.as_numpy("warnings").tolist() == [b"", b""]


def test_outputs_have_the_shape_of_the_input(triton: InferenceServerClient) -> None:
    found = triton.infer("toy-classifier", [tensor(["cyan", "orange", "red", "blue"], shape=[2, 2])])
    assert found.as_numpy("label").tolist() == [[b"cold", b"warm"], [b"warm", b"cold"]]
    assert found.as_numpy("probability").shape == (2, 2, 3)


def test_outputs_may_be_selected_and_mixed_with_binary(triton: InferenceServerClient) -> None:
    requested = [
        InferRequestedOutput("score", binary_data=False),
        InferRequestedOutput("label", binary_data=True),
    ]
    found = triton.infer("toy-classifier", [tensor(["cyan"])], outputs=requested)
    assert [output["name"] for output in found.get_response()["outputs"]] == ["score", "label"]
    assert found.as_numpy("label").tolist() == [b"cold"]
    assert found.as_numpy("score").dtype == np.float32
    assert found.as_numpy("probability") is None


@pytest.mark.parametrize(
    ("model", "options", "status"),
    [
        ("nothing", {}, "404"),
        ("toy-translator", {}, "400"),
        ("toy-translator", {"parameters": {"target": "xx"}}, "404"),
        ("toy-classifier", {"outputs": [InferRequestedOutput("logits")]}, "400"),
    ],
)
def test_client_raises_errors_with_their_message(
    triton: InferenceServerClient, model: str, options: dict[str, Any], status: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        triton.infer(model, [tensor(["dog"])], **options)
    assert caught.value.status() == status
    assert "decoding the response" not in caught.value.message()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_client_may_compress_its_requests(triton: InferenceServerClient, algorithm: str, binary: bool) -> None:
    texts = [tensor(["cyan"], binary=binary)]
    found = triton.infer("toy-classifier", texts, request_compression_algorithm=algorithm)
    assert found.as_numpy("label").tolist() == [b"cold"]


def test_target_language_is_required(service: Service) -> None:
    message = assert_error(service.post("/v2/models/toy-translator/infer", request(["dog"])), 400)
    assert "target as one of a, b" in message


def request(data: Any, **changes: Any) -> dict[str, Any]:
    one = {"name": "text", "shape": [len(data)], "datatype": "BYTES", "data": data}
    return {"inputs": [one | changes]}


def test_data_may_be_nested(service: Service) -> None:
    body = request([["cyan"], ["orange"]], shape=[2, 1])
    outputs = {one["name"]: one for one in service.post(INFER, body).json()["outputs"]}
    assert outputs["label"]["data"] == ["cold", "warm"]
    assert outputs["label"]["shape"] == [2, 1]


@pytest.mark.parametrize(
    "body",
    [
        request(["dog"], shape=[2]),
        request(["dog"], shape=[2**62, 2**62]),
        request(["dog"], shape=[1] * 9),
        request(["dog"], shape=[-1]),
        request([5]),
        request([["dog", None]], shape=[2]),
        request(["dog"], datatype="FP32"),
        request(["dog"], name="input"),
        request(["dog"], parameters={"binary_data_size": 4}),
        request([], shape=[0]),
        {"inputs": []},
        {"inputs": request(["dog"])["inputs"] * 2},
        request(["dog"]) | {"parameters": {"target": 5}},
        request(["dog"]) | {"outputs": [{"name": "label"}] * 17},
        request(["dog"]) | {"id": "\ud800"},
        request(["dog"]) | {"outputs": [{"name": "\udfff"}]},
        {},
        [],
    ],
)
def test_contradictory_bodies_are_rejected(service: Service, body: Any) -> None:
    path = "/v2/models/toy-translator/infer" if isinstance(body, dict) and body.get("parameters") else INFER
    assert_error(service.client.post(path, content=json.dumps(body)), 400)


def test_deeply_nested_data_is_rejected(service: Service) -> None:
    body = (
        b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    )
    assert_error(service.client.post(INFER, content=body), 400)


def send(service: Service, head: dict[str, Any] | bytes, binary: bytes, length: str | None = None) -> httpx.Response:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)) if length is None else length}
    return service.client.post(INFER, content=text + binary, headers=headers)


def pack(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def head(size: Any, count: int = 1, **changes: Any) -> dict[str, Any]:
    one = {"name": "text", "shape": [count], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    return {"inputs": [one | changes]}


def test_binary_in_and_json_out(service: Service) -> None:
    data = pack(b"cyan", "größe".encode())
    found = send(service, head(len(data), 2), data).json()
    assert found["outputs"][0]["data"][0] == "cold"


@pytest.mark.parametrize("length", ["-1", "x", "", "999999", "9" * 5000, "1.5", "٣"])
def test_invalid_length_of_the_json_part_is_rejected(service: Service, length: str) -> None:
    data = pack(b"cyan")
    headers = {b"Inference-Header-Content-Length": length.encode()}
    response = service.client.post(INFER, content=json.dumps(head(len(data))).encode() + data, headers=headers)
    assert_error(response, 400)


@pytest.mark.parametrize(
    ("size", "binary", "count"),
    [
        (8, pack(b"cyan") + b"more", 1),
        (4, pack(b"cyan"), 1),
        (2**40, pack(b"cyan"), 1),
        (-1, pack(b"cyan"), 1),
        ("8", pack(b"cyan"), 1),
        (True, b"x", 1),
        (8, pack(b"cyan"), 2),
        (8, b"\xff\xff\xff\xff" + b"cyan", 1),
        (3, b"\0\0\0", 1),
        (6, pack(b"\xff\xfe"), 1),
        (7, pack(b"\xed\xa0\x80"), 1),
        (None, pack(b"cyan"), 1),
    ],
)
def test_inconsistent_binary_data_is_rejected(service: Service, size: Any, binary: bytes, count: int) -> None:
    assert_error(send(service, head(size, count), binary), 400)
