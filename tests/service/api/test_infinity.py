"""infinity's dialect over plain HTTP."""

import math
from typing import Any

import httpx
import pytest

from tests.service.conftest import Service


def assert_error(response: httpx.Response, status: int, kind: str) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == (kind, status)
    message: str = error["message"]
    assert len(message) < 1000
    return message


def test_texts_are_classified_in_order_with_all_labels(service: Service) -> None:
    reply = service.post("/classify", {"input": ["orange yellow", "cyan"], "model": "toy-classifier"})
    body = reply.json()
    assert body["object"] == "classify"
    assert body["model"] == "toy-classifier"
    assert [[one["label"] for one in labels][0] for labels in body["data"]] == ["warm", "cold"]
    assert all(len(labels) == 3 for labels in body["data"])
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    assert body["id"] == f"infinity-{reply.headers['x-request-id']}"
    assert body["created"] > 1_700_000_000
    unnamed = service.post("/classify", {"input": ["orange yellow", "cyan"], "model": "default/not-specified"})
    assert unnamed.json()["data"] == body["data"]


def test_models_are_listed(service: Service) -> None:
    body = service.client.get("/models").json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["toy-classifier"]
    model = body["data"][0]
    assert (model["object"], model["owned_by"], model["capabilities"]) == ("model", "infinity", ["classify"])
    assert model["stats"].keys() == {"queue_fraction", "queue_absolute", "results_pending", "batch_size"}


@pytest.mark.parametrize("body", [{"input": "dog"}, {"input": []}, {"input": [5]}, {}, {"input": ["a"], "model": 5}])
def test_invalid_bodies_are_rejected(service: Service, body: Any) -> None:
    assert_error(service.post("/classify", body), 422, "invalid_request")


def test_embeddings_are_refused(service: Service) -> None:
    message = assert_error(service.post("/embeddings", {"input": ["dog"]}), 400, "not_supported")
    assert "do not support `embed`" in message


def test_invalid_field_is_named(service: Service) -> None:
    error = service.post("/classify", {"input": [1] * 300_000}).json()["error"]
    assert error["param"] == "body.input.0"


def test_raw_scores_are_logits(service: Service) -> None:
    body = {"input": ["orange yellow", "", " "]}
    raw, scored = (service.post("/classify", body | {"raw_scores": raw}).json()["data"] for raw in (True, False))
    for raw_labels, labels in zip(raw, scored, strict=True):
        assert [one["label"] for one in raw_labels] == [one["label"] for one in labels]
        powers = [math.exp(one["score"]) for one in raw_labels]
        assert [one / sum(powers) for one in powers] == pytest.approx([one["score"] for one in labels], abs=1e-6)


def test_unknown_models_are_rejected(service: Service) -> None:
    message = assert_error(service.post("/classify", {"input": ["a"], "model": "toy-translator"}), 400, "unknown_model")
    assert "toy-classifier" in message
