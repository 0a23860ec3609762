"""The native API's responses: translations, labels, usage, health, metrics and the OpenAPI document."""

import json
import logging
from typing import Any

import httpx
import pytest

from service.errors import ModelRequired, UnknownModel
from service.models.registry import Registry
from tests.service.conftest import CLASSIFY, TRANSLATE, Service, assert_problem, eventually


def translate(service: Service, text: str | list[str], **options: Any) -> dict[str, Any]:
    response = service.post("/v1/translate", {"text": text, "target": "b", **options})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def classify(service: Service, text: str | list[str], **options: Any) -> dict[str, Any]:
    response = service.post("/v1/classify", {"text": text, **options})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_string_has_one_translation(service: Service) -> None:
    body = translate(service, "red house", source="a")
    assert body["model"] == "toy-translator"
    assert body["translations"] == [{"text": "rot Haus", "source": "a", "target": "b", "finish_reason": "stop"}]
    assert body["usage"].keys() == {"source_tokens", "target_tokens"}
    assert body["usage"]["source_tokens"] >= 4  # direction, two words, end
    assert body["usage"]["target_tokens"] >= 2
    timings = body["timings_ms"]
    assert timings.keys() == {"queue", "compute", "total"}
    assert 0 <= timings["queue"] <= timings["total"]
    assert 0 < timings["compute"] <= timings["total"]


def test_list_is_translated_in_order(service: Service) -> None:
    texts = ["red house", "dog", "one two three", "green bird", "dog"]
    alone = [translate(service, text)["translations"][0] for text in texts]
    together = translate(service, texts)
    assert together["translations"] == alone
    assert [answer["text"] for answer in alone] == ["rot Haus", "Hund", "eins zwei drei", "grün Vogel", "Hund"]


def test_opposite_direction(service: Service) -> None:
    body = translate(service, "rot Haus", target="a", model="toy-translator")
    assert body["translations"][0] == {"text": "red house", "source": "b", "target": "a", "finish_reason": "stop"}


def test_max_length_truncates_and_sets_the_finish_reason(service: Service) -> None:
    whole, cut = (translate(service, "one two three", **options) for options in ({}, {"max_length": 1}))
    assert cut["translations"][0]["finish_reason"] == "length"
    assert cut["usage"]["target_tokens"] == 1
    assert whole["translations"][0]["text"].startswith(cut["translations"][0]["text"])
    assert translate(service, "dog", max_length=40)["translations"][0]["text"] == "Hund"


