"""The Open Inference Protocol over gRPC, with Triton's client: the same answers and checks as over HTTP."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, service_pb2
from tritonclient.utils import InferenceServerException

from service.api.open_inference.grpc.messages import HEALTH_SERVICE, INFERENCE_SERVICE, read_methods
from service.engine.process.client import EngineProcess
from service.http.api_keys import make_api_key
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Service, eventually, serving
from tests.service.fakes import TIMEOUT, HeldEngine
from tests.service.models.helpers import AS_ADMIN, make_version, reloadable

AS_ADMIN_GRPC = {name.lower(): value for name, value in AS_ADMIN.items()}
TEXTS = ["orange yellow", "cyan"]
TARGET_B = {"source": "a", "target": "b"}


@pytest.fixture(scope="module")
def served(toy_models: Path) -> Iterator[Service]:
    settings, metrics = Settings(models=toy_models, workers=1, threads=1, grpc_port=0, max_body_bytes=20_000), Metrics()
    with (
        EngineProcess() as engine,
        serving(settings, load_models(settings, metrics, engine.start_pools), metrics) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def triton(served: Service) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client:
        yield client


def tensor(texts: list[str]) -> InferInput:
    return InferInput("text", [len(texts)], "BYTES").set_data_from_numpy(np.array(texts, dtype=object))


def decoded(array: Any) -> list[str]:
    return [item.decode() for item in array.tolist()]


def test_descriptions_are_those_of_http(triton: InferenceServerClient, served: Service) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy-translator")
    assert triton.get_server_metadata(as_json=True) == served.client.get("/v2").json()
    model = "/v2/models/toy-classifier"
    over_http = served.client.get(model).json()
    del over_http["parameters"]  # the message has none
    metadata = triton.get_model_metadata("toy-classifier", as_json=True)
    for one in (*metadata["inputs"], *metadata["outputs"]):
        one["shape"] = [int(size) for size in one["shape"]]  # JSON has 64-bit integers of protobuf as strings
    assert metadata == over_http
    config = triton.get_model_config("toy-classifier").config
    assert config.output[2].dims == [-1, 3]
    assert config.parameters["labels"].string_value == "cold,none,warm"
    assert {one.name for one in triton.get_model_repository_index().models} == {
        one["name"] for one in served.client.post("/v2/repository/index").json()
    }
    assert triton.get_trace_settings().settings["trace_level"].value == ["OFF"]
    assert triton.update_trace_settings(settings={"trace_level": ["OFF"]}).settings["trace_rate"].value == ["1000"]
    assert triton.get_log_settings().settings["log_info"].bool_param
    assert triton.update_log_settings({"log_info": True, "log_verbose_level": 0}).settings["log_error"].bool_param
    assert not triton.get_system_shared_memory_status().regions
    triton.unregister_system_shared_memory()


def test_statistics_count_segments(triton: InferenceServerClient) -> None:
    def count() -> int:
        (found,) = triton.get_inference_statistics("toy-classifier").model_stats
        return int(found.inference_count)

    before = count()
    triton.infer("toy-classifier", [tensor(TEXTS)])
    assert count() == before + 2
    assert len(triton.get_inference_statistics().model_stats) >= 2


def test_translations_are_those_of_http(triton: InferenceServerClient, served: Service) -> None:
    texts = ["red house", "blue red green"]
    native = served.post("/v1/translate", {"text": texts, **TARGET_B}).json()["translations"]
    found = triton.infer("toy-translator", [tensor(texts)], request_id="mine", parameters=TARGET_B)
    assert decoded(found.as_numpy("translation")) == [one["text"] for one in native]
    assert decoded(found.as_numpy("source")) == ["a", "a"]
    assert found.get_response().id == "mine"


def test_classification_is_that_of_http(triton: InferenceServerClient, served: Service) -> None:
    native = served.post("/v1/classify", {"text": TEXTS}).json()["results"]
    wanted = [InferRequestedOutput("score"), InferRequestedOutput("probability", class_count=1)]
    found = triton.infer("toy-classifier", [tensor(TEXTS)], outputs=wanted)
    scores = np.array([result["labels"][0]["score"] for result in native], np.float32)
    np.testing.assert_array_equal(found.as_numpy("score"), scores)
    assert found.as_numpy("label") is None
    best = [one.decode().split(":")[2] for (one,) in found.as_numpy("probability").tolist()]
    assert best == [result["labels"][0]["label"] for result in native]


def test_texts_may_be_in_contents(served: Service) -> None:
    """KServe's clients send them there."""
    request = service_pb2.ModelInferRequest(model_name="toy-classifier")
    given = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(b"cyan")
    response = call(served, "ModelInfer", request)
    assert response.raw_output_contents[0] == b"\x04\x00\x00\x00cold"
    given.contents.bytes_contents.append(b"\xff")
    assert_refused(lambda: call(served, "ModelInfer", request), "INVALID_ARGUMENT", "not UTF-8")
    given.contents.Clear()
    given.contents.fp32_contents.append(1.0)
    assert_refused(lambda: call(served, "ModelInfer", request), "INVALID_ARGUMENT", "belong in bytes_contents")


