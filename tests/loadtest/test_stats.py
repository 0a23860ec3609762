"""The figures: exact percentiles, failures kept, the time before the load left out."""

from typing import Any

from loadtest.checks import Reply
from loadtest.stats import Ledger, Recorder, percentile, summary

PATH = "/v1/translate"


def reply(texts: int = 1) -> Reply:
    return Reply(({},) * texts, source_tokens=3 * texts, target_tokens=4 * texts, queue=2.0, compute=5.0, total=8.0)


def request(recorder: Recorder, latency: float, answer: Reply | None = None, exception: str | None = None) -> None:
    context: dict[str, Any] = {"reply": answer} if answer else {}
    recorder.on_request(name=PATH, response_time=latency, context=context, exception=exception, request_type="POST")


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_the_summary_of_two_answers_in_half_a_second() -> None:
    ledger = Ledger()
    ledger.add(10.0, reply())
    ledger.add(30.0, reply(texts=3))
    figures = summary(ledger, 0.5)

    assert (figures["requests"], figures["texts"], figures["requests_per_s"], figures["texts_per_s"]) == (2, 4, 4, 8)
    assert (figures["source_tokens_per_s"], figures["target_tokens_per_s"]) == (24, 32)
    assert figures["latency_ms"] == {"mean": 20, "p50": 10, "p95": 30, "p99": 30, "max": 30}
    assert (figures["queue_ms"], figures["queue_share"], figures["compute_share"]) == (2, 0.1, 0.25)


def test_what_came_before_all_users_were_there_counts_only_as_a_failure() -> None:
    recorder = Recorder([PATH])
    request(recorder, 1000.0, reply())
    request(recorder, 1000.0, exception="text 3: wrong")
    recorder.on_spawning_complete(user_count=2)
    request(recorder, 10.0, reply())

    figures = recorder.figures()[PATH]
    assert (figures["requests"], figures["failures"], figures["latency_ms"]["max"]) == (1, 0, 10)
    assert recorder.failures == 1
    assert not recorder.passed()
    assert recorder.messages == {f"{PATH}: text 3: wrong": 1}


def test_no_answer_is_no_pass() -> None:
    recorder = Recorder([PATH])
    assert not recorder.passed()
    request(recorder, 10.0, reply())
    assert recorder.passed()
    request(recorder, 10.0, exception="text 0: wrong")
    assert not recorder.passed()