def test_labels_are_sorted_by_probability(service: Service) -> None:
    body = classify(service, ["orange yellow", "blue violet cyan"], top_k=3)
    assert [result["labels"][0]["label"] for result in body["results"]] == ["warm", "cold"]
    for result in body["results"]:
        scores = [label["score"] for label in result["labels"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert body["model"] == "toy-classifier"
    assert body["usage"]["target_tokens"] == 0
    assert body["usage"]["source_tokens"] > 4
    assert body["timings_ms"]["compute"] > 0


def test_top_k_defaults_to_one_and_is_capped(service: Service) -> None:
    assert [len(classify(service, "red", **k)["results"][0]["labels"]) for k in ({}, {"top_k": 2}, {"top_k": 9})] == [
        1, 2, 3,
    ]  # fmt: skip


def test_models_are_described(service: Service) -> None:
    classifier, translator = service.client.get("/v1/models").json()["models"]
    assert (classifier["name"], classifier["task"]) == ("toy-classifier", "classify")
    assert classifier["labels"] == ["cold", "none", "warm"]
    assert translator["directions"] == [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}]
    assert translator["limits"] == {"source_length": 48, "target_length": 40}
    assert translator["version"] == "1"
    assert {"metric", "value", "data"} <= translator["evaluation"][0].keys()


def test_health_routes(service: Service) -> None:
    assert service.client.get("/healthz").json() == {"status": "alive"}
    assert service.client.get("/readyz").json() == {"status": "ready"}


def test_root_is_the_page(service: Service) -> None:
    assert "<title>Translate · Attendant</title>" in service.client.get("/").text


SERIES = [
    'attendant_requests_total{method="POST",route="/v1/translate",status="200"}',
    'attendant_requests_total{method="GET",route="unmatched",status="404"}',
    'attendant_request_seconds_count{route="/v1/classify"}',
    *(
        f'attendant_{name}{{model="{model}"}}'
        for model in ("toy-translator", "toy-classifier")
        for name in ("queue_seconds_count", "step_seconds_sum", "step_rows_count", "encode_seconds_count",
                     "segments_total", "target_tokens_total", "waiting_segments", "engine_failures_total")
    ),
    'attendant_encode_tokens_total{kind="real",model="toy-translator"}',
    'attendant_encode_tokens_total{kind="padding",model="toy-translator"}',
]  # fmt: skip


def test_requests_are_counted_in_the_metrics(service: Service) -> None:
    counted = service.sample("segments_total", model="toy-translator")
    translate(service, ["red dog", "one"])
    classify(service, "red")
    service.client.get("/no/such/path")
    response = service.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for series in SERIES:
        assert f"\n{series} " in response.text, series
    eventually(lambda: service.sample("segments_total", model="toy-translator") >= counted + 2)
    assert service.sample("pool_bytes", model="toy-translator") > 0
    assert service.sample("pool_bytes", model="toy-classifier") == 0


def test_logs_have_no_text(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="attendant")
    word = "xylophonist"
    translate(service, f"red {word}")
    classify(service, word)
    service.post("/v1/translate", {"text": word, "target": word, word: word})
    service.client.get(f"/{word}?q={word}")

    # A response arrives before its line is logged; the last line of an earlier test may be logged among these.
    mine = ("POST /v1/translate 200", "POST /v1/classify 200", "POST /v1/translate 422", "GET unmatched 404")
    eventually(lambda: all(line in caplog.text for line in mine))
    assert word not in caplog.text


@pytest.fixture(scope="module")
def openapi(service: Service) -> Any:
    return service.client.get("/openapi.json").json()


@pytest.mark.parametrize("name", ["TranslateBody", "ClassifyBody", "ScoreBody"])
def test_openapi_schema_has_the_limits(openapi: Any, name: str) -> None:
    schema = openapi["components"]["schemas"][name]
    one, many = schema["properties"]["text"]["anyOf"]
    assert (one["minLength"], one["maxLength"]) == (1, 20_000)
    assert (many["minItems"], many["maxItems"], many["items"]["maxLength"]) == (1, 256, 20_000)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("path", ["/v1/translate", "/v1/classify", "/v1/score"])
def test_openapi_document_has_the_errors(openapi: Any, path: str) -> None:
    found = openapi["paths"][path]["post"]["responses"]
    assert {"200", "400", "404", "413", "422", "500", "503", "504"} <= found.keys()
    for status in found.keys() - {"200"}:
        schema = found[status]["content"]["application/problem+json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}
        assert "application/json" not in found[status]["content"]
    assert openapi["components"]["schemas"]["Problem"]["required"][-1] == "request_id"
    assert "HTTPValidationError" not in json.dumps(openapi["paths"])


def changed(service: Service, task: str, name: str, **changes: Any) -> Any:
    """Return a copy of the served model for a task, with another name and other changes to its manifest."""
    model = next(model for model in service.registry if model.manifest.task == task)
    copy = object.__new__(type(model))
    copy.__dict__ = model.__dict__ | {"manifest": model.manifest.model_copy(update={"name": name, **changes})}
    return copy


def test_ambiguous_source_is_required(service: Service) -> None:
    a_b, b_a = next(model for model in service.registry if model.manifest.directions).manifest.directions
    both = [a_b, b_a.model_copy(update={"target": "b"})]
    twins = [changed(service, "translate", name, directions=both) for name in ("one", "two")]
    for models in (twins[:1], twins):
        registry = Registry(models)
        with pytest.raises(ModelRequired, match="give source as one of a, b"):
            registry.direct_step(None, None, "b")
        with pytest.raises(UnknownModel):
            registry.direct_step(None, None, "a")
        assert registry.direct_step(None, "b", "b").model.name == "one"
    assert Registry(twins).direct_step("two", "a", "b").model.name == "two"
    preferred = Registry([*twins, changed(service, "classify", "words")], translator="two")
    assert preferred.direct_step(None, "b", "b").model.name == "two"
    assert preferred.describe() == [
        "one 1 (fp32): translate a-b, b-b",
        "two 1 (fp32): translate a-b, b-b",
        "words 1 (fp32): classify 3 labels",
    ]


def test_model_is_required_with_several_classifiers(service: Service) -> None:
    with pytest.raises(ModelRequired, match="give model as one of one, two"):
        Registry([changed(service, "classify", name) for name in ("two", "one")]).classifier(None)
    chosen = Registry([changed(service, "classify", name) for name in ("two", "one")], classifier="two")
    assert (chosen.classifier(None).name, chosen.classifier("one").name) == ("two", "one")
    with pytest.raises(UnknownModel, match="no model to classify"):
        Registry([]).classifier(None)
    with pytest.raises(UnknownModel, match="no model translates"):
        Registry([]).direct_step(None, None, "b")


@pytest.mark.parametrize("name", ["toy-translator", None])
@pytest.mark.parametrize(("source", "target"), [("de", "de"), ("de", "b"), (None, "de")])
def test_unknown_direction_is_rejected(service: Service, name: str | None, source: str | None, target: str) -> None:
    response = service.post("/v1/translate", {"text": "dog", "model": name, "source": source, "target": target})
    assert target in assert_problem(response, 404, "unknown_model")["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/translate", TRANSLATE | {"model": "nobody"}),
        ("/v1/translate", TRANSLATE | {"model": "toy-classifier"}),
        ("/v1/classify", CLASSIFY | {"model": "nobody"}),
        ("/v1/classify", CLASSIFY | {"model": "toy-translator"}),
    ],
)
def test_unknown_model_or_wrong_task_is_rejected(service: Service, path: str, body: dict[str, Any]) -> None:
    detail = assert_problem(service.post(path, body), 404, "unknown_model")["detail"]
    assert body["model"] in detail
    assert ("toy-translator" if path == "/v1/translate" else "toy-classifier") in detail.partition("there is")[2]


@pytest.mark.parametrize(
    ("given", "echoed"),
    [("abc-1.2:3_4", True), ("x" * 100, True), ("x" * 101, False), ("a b", False), ('"><script>', False), ("", False)],
)
def test_safe_request_id_is_kept(service: Service, given: str, echoed: bool) -> None:
    response = service.client.get("/healthz", headers={"X-Request-ID": given})
    assert (response.headers["x-request-id"] == given) == echoed
    assert len(response.headers["x-request-id"]) >= 10


def test_every_request_has_its_own_id(service: Service) -> None:
    found = {service.client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3


def test_idle_connection_does_not_delay_other_clients(service: Service) -> None:
    with httpx.Client(base_url=service.url, verify=False) as idle:
        idle.get("/healthz")
        assert translate(service, "dog")["translations"][0]["text"] == "Hund"
