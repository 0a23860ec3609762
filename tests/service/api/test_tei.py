"""Text Embeddings Inference's dialect over plain HTTP."""

from typing import Any

import httpx
import pytest

from tests.service.conftest import Service

WARM = {"warm", "cold", "none"}


def assert_error(response: httpx.Response, status: int, kind: str) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body.keys() == {"error", "error_type"}
    assert body["error_type"] == kind
    message: str = body["error"]
    assert len(message) < 1000
    return message


def test_all_labels_are_returned_the_best_first(service: Service) -> None:
    found = service.post("/predict", {"inputs": "orange yellow"}).json()
    assert found[0]["label"] == "warm"
    assert {one["label"] for one in found} == WARM
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    native = service.post("/v1/classify", {"text": "orange yellow", "top_k": 3}).json()["results"][0]["labels"]
    assert found == [{"score": one["score"], "label": one["label"]} for one in native]


def test_batch_is_a_list_of_lists(service: Service) -> None:
    body = {"inputs": [["orange yellow"], ["cyan"]], "truncate": False, "raw_scores": False}
    found = service.post("/predict", body).json()
    assert [one[0]["label"] for one in found] == ["warm", "cold"]
    assert service.post("/predict", {"inputs": [["cyan"]]}).json() == [found[1]]
    assert service.post("/predict", {"inputs": ["cyan"]}).json() == found[1]


@pytest.mark.parametrize("inputs", [["orange", "cyan"], [["orange"], ["cyan", "blue"]]])
def test_pair_of_texts_is_rejected(service: Service, inputs: Any) -> None:
    message = assert_error(service.post("/predict", {"inputs": inputs}), 422, "Validation")
    assert "pair" in message


@pytest.mark.parametrize(
    "inputs", [[], [[]], ["a", "b", "c"], [["a"], "b"], ["a", ["b"]], [["a"], []], [[["a"]]], 5, None]
)
def test_invalid_inputs_are_rejected(service: Service, inputs: Any) -> None:
    assert_error(service.post("/predict", {"inputs": inputs}), 422, "Validation")


def test_unsupported_options_are_rejected(service: Service) -> None:
    message = assert_error(service.post("/predict", {"inputs": "dog", "raw_scores": True}), 422, "Validation")
    assert "raw_scores" in message
    message = assert_error(service.post("/predict", {"inputs": "red " * 60, "truncate": True}), 413, "Validation")
    assert "at most 48" in message


def test_info_describes_the_classifier(service: Service) -> None:
    info = service.client.get("/info").json()
    assert info["model_id"] == "toy-classifier"
    classifier = info["model_type"]["classifier"]
    assert set(classifier["label2id"]) == WARM
    assert {classifier["id2label"][str(i)] for i in classifier["label2id"].values()} == WARM
    assert (info["max_input_length"], info["max_client_batch_size"]) == (48, 256)
    assert service.client.get("/info", params={"model": "toy-classifier"}).json() == info
    assert_error(service.client.get("/info", params={"model": "nothing"}), 404, "Validation")
    assert_error(service.post("/predict", {"inputs": "dog", "model": "toy-translator"}), 404, "Validation")