def test_stream_answers_in_order_and_an_error_ends_only_its_request(triton: InferenceServerClient) -> None:
    answers: Queue[tuple[Any, Any]] = Queue()
    triton.start_stream(callback=lambda result, error: answers.put((result, error)))
    triton.async_stream_infer("toy-translator", [tensor(["red house"])], request_id="1", parameters=TARGET_B)
    triton.async_stream_infer("nothing", [tensor(["red house"])], request_id="2")
    triton.async_stream_infer("toy-classifier", [tensor(["cyan"])], request_id="3")
    first, second, third = [answers.get(timeout=TIMEOUT) for _ in range(3)]
    triton.stop_stream()
    assert first[0].get_response().id == "1"
    assert "Request for unknown model: 'nothing' is not found" in str(second[1])
    assert decoded(third[0].as_numpy("label")) == ["cold"]


INVALID: list[tuple[dict[str, Any], str, str]] = [
    ({"model_name": "nothing"}, "NOT_FOUND", "unknown model: 'nothing'"),
    ({"model_version": "77"}, "NOT_FOUND", "version 77 is not found"),
    ({"parameters": {"temperature": 1}}, "INVALID_ARGUMENT", "parameters.temperature: unknown parameter"),
    ({"parameters": {"target": "zz", "source": "a"}}, "NOT_FOUND", "zz"),
    ({"inputs": []}, "INVALID_ARGUMENT", "inputs"),
    ({"inputs": [InferInput("txt", [1], "BYTES").set_data_from_numpy(np.array(["a"], object))]},
     "INVALID_ARGUMENT", "inputs.0.name"),
    ({"inputs": [InferInput("text", [1], "INT32").set_data_from_numpy(np.array([1], np.int32))]},
     "INVALID_ARGUMENT", "inputs.0.datatype"),
    ({"inputs": [tensor([" "])]}, "INVALID_ARGUMENT", "text 0 is empty"),
    ({"outputs": [InferRequestedOutput("wrong")]}, "INVALID_ARGUMENT", "no output 'wrong'; there is translation"),
    ({"inputs": [tensor(["a" * 30_000])]}, "RESOURCE_EXHAUSTED", "20000"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "message"), INVALID, ids=[str(index) for index in range(len(INVALID))])
def test_invalid_request_is_refused(
    triton: InferenceServerClient, changes: dict[str, Any], code: str, message: str
) -> None:
    request = {"model_name": "toy-translator", "inputs": [tensor(["red house"])], "parameters": TARGET_B} | changes
    assert_refused(lambda: triton.infer(**request), code, message)


def test_what_is_not_supported_says_so(triton: InferenceServerClient) -> None:
    assert_refused(lambda: triton.load_model("toy-translator"), "PERMISSION_DENIED", "set ATTENDANT_ADMIN_KEYS")
    assert_refused(
        lambda: triton.register_system_shared_memory("a", "b", 8), "UNIMPLEMENTED", "shared memory is not supported"
    )
    assert_refused(lambda: triton.update_log_settings({"log_info": False}), "INVALID_ARGUMENT", "it stays True")


def test_health_service(served: Service) -> None:
    """Kubernetes' gRPC probe asks it."""
    check = read_methods(HEALTH_SERVICE)["Check"]
    request: Any = check.request()
    assert call(served, "Check", request, HEALTH_SERVICE).status == 1
    request.service = INFERENCE_SERVICE
    assert call(served, "Check", request, HEALTH_SERVICE).status == 1
    request.service = "nothing"
    assert_refused(lambda: call(served, "Check", request, HEALTH_SERVICE), "NOT_FOUND", "no service 'nothing'")


def test_requests_are_counted(triton: InferenceServerClient, served: Service) -> None:
    labels = {"route": f"/{INFERENCE_SERVICE}/ModelInfer", "method": "gRPC"}
    before = (
        served.sample("requests_total", **labels, status="OK"),
        served.sample("requests_total", **labels, status="NOT_FOUND"),
    )
    triton.infer("toy-classifier", [tensor(["cyan"])])
    assert_refused(lambda: triton.infer("nothing", [tensor(["cyan"])]), "NOT_FOUND", "nothing")
    after = (
        served.sample("requests_total", **labels, status="OK"),
        served.sample("requests_total", **labels, status="NOT_FOUND"),
    )
    assert after == (before[0] + 1, before[1] + 1)


