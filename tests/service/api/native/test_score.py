"""POST /v1/score: scores of given translations, and invalid pairs."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.artifact import read_artifact
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Arrays, Session
from service.engine.types import EngineRequest, FinishedRequest
from tests.service.conftest import Service, assert_problem, eventually
from tests.service.fakes import EchoEngine

PAIR = {"text": "red house", "translation": "rot Haus", "source": "a", "target": "b"}
ALL = {"include": ["tokens", "alignment"]}


def score(service: Service, **changes: Any) -> httpx.Response:
    return service.post("/v1/score", PAIR | changes)


def scores(service: Service, **changes: Any) -> list[dict[str, Any]]:
    reply = score(service, **changes)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["scores"]
    return found


def test_pair_has_a_score(service: Service) -> None:
    body = score(service).json()
    [one] = body["scores"]
    assert body["model"] == "toy-translator"
    assert one.keys() == {"score", "log_probability", "source", "target"}
    assert (one["source"], one["target"]) == ("a", "b")
    assert one["log_probability"] <= one["score"] <= 0
    assert body["usage"]["source_tokens"] > 0
    assert body["usage"]["target_tokens"] > 0
    assert body["timings_ms"].keys() == {"queue", "compute", "total"}


def test_right_translation_has_the_best_score(service: Service) -> None:
    candidates = ["grün Hund", "rot Haus", "Haus rot"]
    found = scores(service, text=["red house"] * 3, translation=candidates)
    assert max(range(3), key=lambda k: found[k]["score"]) == 1


def test_tokens_add_up_and_end_with_the_eos_token(service: Service) -> None:
    [one] = scores(service, **ALL)
    log_probabilities = [token["log_probability"] for token in one["tokens"]]
    assert one["tokens"][-1]["text"] == "<eos>"
    assert sum(log_probabilities) == pytest.approx(one["log_probability"])
    assert sum(log_probabilities) / len(log_probabilities) == pytest.approx(one["score"])


def test_score_equals_that_of_the_translation(service: Service) -> None:
    texts = ["one red dog", "two green house", "five", "three bird"]
    translate_body = {"text": texts, "source": "a", "target": "b", "include": ["score", "tokens"]}
    translations = service.post("/v1/translate", translate_body).json()["translations"]
    found = scores(service, text=texts, translation=[one["text"] for one in translations], **ALL)
    for one, translation in zip(found, translations, strict=True):
        assert [token["id"] for token in one["tokens"][:-1]] == [token["id"] for token in translation["tokens"]]
        log_probabilities = [token["log_probability"] for token in translation["tokens"]]
        assert [token["log_probability"] for token in one["tokens"][:-1]] == pytest.approx(log_probabilities, abs=1e-4)
        assert one["score"] == pytest.approx(translation["score"], abs=1e-4)


def test_words_are_aligned_by_characters(service: Service) -> None:
    [one] = scores(service, text="two  red houses", translation="zwei rot Haus", **ALL)
    targets = [(link["target_start"], link["target_end"]) for link in one["alignment"]]
    assert targets == [(0, 4), (5, 8), (9, 13)]
    words = {(0, 3), (5, 8), (9, 15)}
    assert {(link["source_start"], link["source_end"]) for link in one["alignment"]} <= words


def test_attention_has_a_row_per_token_of_the_translation(service: Service) -> None:
    [one] = scores(service, include=["tokens", "attention"])
    attention = one["attention"]
    assert attention["target"] == [token["text"] for token in one["tokens"]]
    assert attention["source"][-1] == "<eos>"
    assert len(attention["weights"]) == len(attention["target"])
    for row in attention["weights"]:
        assert len(row) == len(attention["source"])
        assert sum(row) == pytest.approx(1, abs=0.01)


def test_attention_of_too_many_pairs_is_refused(service: Service) -> None:
    long = " ".join(["red"] * 40)
    reply = score(service, text=[long] * 250, translation=["rot " * 30] * 250, include=["attention"])
    assert "send fewer pairs" in assert_problem(reply, 413, "too_large")["detail"]


def test_score_does_not_depend_on_other_pairs(service: Service) -> None:
    texts = ["red " * n + "house" for n in range(1, 12)]
    translations = ["rot " * n + "Haus" for n in range(1, 12)]
    together = scores(service, text=texts, translation=translations, **ALL)
    with ThreadPoolExecutor(8) as callers:
        sent = [
            callers.submit(scores, service, text=text, translation=translation, **ALL)
            for text, translation in zip(texts, translations, strict=True)
        ]
        assert [one.result()[0] for one in sent] == together


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"text": ["one", "two"], "translation": ["eins"]}, "a list of 2"),
        ({"text": "one", "translation": ["eins"]}, "a string"),
        ({"text": ["one"], "translation": "eins"}, "a list of 1"),
        ({"translation": []}, "translation is an empty list"),
        ({"translation": "half \ud83d"}, "translation 0"),
        ({"translation": 5}, "translation"),
        ({"translation": ["rot", None]}, "text 1"),
        ({"include": ["everything"]}, "include"),
        ({"beam_size": 4}, "beam_size"),
    ],
)
def test_invalid_pairs_are_rejected(service: Service, changes: dict[str, Any], value: str) -> None:
    reply = service.client.post(
        "/v1/score", content=json.dumps(PAIR | changes), headers={"Content-Type": "application/json"}
    )
    assert value in assert_problem(reply, 422, "invalid_request")["detail"]


def test_translation_is_required(service: Service) -> None:
    reply = service.post("/v1/score", {name: value for name, value in PAIR.items() if name != "translation"})
    assert "translation" in assert_problem(reply, 422, "invalid_request")["detail"]


def test_blank_texts_are_rejected(service: Service) -> None:
    assert "translation 0" in assert_problem(score(service, translation=" \n"), 422, "empty_text")["detail"]
    assert "text 0" in assert_problem(score(service, text="\t"), 422, "empty_text")["detail"]


@pytest.mark.parametrize(("field", "limit"), [("text", 48), ("translation", 40)])
def test_too_many_tokens_are_rejected_not_truncated(service: Service, field: str, limit: int) -> None:
    many = {"text": ["red", "x" * 60], "translation": ["rot", "rot"]}
    if field == "translation":
        many = {"text": ["red", "red"], "translation": ["rot", "x" * 60]}
    detail = assert_problem(score(service, **many), 413, "too_large")["detail"]
    assert f"pair 1: the {field} has" in detail
    assert f"at most {limit}" in detail


def test_longest_pair_that_fits_is_scored(service: Service) -> None:
    words = "rot"
    while (longer := score(service, text="red", translation=f"{words} q")).status_code == 200:
        words += " q"
    assert_problem(longer, 413, "too_large")
    assert len(scores(service, text="red", translation=words, **ALL)[0]["tokens"]) in (39, 40)


def test_too_many_characters_or_texts_are_rejected(service: Service) -> None:
    assert_problem(score(service, translation="x" * 20_001), 413, "too_large")
    assert_problem(score(service, text=["red"] * 257, translation=["rot"] * 257), 413, "too_large")


def test_model_is_selected_as_for_translations(service: Service) -> None:
    assert_problem(score(service, target="c"), 404, "unknown_model")
    assert_problem(score(service, model="toy-classifier"), 404, "unknown_model")
    assert scores(service, source=None) == scores(service)


def test_scores_have_their_own_metrics(service: Service) -> None:
    counted = service.sample("segments_total", model="toy-translator/score")
    scores(service)
    eventually(lambda: service.sample("segments_total", model="toy-translator/score") > counted)


class MisroutingEngine(EchoEngine):
    """An engine that after the warm-up returns results for requests it never received."""

    def step(self) -> list[FinishedRequest]:
        warm = len(self.requests[0].ids) > 1
        finished = super().step()
        return [(EngineRequest([1]), outcome) for _, outcome in finished] if warm else finished


def test_dead_worker_makes_the_service_not_ready(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), MisroutingEngine())
    assert service.client.get("/readyz").status_code == 200
    assert_problem(score(service), 500, "internal")
    assert "toy-translator" in assert_problem(service.client.get("/readyz"), 503, "not_ready")["detail"]
    assert_problem(score(service), 503, "not_ready")


class NanSession:
    """A session that returns NaN from the second run on."""

    def __init__(self, artifact: Path) -> None:
        self.graph, self.runs = Session(read_artifact(artifact).graph("score"), threads=1), 0
        self.inputs = self.graph.inputs

    def run(self, inputs: Arrays) -> Arrays:
        self.runs += 1
        found = self.graph.run(inputs)
        if self.runs > 1:
            found["log_probability"][:] = float("nan")
        return found


def test_nan_from_the_model_is_an_internal_error(serve_fake: Callable[..., Service], toy_translator: Path) -> None:
    engine = ScoreEngine(read_artifact(toy_translator), NanSession(toy_translator))  # type: ignore[arg-type]
    service = serve_fake(EchoEngine(), engine)
    assert "not finite numbers" in assert_problem(score(service), 500, "internal")["detail"]
    assert service.client.get("/readyz").status_code == 200
