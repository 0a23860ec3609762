"""The decoding options over HTTP: their effect, and errors with limits for values out of range or contradictory."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.engine.factory import start_pools
from service.engine.options import DecodingOptions
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, assert_problem, serving

TEXT = "one red dog"
EVERYTHING = ["score", "tokens"]
Json = dict[str, Any]


def translate(service: Service, text: str = TEXT, **options: Any) -> Json:
    reply = service.post("/v1/translate", TRANSLATE | {"text": text} | options)
    assert reply.status_code == 200, reply.text
    translation: Json = reply.json()["translations"][0]
    return translation


def ids(translation: Json) -> list[int]:
    return [token["id"] for token in translation["tokens"]]


def test_optional_fields_are_returned_only_on_request(service: Service) -> None:
    assert translate(service).keys() == {"text", "finish_reason", "source", "target"}
    assert translate(service, beam_size=3).keys() == {"text", "finish_reason", "source", "target"}
    assert "tokens" not in translate(service, include=["score"])
    assert "score" not in translate(service, include=["tokens"])


@pytest.mark.parametrize("search", [{}, {"beam_size": 3}, {"temperature": 1.0, "seed": 4}])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_score_and_tokens_are_consistent(service: Service, search: Json, penalty: float) -> None:
    """The end-of-sentence token has no text, but counts in the score: without it the sum is higher."""
    translation = translate(service, include=EVERYTHING, length_penalty=penalty, **search)
    log_probabilities = [token["log_probability"] for token in translation["tokens"]]
    assert translation["finish_reason"] == "stop"
    assert all(value <= 0 for value in log_probabilities)
    assert "".join(token["text"] for token in translation["tokens"]).replace("Ġ", " ").strip() == translation["text"]
    assert translation["score"] * (len(log_probabilities) + 1) ** penalty < sum(log_probabilities) < 0


def test_include_does_not_change_the_translation(service: Service) -> None:
    texts = ["one two", "green bird house", "five dog", "rot", "zzz"]
    for search in ({}, {"temperature": 1.0, "seed": 3}, {"beam_size": 2}):
        plain = [translate(service, text, **search)["text"] for text in texts]
        assert [translate(service, text, include=EVERYTHING, **search)["text"] for text in texts] == plain


def test_alternatives_are_the_next_best(service: Service) -> None:
    translation = translate(service, beam_size=4, n_best=3, include=["score"])
    scores = [translation["score"], *(other["score"] for other in translation["alternatives"])]
    assert scores == sorted(scores, reverse=True)
    assert len({translation["text"], *(other["text"] for other in translation["alternatives"])}) == 3
    assert all(other.keys() == {"text", "finish_reason", "score"} for other in translation["alternatives"])
    assert "alternatives" not in translate(service, beam_size=4)


def test_wider_beam_scores_no_worse(service: Service) -> None:
    texts = ["one two three", "green bird house", "five dog", "red red"]  # what it was not trained for proves nothing
    narrow, wide = (
        [translate(service, text, beam_size=k, include=["score"])["score"] for text in texts] for k in (1, 8)
    )
    assert sum(wide) >= sum(narrow)


def test_length_penalty_favours_long_answers(service: Service) -> None:
    short, long = (
        [
            len(ids(translate(service, text, beam_size=4, length_penalty=penalty, include=["tokens"])))
            for text in ("zzz", "qq xx", "dog dog dog dog dog")
        ]
        for penalty in (0, 10)
    )
    assert sum(short) < sum(long)


def test_early_stopping_returns_the_first_to_end(service: Service) -> None:
    texts = ["zzz", "qq xx", "dog dog dog dog dog", "zzz zzz zzz", "one red house zz"]
    hasty, patient = (
        [
            translate(service, text, beam_size=2, length_penalty=2, early_stopping=early, include=["score"])["score"]
            for text in texts
        ]
        for early in (True, False)
    )
    assert all(one <= other for one, other in zip(hasty, patient, strict=True))


def test_samples_are_repeated_by_their_seed(service: Service) -> None:
    def sampled(**options: Any) -> list[str]:
        return [translate(service, "zzz qqq", temperature=2.0, **options)["text"] for _ in range(2)]

    first, again = sampled(seed=1)
    assert first == again
    assert len({sampled(seed=seed)[0] for seed in range(8)}) > 3


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-320}])
def test_samples_from_one_token_are_greedy(service: Service, options: Json) -> None:
    found = translate(service, "zzz qqq", **{"temperature": 2.0, "seed": 9} | options)
    assert found == translate(service, "zzz qqq")


@pytest.mark.parametrize("search", [{}, {"beam_size": 3}, {"temperature": 1.0}])
def test_translation_begins_with_the_prefix(service: Service, search: Json) -> None:
    translation = translate(service, prefix="grün Vogel", include=EVERYTHING, **search)
    assert translation["text"].startswith("grün Vogel")
    assert translation["tokens"][0]["log_probability"] == 0
    assert translate(service, "green bird house", prefix="grün Vogel", **search)["text"].startswith("grün Vogel")


def test_prefix_adds_to_the_default_max_length(service: Service) -> None:
    translation = translate(service, "dog", prefix="eins " * 6, min_length=23, include=["tokens"])
    assert len(ids(translation)) > 2 * 3 + 16


def test_min_length_and_max_length(service: Service) -> None:
    assert len(ids(translate(service, "dog", include=["tokens"]))) < 9
    assert len(ids(translate(service, "dog", min_length=9, include=["tokens"]))) >= 9
    cut = translate(service, "dog", min_length=9, max_length=9, include=["tokens"])
    assert (len(ids(cut)), cut["finish_reason"]) == (9, "length")


def test_suppressed_tokens_are_not_generated(service: Service) -> None:
    before = ids(translate(service, include=["tokens"]))
    after = ids(translate(service, include=["tokens"], suppress=[before[0], before[0]]))
    assert before[0] not in after
    assert after


@pytest.mark.parametrize("search", [{}, {"beam_size": 2}])
def test_no_repeat_ngram_prevents_repetition(service: Service, search: Json) -> None:
    before = ids(translate(service, "dog dog dog dog", include=["tokens"]))
    assert len(set(before)) < len(before)
    after = ids(translate(service, "dog dog dog dog", no_repeat_ngram=1, include=["tokens"], **search))
    assert len(set(after)) == len(after)


def test_repetition_penalty_reduces_repetition(service: Service) -> None:
    before, after = (
        ids(translate(service, "dog dog dog dog", repetition_penalty=penalty, include=["tokens"]))
        for penalty in (1.0, 9.0)
    )
    assert len(after) - len(set(after)) < len(before) - len(set(before))


def test_requests_with_different_options_share_a_batch(service: Service) -> None:
    option_sets: list[Json] = [
        {}, {"beam_size": 4, "n_best": 2}, {"temperature": 1.5, "seed": 1}, {"prefix": "rot"}, {"min_length": 8},
        {"include": EVERYTHING}, {"no_repeat_ngram": 1, "beam_size": 2}, {"suppress": [20, 30]},
    ]  # fmt: skip
    requests = [(text, option_set) for text in (TEXT, "zzz qqq", "dog dog dog dog") for option_set in option_sets]
    alone = [translate(service, text, **option_set) for text, option_set in requests]
    with ThreadPoolExecutor(24) as pool:
        together = list(pool.map(lambda one: translate(service, one[0], **one[1]), requests * 3))
    assert together == alone * 3


RANGES: list[tuple[str, list[Any]]] = [
    ("beam_size", [0, -1, 17, 10**30, "4", 1.5, True, None]),
    ("n_best", [0, 17, "1"]),
    ("length_penalty", [-0.1, 10.5, "1", None]),
    ("early_stopping", [1, "yes", None]),
    ("temperature", [-1, 10.1, "1", None]),
    ("top_k", [-1, "5", 1.5]),
    ("top_p", [0, 1.1, -1, None]),
    ("seed", [-1, 2**63, 1.5, "1", None]),
    ("prefix", [5, None, ["rot"], "x" * 1001]),
    ("min_length", [-1, "1", None]),
    ("no_repeat_ngram", [-1, 65, 1.5]),
    ("repetition_penalty", [0, 1e-30, 11, "2"]),
    ("suppress", [[-1], ["a"], 5, [1.5], [1] * 1001, None]),
    ("include", ["score", ["scores"], ["alignment "], ["score"] * 9, None]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in RANGES for value in values])
def test_values_out_of_range_are_rejected(service: Service, field: str, value: Any) -> None:
    reply = service.post("/v1/translate", TRANSLATE | {field: value})
    body = assert_problem(reply, 422, "invalid_request")
    assert any(field in error["field"] for error in body["errors"])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["length_penalty", "temperature", "top_p", "repetition_penalty"])
def test_infinite_numbers_are_rejected(service: Service, field: str, value: str) -> None:
    content = json.dumps(TRANSLATE)[:-1] + f', "{field}": {value}}}'
    reply = service.client.post("/v1/translate", content=content, headers={"Content-Type": "application/json"})
    assert_problem(reply, 422, "invalid_request")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam_size": 4, "temperature": 0.7}, ["temperature is 0.7", "beam_size 4"]),
        ({"beam_size": 2, "n_best": 3}, ["n_best is 3", "beam_size, which is 2"]),
        ({"n_best": 2}, ["n_best is 2", "beam_size, which is 1", "wider beam"]),
        ({"top_k": 5}, ["top_k and top_p", "temperature above 0"]),
        ({"top_p": 0.5}, ["top_k and top_p", "temperature above 0"]),
        ({"min_length": 9, "max_length": 8}, ["min_length is 9", "max_length, which is 8"]),
        ({"min_length": 41}, ["min_length is 41"]),
        ({"prefix": "eins zwei drei", "max_length": 2}, ["the prefix has", "max_length is 2"]),
        ({"prefix": "eins zwei " * 30}, ["the prefix has", "max_length is 40"]),
        ({"suppress": [320]}, ["outside the vocabulary of 320"]),
        ({"suppress": list(range(320))}, ["320 of 320 tokens are suppressed", "leave at least 2"]),
        ({"suppress": list(range(290)), "no_repeat_ngram": 1, "max_length": 30}, ["290 of 320", "leave at least 32"]),
        ({"beam_size": 2, "n_best": 3, "top_k": 5}, ["n_best is 3", "top_k and top_p"]),
    ],
)
def test_all_contradictions_are_reported_together(service: Service, options: Json, words: list[str]) -> None:
    detail = assert_problem(service.post("/v1/translate", TRANSLATE | options), 422, "invalid_request")["detail"]
    for word in words:
        assert word in detail


def test_max_length_above_the_models_is_too_large(service: Service) -> None:
    detail = assert_problem(service.post("/v1/translate", TRANSLATE | {"max_length": 41}), 413, "too_large")["detail"]
    assert "max_length is 41" in detail
    assert "at most 40" in detail


def test_beam_wider_than_the_workers_rows_is_rejected(toy_models: Path) -> None:
    settings, metrics = Settings(models=toy_models, rows=8, workers=2, threads=1), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as small:
        reply = small.post("/v1/translate", TRANSLATE | {"beam_size": 5})
        assert "beam_size is 5: use 1 to 4" in assert_problem(reply, 422, "invalid_request")["detail"]
        assert translate(small, beam_size=4)["text"] == "eins rot Hund"


@pytest.mark.parametrize("changes", [{}, {"beam_size": 4}, {"suppressed": (3,)}])
def test_good_options_have_no_faults(changes: Json) -> None:
    assert DecodingOptions(max_length=9, **changes).find_errors(vocabulary=100, target_length=9, rows=4) == []


def test_openapi_schema_has_the_options(service: Service) -> None:
    schema = service.client.get("/openapi.json").json()["components"]["schemas"]["TranslateBody"]["properties"]
    assert {field for field, _ in RANGES} <= schema.keys()
    assert (schema["beam_size"]["minimum"], schema["beam_size"]["maximum"], schema["beam_size"]["default"]) == (
        1,
        16,
        1,
    )
    assert all("description" in schema[field] for field, _ in RANGES)


def test_state_pool_releases_memory(service: Service, serve_fake: Callable[..., Service]) -> None:
    """Many equal texts end in one step; their memory is released."""
    one = translate(service)
    idle = service.sample("pool_bytes", model="toy-translator")
    with ThreadPoolExecutor(8) as pool:
        crowds = pool.map(lambda _: service.post("/v1/translate", TRANSLATE | {"text": [TEXT] * 60}), range(8))
        assert {reply.json()["translations"][0]["text"] for reply in crowds} == {one["text"]}
    assert service.sample("pool_bytes", model="toy-translator") <= 2 * idle
