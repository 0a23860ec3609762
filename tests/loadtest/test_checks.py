"""A correct response passes; every kind of wrong response is reported."""

import json
from typing import Any

import pytest

from loadtest.checks import AnswerError, compare, describe_failure, read_results, read_translations
from tests.loadtest.conftest import TIMINGS, labels, translation


def body(**changes: Any) -> bytes:
    answer = {
        "model": "m",
        "translations": [translation("abc"), translation("def")],
        "usage": {"source_tokens": 4, "target_tokens": 6},
        "timings_ms": TIMINGS,
    }
    return json.dumps({**answer, **changes}).encode()


def test_correct_response_is_parsed_and_equals_the_expected_answers() -> None:
    response = read_translations(body(), 2)

    assert (response.source_tokens, response.target_tokens, response.compute) == (4, 6, 1.5)
    compare(response, [1, 0], [translation("def"), translation("abc")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "`model` is 'None', not str"),
        ({"translations": [translation("abc")]}, "1 translations for 2 texts"),
        ({"translations": "ab"}, "`translations` is 'ab', not list"),
        ({"translations": [translation("abc"), "def"]}, "`text` is 'None', not str"),
        ({"translations": [translation("abc"), translation(" ")]}, "an empty translation"),
        ({"translations": [translation("a"), {**translation("b"), "finish_reason": "x"}]}, "`finish_reason` is 'x'"),
        ({"usage": {"source_tokens": 0, "target_tokens": 1}}, "`usage.source_tokens` is 0"),
        ({"usage": {"source_tokens": 1, "target_tokens": 0}}, "`usage.target_tokens` is 0"),
        ({"timings_ms": {"queue": 1, "compute": 1}}, "`total` is 'None', not a number"),
        ({"timings_ms": {**TIMINGS, "queue": -1}}, "a negative time"),
    ],
)
def test_wrong_shape_is_reported(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AnswerError) as caught:
        read_translations(body(**changes), 2)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [(b"<html>", "not JSON: '<html>'"), (b"[]", "`model` is 'None'"), (b"\xff", "not JSON")]
)
def test_body_that_is_not_an_answer_is_reported(text: bytes, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        read_translations(text, 1)


def test_message_names_the_text_and_the_first_difference() -> None:
    long = "x" * 200
    response = read_translations(body(translations=[translation("abc"), translation("B" + long)]), 2)
    with pytest.raises(AnswerError) as caught:
        compare(response, [0, 7], [translation("abc"), *[translation("def")] * 6, translation("A" + long)])

    assert str(caught.value) == "text 7: `text` from 200: 'B', expected 'A'"


def test_message_never_contains_a_long_text() -> None:
    response = read_translations(body(translations=[translation("B" * 500)]), 1)
    with pytest.raises(AnswerError) as caught:
        compare(response, [0], [translation("A" * 500)])
    assert "B" * 59 + "…" in str(caught.value)
    assert "B" * 60 not in str(caught.value)


def classified(*elements: dict[str, Any]) -> bytes:
    return body(results=list(elements))


def test_scores_may_differ_by_a_millionth_and_labels_must_be_equal() -> None:
    expected = read_results(classified(labels("abc")), 1).answers
    near, far, renamed = labels("abc"), labels("abc"), labels("abc")
    near["labels"][0]["score"] += 5e-7
    far["labels"][0]["score"] += 5e-6
    renamed["labels"][0]["label"] = "other"

    compare(read_results(classified(near), 1), [0], expected)
    with pytest.raises(AnswerError, match="text 0: a score differs by 5e-06"):
        compare(read_results(classified(far), 1), [0], expected)
    with pytest.raises(AnswerError, match="text 0: `labels` from 0: "):
        compare(read_results(classified(renamed), 1), [0], expected)


@pytest.mark.parametrize(
    ("element", "message"),
    [({"labels": []}, "no labels"), ({"labels": [{"label": "a", "score": None}]}, "`score` is 'None', not a number")],
)
def test_wrong_classification_is_reported(element: dict[str, Any], message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        read_results(classified(element), 1)


def test_failure_is_described_by_status_and_problem_code() -> None:
    assert describe_failure(503, b'{"code": "queue_full"}') == "status 503, code queue_full"
    assert describe_failure(502, b"<html>") == "status 502"
    assert describe_failure(0, None, ConnectionRefusedError("refused")) == "no response: 'refused'"
