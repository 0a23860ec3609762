"""Triton's extensions of the Open Inference Protocol over HTTP: classification, versions, configuration, statistics."""

import json
from collections.abc import Callable, Iterator
from typing import Any

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


def tensor(texts: list[str]) -> InferInput:
    return InferInput("text", [len(texts)], "BYTES").set_data_from_numpy(np.array(texts, dtype=object))


def body(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["cyan"]}]} | changes


@pytest.mark.parametrize("binary", [True, False])
def test_class_count_gives_the_best_labels(triton: InferenceServerClient, service: Service, binary: bool) -> None:
    wanted = [InferRequestedOutput("probability", binary_data=binary, class_count=2), InferRequestedOutput("score")]
    found = triton.infer("toy-classifier", [tensor(TEXTS)], outputs=wanted)
    labels = service.client.get("/v2/models/toy-classifier").json()["parameters"]["labels"]
    native = service.post("/v1/classify", {"text": TEXTS, "top_k": 2}).json()["results"]
    expected = [
        [f"{one['score']:f}:{labels.index(one['label'])}:{one['label']}" for one in result["labels"]]
        for result in native
    ]
    ranked = found.as_numpy("probability")
    assert ranked.shape == (2, 2)
    assert [[item.decode() if binary else item for item in row] for row in ranked.tolist()] == expected
    assert found.as_numpy("score").dtype == np.float32


def test_class_count_above_the_number_of_labels_gives_all(triton: InferenceServerClient) -> None:
    wanted = [InferRequestedOutput("probability", class_count=2**40)]
    found = triton.infer("toy-classifier", [tensor(["cyan"])], outputs=wanted).as_numpy("probability")
    assert sorted(one.decode().split(":")[2] for one in found[0]) == ["cold", "none", "warm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"target": "b"}}, "parameters.target: unknown parameter; there is binary_data_output"),
        ({"parameters": {"temperature": 1}}, "parameters.temperature: unknown parameter"),
        ({"parameters": {"sequence_id": 7}}, "parameters.sequence_id is 7; 0 or '' is supported"),
        ({"parameters": {"timeout": -1}}, "parameters.timeout is -1; give an integer from 0"),
        ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output is 1; True or False is supported"),
        ({"parameters": {"\ud800" * 9: 1}}, "surrogate"),
        ({"outputs": [{"name": "probability", "parameters": {"classification": -1}}]}, "give an integer from 0"),
        ({"outputs": [{"name": "probability", "parameters": {"classification": True}}]}, "give an integer from 0"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "ask for it of 'probability'"),
        ({"outputs": [{"name": "label", "parameters": {"shared_memory_region": "x"}}]}, "shared memory is not"),
        ({"outputs": [{"name": "label", "parameters": {"top": 1}}]}, "outputs.0.parameters.top: unknown parameter"),
    ],
)
def test_parameter_that_is_not_understood_is_rejected(service: Service, changes: dict[str, Any], message: str) -> None:
    response = service.client.post(INFER, content=json.dumps(body(**changes)))
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_translator_has_no_classes(service: Service) -> None:
    outputs = [{"name": "translation", "parameters": {"classification": 1}}]
    request = body(outputs=outputs, parameters={"source": "a", "target": "b"})
    response = service.post("/v2/models/toy-translator/infer", request)
    assert response.status_code == 400
    assert "the model has no labels" in response.json()["error"]


def test_parameters_without_effect_on_the_answer_are_accepted(triton: InferenceServerClient) -> None:
    found = triton.infer("toy-classifier", [tensor(["cyan"])], priority=3, timeout=10_000_000, sequence_id=0)
    assert found.as_numpy("label").tolist() == [b"cold"]


def test_timeout_of_the_request_is_its_deadline(service: Service) -> None:
    response = service.post(INFER, body(parameters={"timeout": 1}))
    assert response.status_code == 504
    assert response.json()["error"].startswith("no answer within 1e-06 s")


@pytest.mark.parametrize("model", ["toy-classifier", "toy-translator"])
def test_model_is_found_by_its_version(triton: InferenceServerClient, model: str) -> None:
    (version,) = triton.get_model_metadata(model)["versions"]
    assert triton.is_model_ready(model, version)
    assert triton.get_model_metadata(model, version) == triton.get_model_metadata(model)
    assert triton.get_model_config(model, version) == triton.get_model_config(model)
    assert triton.get_inference_statistics(model, version)["model_stats"][0]["version"] == version
    if model == "toy-classifier":
        found = triton.infer(model, [tensor(["cyan"])], model_version=version)
        assert found.get_response()["model_version"] == version
        assert found.as_numpy("label").tolist() == [b"cold"]


