"""Pairs of texts and truncation over HTTP: the labels and scores of transformers' pipeline."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers

from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.export.hf.conftest import run_import
from tests.export.hf.test_classifier import LABELS, write_checkpoint
from tests.service.conftest import Service, assert_problem, serving
from tests.training.pretrained.words import sentences

TEXTS, SECONDS = sentences(11, 24), sentences(12, 24)
LONG = " ".join(sentences(13, 12))  # above the limit of 48 tokens


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("pairs") / "checkpoint", "bert")


@pytest.fixture(scope="module")
def pairs_service(checkpoint: Path, trace: Any) -> Iterator[Service]:
    run_import([str(checkpoint), str(checkpoint.parent / "models" / "mood")], trace)
    several = shutil.copytree(checkpoint.parent / "models" / "mood", checkpoint.parent / "models" / "moods")
    manifest = json.loads((several / "manifest.json").read_text("utf-8")) | {"name": "moods", "multi_label": True}
    (several / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    settings = Settings(models=checkpoint.parent / "models", workers=1, threads=1, classifier="mood")
    metrics = Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running


def scores(service: Service, **body: Any) -> list[dict[str, float]]:
    reply = service.post("/v1/classify", {"top_k": 3} | body)
    assert reply.status_code == 200, reply.text
    return [{one["label"]: one["score"] for one in result["labels"]} for result in reply.json()["results"]]


def expected(checkpoint: Path, inputs: Any) -> list[dict[str, float]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, model_max_length=48)
    classify = transformers.pipeline("text-classification", model=str(checkpoint), tokenizer=tokenizer, top_k=None)
    found = classify(inputs, truncation=True, max_length=48)
    return [{one["label"]: one["score"] for one in result} for result in found]


def test_pairs(checkpoint: Path, pairs_service: Service) -> None:
    firsts, seconds = [*TEXTS, LONG, "dog", LONG], [*SECONDS, "cat", LONG, LONG]
    inputs = [{"text": one, "text_pair": other} for one, other in zip(firsts, seconds, strict=True)]
    found = scores(pairs_service, text=firsts, pair=seconds, truncate=True)
    reference = expected(checkpoint, inputs)
    for one, other in zip(found, reference, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    swapped = scores(pairs_service, text=seconds, pair=firsts, truncate=True)
    assert max(abs(one["calm"] - other["calm"]) for one, other in zip(found, swapped, strict=True)) > 0.01
    tei = pairs_service.post("/predict", {"inputs": [list(pair) for pair in zip(TEXTS, SECONDS, strict=True)]}).json()
    assert [{one["label"]: one["score"] for one in result} for result in tei] == found[: len(TEXTS)]
    assert pairs_service.post("/predict", {"inputs": [TEXTS[0], SECONDS[0]]}).json() == tei[0]


@pytest.mark.parametrize("path", ["/", "/invocations", "/predict"])
def test_long_pair_is_cut_on_request(pairs_service: Service, path: str) -> None:
    body = {"inputs": [["dog", LONG * 200]]}  # more characters than a text may have
    assert pairs_service.post(path, body).status_code == 413
    for side in ("Right", "Left"):
        cut = {"truncate": True, "truncation_direction": side}
        found = pairs_service.post(path, body | cut).json()
        assert found == pairs_service.post(path, {"inputs": [["dog", LONG]]} | cut).json()
    assert pairs_service.post(path, {"inputs": ["dog", ""]}).json()["error_type"] == "Empty"
    assert pairs_service.post(path, {"inputs": ["dog", " "]}).status_code == 200


def test_raw_scores_of_several_labels_are_logits(pairs_service: Service) -> None:
    body = {"inputs": "dog cat", "model": "moods"}
    raw, scored = (pairs_service.post("/predict", body | {"raw_scores": flag}).json() for flag in (True, False))
    sigmoids = [1 / (1 + math.exp(-one["score"])) for one in raw]
    assert sigmoids == pytest.approx([one["score"] for one in scored], abs=1e-6)


def test_labels_of_several_are_those_from_a_half_on(pairs_service: Service) -> None:
    models = {one["name"]: one["multi_label"] for one in pairs_service.client.get("/v1/models").json()["models"]}
    assert models == {"mood": False, "moods": True}
    body = {"text": TEXTS, "model": "moods"}
    every, decided = (
        pairs_service.post("/v1/classify", body | extra).json()["results"] for extra in ({"top_k": 3}, {})
    )
    likely = [[one for one in result["labels"] if one["score"] >= 0.5] for result in every]
    assert [result["labels"] for result in decided] == likely
    assert {len(labels) for labels in likely} == {0, 1}
    single = pairs_service.post("/v1/classify", body | {"model": "mood"}).json()["results"]
    assert [len(result["labels"]) for result in single] == [1] * len(TEXTS)


def test_single_texts(checkpoint: Path, pairs_service: Service) -> None:
    found = scores(pairs_service, text=[*TEXTS, LONG], truncate=True)
    longest = LONG * 200  # more characters than a text may have
    assert scores(pairs_service, text=longest, truncate=True) == found[-1:]
    reply = pairs_service.post("/v1/classify", {"text": longest})
    assert_problem(reply, 413, "too_large")
    for one, other in zip(found, expected(checkpoint, [*TEXTS, LONG]), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert set(found[0]) == set(LABELS)


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({"text": "a", "pair": ["b"]}, 422, "invalid_request", "text is a string and pair a list of 1"),
        ({"text": ["a", "b"], "pair": ["b"]}, 422, "invalid_request", "text is a list of 2 and pair a list of 1"),
        ({"text": "a", "pair": " "}, 422, "empty_text", "pair 0 is empty"),
        ({"text": "a", "pair": LONG}, 413, "too_large", "pair 0 has "),
        ({"inputs": [["a"], ["b", "c"]]}, 422, "", "single texts and pairs"),
    ],
)
def test_pair_that_cannot_be_read_is_refused(
    pairs_service: Service, body: dict[str, Any], status: int, code: str, message: str
) -> None:
    reply = pairs_service.post("/v1/classify" if "text" in body else "/predict", body)
    assert reply.status_code == status
    assert message in reply.text
    if code:
        assert_problem(reply, status, code)