def test_keys_and_rate_limits(toy_models: Path) -> None:
    key, entry = make_api_key("alice")
    settings = Settings(models=toy_models, workers=1, threads=1, grpc_port=0, keys=entry, requests_per_minute=2)
    metrics = Metrics()
    with (
        EngineProcess() as engine,
        serving(settings, load_models(settings, metrics, engine.start_pools), metrics) as running,
        InferenceServerClient(f"127.0.0.1:{running.grpc_port}") as client,
    ):
        assert client.is_server_ready()
        assert_refused(client.get_server_metadata, "UNAUTHENTICATED", "no API key")
        wrong = {"authorization": "Bearer nothing"}
        assert_refused(lambda: client.get_server_metadata(headers=wrong), "UNAUTHENTICATED", "unknown API key")
        client.get_server_metadata(headers={"x-api-key": key})
        client.get_server_metadata(headers={"authorization": f"Bearer {key}"})
        assert_refused(
            lambda: client.get_server_metadata(headers={"x-api-key": key}), "RESOURCE_EXHAUSTED", "2 requests a minute"
        )


def test_models_are_loaded_and_unloaded_with_an_admin_key(toy_models: Path, tmp_path: Path) -> None:
    models = shutil.copytree(toy_models, tmp_path / "models")
    with (
        reloadable(models, grpc_port=0) as running,
        InferenceServerClient(f"127.0.0.1:{running.grpc_port}") as client,
    ):
        assert_refused(lambda: client.load_model("toy-translator"), "UNAUTHENTICATED", "no API key")
        client.unload_model("toy-translator", headers=AS_ADMIN_GRPC)
        with pytest.raises(InferenceServerException):
            client.is_model_ready("toy-translator")
        make_version(models / "toy-translator", "2")
        client.load_model("toy-translator", headers=AS_ADMIN_GRPC)
        assert client.is_model_ready("toy-translator", "2")
        config = "{}"
        assert_refused(
            lambda: client.load_model("toy-translator", headers=AS_ADMIN_GRPC, config=config),
            "INVALID_ARGUMENT",
            "parameters",
        )


def test_cancelled_and_late_calls_leave_the_engine(serve_fake: Callable[..., Service]) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    served = serve_fake(engine, grpc_port=0)
    with InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client:
        request = {"model_name": "toy-translator", "inputs": [tensor(["red house"])], "parameters": TARGET_B}
        ended = threading.Event()
        running = client.async_infer(**request, callback=lambda result, error: ended.set())
        eventually(lambda: not served.idle)
        running.cancel()
        assert ended.wait(TIMEOUT)
        assert_refused(lambda: client.infer(**request, client_timeout=0.2), "DEADLINE_EXCEEDED", "")
        assert_refused(lambda: client.infer(**request, timeout=200_000), "DEADLINE_EXCEEDED", "no answer within 0.2 s")
        engine.allow(1000)
        eventually(lambda: served.idle)


def test_requests_above_the_limit_are_unavailable(serve_fake: Callable[..., Service]) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    served = serve_fake(engine, grpc_port=0, max_requests=1)
    request = {"model_name": "toy-translator", "inputs": [tensor(["red house"])], "parameters": TARGET_B}
    waiting = threading.Thread(target=served.post, args=("/v1/translate", {"text": "red house", **TARGET_B}))
    waiting.start()
    eventually(lambda: served.sample("requests_in_flight") == 1)
    with InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client:
        assert client.is_server_live()
        assert_refused(lambda: client.infer(**request), "UNAVAILABLE", "1 requests are in flight")
    engine.allow(1000)
    waiting.join(TIMEOUT)


def call(served: Service, method: str, request: Any, service: str = INFERENCE_SERVICE) -> Any:
    """Call a method without a client library."""
    response = read_methods(service)[method].response
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        run = channel.unary_unary(f"/{service}/{method}", type(request).SerializeToString, response.FromString)
        return run(request, timeout=TIMEOUT)


def assert_refused(action: Callable[[], Any], code: str, message: str) -> None:
    with pytest.raises((InferenceServerException, grpc.RpcError)) as raised:
        action()
    error: Any = raised.value
    found = error.code().name if isinstance(error, grpc.RpcError) else error.status().removeprefix("StatusCode.")
    details = error.details() if isinstance(error, grpc.RpcError) else error.message()
    assert found == code, details
    assert message in details