@pytest.mark.parametrize("path", ["", "/config", "/stats", "/ready", "/infer"])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("toy-classifier/versions/99", "Request for unknown model: 'toy-classifier' version 99 is not found; its"),
        ("nothing", "Request for unknown model: 'nothing' is not found; there is toy-"),
    ],
)
def test_unknown_model_and_version_have_the_words_of_triton(
    service: Service, path: str, model: str, error: str
) -> None:
    method = "POST" if path == "/infer" else "GET"
    response = service.client.request(method, f"/v2/models/{model}{path}", json=body() if path == "/infer" else None)
    assert response.status_code == 404
    assert response.json()["error"].startswith(error)


def test_server_is_described_with_and_without_a_slash(service: Service) -> None:
    assert service.client.get("/v2/").json() == service.client.get("/v2").json()


def test_configuration_names_tensors_and_workers(triton: InferenceServerClient) -> None:
    config = triton.get_model_config("toy-classifier")
    assert config["input"] == [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}]
    assert config["output"][2] == {"name": "probability", "data_type": "TYPE_FP32", "dims": [-1, 3]}
    assert (config["max_batch_size"], config["instance_group"][0]["count"]) == (0, 1)


def test_statistics_count_the_inferences_of_all_dialects(triton: InferenceServerClient, service: Service) -> None:
    def statistics() -> dict[str, Any]:
        (found,) = triton.get_inference_statistics("toy-classifier")["model_stats"]
        return dict(found)

    before = statistics()
    triton.infer("toy-classifier", [tensor(TEXTS)])
    service.post("/v1/classify", {"text": "cyan"})
    after = statistics()
    assert after["inference_count"] - before["inference_count"] == 3
    assert 1 <= after["execution_count"] - before["execution_count"] <= 3
    assert after["last_inference"] > before["last_inference"]
    grown = {
        name: value["ns"] - before["inference_stats"][name]["ns"] for name, value in after["inference_stats"].items()
    }
    assert 0 < grown["compute_infer"] <= grown["success"] < 3 * 60e9
    assert abs(grown["queue"] + grown["compute_infer"] - grown["success"]) <= 2
    assert after["inference_stats"]["success"]["count"] == after["inference_count"]


def test_statistics_of_all_models(triton: InferenceServerClient) -> None:
    found = triton.get_inference_statistics()["model_stats"]
    assert {one["name"] for one in found} == {"toy-classifier", "toy-translator"}


def test_repository_lists_the_models(triton: InferenceServerClient, service: Service) -> None:
    index = triton.get_model_repository_index()
    assert {(one["name"], one["state"]) for one in index} == {("toy-classifier", "READY"), ("toy-translator", "READY")}
    assert service.post("/v2/repository/index", {"ready": True}).json() == index
    assert service.post("/v2/repository/index", []).status_code == 400
    assert service.post("/v2/repository/index", {"ready": 1}).status_code == 400


def test_who_may_not_change_models_learns_nothing_else(service: Service) -> None:
    bodies: list[Any] = [{}, [], {"parameters": {"config": "{}"}}]
    for body in bodies:
        assert service.post("/v2/repository/models/toy-classifier/load", body).status_code == 403


def test_changes_of_the_server_are_refused(triton: InferenceServerClient) -> None:
    calls: dict[tuple[str, str], list[Callable[[], object]]] = {
        ("set ATTENDANT_ADMIN_KEYS", "403"): [
            lambda: triton.load_model("toy-classifier"), lambda: triton.unload_model("x"),
        ],
        ("shared memory is not supported", "501"): [
            lambda: triton.register_system_shared_memory("a", "/a", 10),
            lambda: triton.register_cuda_shared_memory("a", b"handle", 0, 10),
        ],
    }  # fmt: skip
    for (message, status), functions in calls.items():
        for call in functions:
            with pytest.raises(InferenceServerException, match=message) as caught:
                call()
            assert caught.value.status() == status


def test_settings_may_be_set_as_they_are(triton: InferenceServerClient) -> None:
    assert triton.update_trace_settings(settings={"trace_level": ["OFF"], "trace_rate": None})["trace_rate"] == "1000"
    assert triton.update_trace_settings("toy-classifier", {})["trace_level"] == ["OFF"]
    assert triton.update_log_settings({"log_info": True, "log_verbose_level": 0})["log_file"] == ""
    with pytest.raises(InferenceServerException, match="log_info is 'False': it stays True"):
        triton.update_log_settings({"log_info": False})
    with pytest.raises(InferenceServerException, match="trace_level"):
        triton.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    with pytest.raises(InferenceServerException, match="unknown setting 'x'"):
        triton.update_trace_settings(settings={"x": "1"})


def test_state_of_the_server_can_be_read(triton: InferenceServerClient) -> None:
    assert triton.get_trace_settings()["trace_level"] == ["OFF"]
    assert triton.get_trace_settings("toy-classifier")["trace_level"] == ["OFF"]
    assert triton.get_log_settings()["log_error"] is True
    triton.unregister_system_shared_memory()
    triton.unregister_cuda_shared_memory()
    assert triton.get_system_shared_memory_status() == triton.get_cuda_shared_memory_status() == []
