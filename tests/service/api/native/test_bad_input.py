"""Bad input gets a correct answer or a complete error, never a 500, and does not affect other clients."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.service.conftest import CLASSIFY, TRANSLATE, Service, assert_problem, eventually

PATHS = {"/v1/translate": TRANSLATE, "/v1/classify": CLASSIFY}
RESULTS = {"/v1/translate": "translations", "/v1/classify": "results"}
both = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(scope="module")
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(autouse=True)
def _neighbour(service: Service, others: ThreadPoolExecutor) -> Iterator[None]:
    """During each test, another client sends plain requests and must get the usual answers."""
    sent = [others.submit(service.post, path, PATHS[path]) for path in PATHS]
    yield
    translated, classified = (one.result() for one in sent)
    assert translated.json()["translations"][0]["text"] == "rot Haus"
    assert classified.json()["results"][0]["labels"][0]["label"] == "warm"


def send(service: Service, path: str, body: Any, **options: Any) -> httpx.Response:
    """Send the usual body with changes; bytes are sent as they are."""
    content = body if isinstance(body, bytes) else json.dumps(PATHS[path] | body).encode()
    headers = {"Content-Type": "application/json"} | options.pop("headers", {})
    return service.client.post(path, content=content, headers=headers, **options)


@both
@pytest.mark.parametrize(
    "body",
    [b'{"text": "dog"', b"", b"null", b"[]", b'"text"', b"{}", b'{"target": "b"}', b'{"text": NaN, "target": "b"}'],
)
def test_invalid_body_is_rejected(service: Service, path: str, body: bytes) -> None:
    assert_problem(send(service, path, body), 422, "invalid_request")


@both
@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "d\xff\xfeg", "target": "b"}',
        b'{"text": ' + b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"text": "dog", "target": "b", "max_length": ' + b"9" * 10_000 + b"}",
    ],
    ids=["invalid UTF-8", "deep list", "deep object", "long number"],
)
def test_unparsable_body_is_rejected(service: Service, path: str, body: bytes) -> None:
    detail = assert_problem(send(service, path, body), 422, "invalid_request")["detail"]
    assert "JSON" in detail


@both
@pytest.mark.parametrize("text", [5, None, True, {"a": "b"}, [5], ["dog", None], [["dog"]], [True]])
def test_texts_of_the_wrong_type_are_rejected(service: Service, path: str, text: object) -> None:
    body = assert_problem(send(service, path, {"text": text}), 422, "invalid_request")
    assert "text" in body["errors"][0]["field"]


@both
def test_many_invalid_texts_are_reported_as_one_error(service: Service, path: str) -> None:
    body = assert_problem(send(service, path, {"text": [1] * 300_000}), 422, "invalid_request")
    assert len(body["errors"]) <= 2


@both
@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u3000\u2028", ["dog", " "]])
def test_blank_texts_are_rejected(service: Service, path: str, text: Any) -> None:
    detail = assert_problem(send(service, path, {"text": text}), 422, "empty_text")["detail"]
    assert f"text {1 if isinstance(text, list) else 0} is empty" in detail


@both
def test_empty_list_is_rejected(service: Service, path: str) -> None:
    assert_problem(send(service, path, {"text": []}), 422, "invalid_request")


@both
def test_too_many_texts_are_rejected(service: Service, path: str) -> None:
    detail = assert_problem(send(service, path, {"text": ["dog"] * 10_000}), 413, "too_large")["detail"]
    assert "10000 texts" in detail
    assert "at most 256" in detail


@both
def test_too_long_text_is_rejected(service: Service, path: str) -> None:
    detail = assert_problem(send(service, path, {"text": ["dog", "dog " * 6000]}), 413, "too_large")["detail"]
    assert "text 1 has 24000 characters; at most 20000" in detail


def test_too_many_tokens_are_rejected_not_truncated(service: Service) -> None:
    response = send(service, "/v1/classify", {"text": ["red", "red " * 60]})
    detail = assert_problem(response, 413, "too_large")["detail"]
    assert "text 1 has" in detail
    assert "reads at most 48" in detail


def test_too_long_sentence_is_split_with_a_warning(service: Service) -> None:
    short, long = send(service, "/v1/translate", {"text": ["red", "red " * 60]}).json()["translations"]
    assert "warnings" not in short
    assert long["warnings"] == ["split_long_sentence"]
    assert long["text"].endswith("rot ")  # with the trailing space


@both
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5), ("model", ""), ("model", "m" * 201), ("model", ["toy-translator"]), ("colour", "red"),
        ("Text", "dog"), ("", "dog"), ("\ud800", "dog"), ("x" * 5000, "dog"), ("\u202e\n\0", 1), ("model", "\ud800"),
    ],
)  # fmt: skip
def test_unknown_options_and_wrong_types_are_rejected(service: Service, path: str, field: str, value: Any) -> None:
    assert_problem(send(service, path, {field: value}), 422, "invalid_request")


def test_many_unknown_fields_give_a_short_error(service: Service) -> None:
    fields = {f"field-{i}-{'x' * 80}": i for i in range(5000)}
    body = assert_problem(send(service, "/v1/classify", fields), 422, "invalid_request")
    assert 0 < len(body["errors"]) <= 20


@pytest.mark.parametrize("value", [0, -1, "5", True, 1.5, [], None])
@pytest.mark.parametrize(("path", "field"), [("/v1/translate", "max_length"), ("/v1/classify", "top_k")])
def test_counts_must_be_positive_integers(service: Service, path: str, field: str, value: Any) -> None:
    if (field, value) == ("max_length", None):
        assert send(service, path, {field: value}).status_code == 200
    else:
        assert field in assert_problem(send(service, path, {field: value}), 422, "invalid_request")["detail"]


@pytest.mark.parametrize("value", [41, 10**30])
def test_max_length_above_the_models_limit_is_rejected(service: Service, value: int) -> None:
    detail = assert_problem(send(service, "/v1/translate", {"max_length": value}), 413, "too_large")["detail"]
    assert "at most 40" in detail


def test_too_large_top_k_is_rejected(service: Service) -> None:
    assert_problem(send(service, "/v1/classify", {"top_k": 10**30}), 422, "invalid_request")


@pytest.mark.parametrize("value", [5, None, "", "x" * 36, ["b"]])
@pytest.mark.parametrize("field", ["source", "target"])
def test_languages_of_the_wrong_type_are_rejected(service: Service, field: str, value: Any) -> None:
    if (field, value) == ("source", None):
        assert send(service, "/v1/translate", {field: value}).status_code == 200
    else:
        assert_problem(send(service, "/v1/translate", {field: value}), 422, "invalid_request")


@both
def test_thousands_of_unknown_fields_are_one_error(service: Service, path: str) -> None:
    body = {f"field {i}": 1 for i in range(50_000)}
    response = assert_problem(send(service, path, body), 422, "invalid_request")
    assert response["detail"] == "body: 50000 unknown fields; leave them out"
    assert len(response["errors"]) == 1


def test_too_many_terms_are_rejected_before_validation(service: Service) -> None:
    body = {"glossary": {f" {i}": "" for i in range(201)}}  # each of them is invalid, too
    response = assert_problem(send(service, "/v1/translate", body), 422, "invalid_request")
    assert response["detail"] == "body.glossary: 201 terms are too many; send at most 200"


@both
@pytest.mark.parametrize("text", ["a \ud800 b", ["dog", "\udfff"], "\ude00\ud83d"])
def test_unpaired_surrogate_is_rejected(service: Service, path: str, text: Any) -> None:
    detail = assert_problem(send(service, path, {"text": text}), 422, "invalid_request")["detail"]
    assert "surrogate" in detail


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/translate", "source"), ("/v1/translate", "target"), ("/v1/translate", "model"), ("/v1/classify", "model")],
)
@pytest.mark.parametrize("value", ["\0", "b\n", "\u202eb", "🙂"])
def test_strange_names_are_unknown(service: Service, path: str, field: str, value: str) -> None:
    assert_problem(send(service, path, {field: value}), 404, "unknown_model")


STRANGE = {
    "control characters": "red\x01\x1b[31m\x7f house",
    "NUL": "red\0house",
    "right to left": "בית אדום",
    "override": "\u202ered house\u202c",
    "emoji": "🏠🔴👩\u200d👩\u200d👧",
    "another script": "赤い家",
    "combining": "r\u0301e\u0302d\u0303",
    "zero width": "\u200b",
    "byte order mark": "\ufeffdog",
    "replacement": "\ufffd",
    "beyond the planes": "\U0010ffff\U000e0001",
    "special tokens": "<eos> <s> </s> <pad> <2a> <2b> <unk>",
    "markup": "<b>dog</b> &amp; {{x}} %s %n ${y}",
    "escaped pair": "\U0001f600",
}


@both
@pytest.mark.parametrize("name", STRANGE)
def test_any_unicode_is_answered_the_same_every_time(service: Service, path: str, name: str) -> None:
    alone = send(service, path, {"text": STRANGE[name]})
    assert alone.status_code == 200, alone.text
    among = send(service, path, {"text": ["one two", STRANGE[name], "dog"]}).json()
    assert among[RESULTS[path]][1] == alone.json()[RESULTS[path]][0]


@both
def test_very_long_word_is_split_or_rejected(service: Service, path: str) -> None:
    response = send(service, path, {"text": "x" * 20_000})
    if path == "/v1/translate":
        assert response.json()["translations"][0]["warnings"] == ["split_long_sentence"]
    else:
        assert_problem(response, 413, "too_large")


@pytest.mark.parametrize("text", ["<eos>", "<2a>", "<pad>", "<bos>", "<unk>"])
def test_text_that_spells_a_special_token_is_plain_text(service: Service, text: str) -> None:
    model = next(model for model in service.registry if model.name == "toy-translator")
    ids = model.codec.encode([text], prefix=[], append_eos=False)[0]
    special_tokens_ids = set(model.manifest.special_tokens.model_dump().values()) - {model.manifest.special_tokens.unk}
    direction_tokens = {id for direction in model.manifest.directions for id in direction.prefix}
    assert not set(ids) & (special_tokens_ids | direction_tokens)
    assert ids


@both
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "💥"])
def test_other_content_types_are_rejected(service: Service, path: str, kind: str) -> None:
    headers = {"Content-Type": kind.encode()}
    response = service.client.post(path, content=json.dumps(PATHS[path]), headers=headers)  # type: ignore[arg-type]
    assert "send application/json" in assert_problem(response, 415, "unsupported_media_type")["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_wrong_method_is_rejected(service: Service, method: str) -> None:
    response = service.client.request(method, "/v1/translate")
    assert response.headers["allow"] == "OPTIONS, POST"
    assert response.status_code == 405
    if method != "HEAD":
        assert_problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/v1/translate/", "/%00%ff/%2e", "/" + "x" * 5000])
def test_unknown_paths_are_rejected(service: Service, path: str) -> None:
    assert_problem(service.client.post(path, json=TRANSLATE), 404, "not_found")


def test_unknown_methods_are_counted_as_other(service: Service) -> None:
    def counted() -> float:
        return service.sample("requests_total", route="unmatched", method="other", status="404")

    before = counted()
    assert_problem(service.client.request("PROPFIND", "/coffee"), 404, "not_found")
    eventually(lambda: counted() == before + 1)


def test_service_survives_an_unknown_method(service: Service) -> None:
    assert service.client.request("BREW", "/coffee").status_code in (400, 404)  # the parser of some servers rejects it
    assert service.client.get("/readyz").status_code == 200
