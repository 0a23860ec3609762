"""A right answer passes; each thing that can be wrong with it is told."""

import json
from typing import Any

import pytest

from loadtest.checks import AnswerError, compare, read_results, read_translations, refusal
from tests.loadtest.conftest import TIMINGS, labels, translation


def body(**changes: Any) -> bytes:
    answer = {
        "model": "m",
        "translations": [translation("abc"), translation("def")],
        "usage": {"source_tokens": 4, "target_tokens": 6},
        "timings_ms": TIMINGS,
    }
    return json.dumps({**answer, **changes}).encode()


def test_a_right_answer_is_read_and_equals_the_book() -> None:
    reply = read_translations(body(), 2)

    assert (reply.source_tokens, reply.target_tokens, reply.compute) == (4, 6, 1.5)
    compare(reply, [1, 0], [translation("def"), translation("abc")])


@pytest.mark.parametrize(
    ("changes", "told"),
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
def test_a_wrong_shape_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(AnswerError) as caught:
        read_translations(body(**changes), 2)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"), [(b"<html>", "not JSON: '<html>'"), (b"[]", "`model` is 'None'"), (b"\xff", "not JSON")]
)
def test_what_is_no_answer_at_all_is_told(text: bytes, told: str) -> None:
    with pytest.raises(AnswerError, match=told):
        read_translations(text, 1)


def test_the_message_names_the_text_and_shows_where_the_answers_part() -> None:
    long = "x" * 200
    reply = read_translations(body(translations=[translation("abc"), translation("B" + long)]), 2)
    with pytest.raises(AnswerError) as caught:
        compare(reply, [0, 7], [translation("abc"), *[translation("def")] * 6, translation("A" + long)])

    assert str(caught.value) == "text 7: `text` from 200: 'B', alone it was 'A'"


def test_a_message_never_holds_a_long_text() -> None:
    reply = read_translations(body(translations=[translation("B" * 500)]), 1)
    with pytest.raises(AnswerError) as caught:
        compare(reply, [0], [translation("A" * 500)])
    assert "B" * 59 + "…" in str(caught.value)
    assert "B" * 60 not in str(caught.value)


def classified(*elements: dict[str, Any]) -> bytes:
    return body(results=list(elements))


def test_scores_may_differ_by_a_millionth_and_labels_not_at_all() -> None:
    alone = read_results(classified(labels("abc")), 1).answers
    near, far, renamed = labels("abc"), labels("abc"), labels("abc")
    near["labels"][0]["score"] += 5e-7
    far["labels"][0]["score"] += 5e-6
    renamed["labels"][0]["label"] = "other"

    compare(read_results(classified(near), 1), [0], alone)
    with pytest.raises(AnswerError, match="text 0: a score differs by 5e-06"):
        compare(read_results(classified(far), 1), [0], alone)
    with pytest.raises(AnswerError, match="text 0: `labels` from 0: "):
        compare(read_results(classified(renamed), 1), [0], alone)


@pytest.mark.parametrize(
    ("element", "told"),
    [({"labels": []}, "no labels"), ({"labels": [{"label": "a", "score": None}]}, "`score` is 'None', not a number")],
)
def test_a_wrong_classification_is_told(element: dict[str, Any], told: str) -> None:
    with pytest.raises(AnswerError, match=told):
        read_results(classified(element), 1)


def test_a_refusal_shows_the_code_of_the_problem() -> None:
    assert refusal(503, b'{"code": "queue_full"}') == "status 503, code queue_full"
    assert refusal(502, b"<html>") == "status 502"
    assert refusal(0, None, ConnectionRefusedError("refused")) == "no answer: 'refused'"
