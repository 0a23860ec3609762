"""Measurements: exact percentiles, counted failures, nothing measured before all users have started, timelines."""

from typing import Any

from loadtest.checks import ParsedResponse
from loadtest.stats import MAX_INTERVALS, EndpointStats, StatsRecorder, percentile, summary, timeline

PATH = "/v1/translate"


def response(texts: int = 1) -> ParsedResponse:
    return ParsedResponse(
        ({},) * texts, source_tokens=3 * texts, target_tokens=4 * texts, queue=2.0, compute=5.0, total=8.0
    )


def request(
    recorder: StatsRecorder, latency: float, parsed: ParsedResponse | None = None, exception: str | None = None
) -> None:
    context: dict[str, Any] = {"parsed": parsed} if parsed else {}
    recorder.on_request(name=PATH, response_time=latency, context=context, exception=exception, request_type="POST")


def test_percentile_is_one_of_the_values() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_summary_of_two_responses_in_half_a_second() -> None:
    stats = EndpointStats()
    stats.add(10.0, response())
    stats.add(30.0, response(texts=3))
    found = summary(stats, 0.5)

    assert (found["requests"], found["texts"], found["requests_per_s"], found["texts_per_s"]) == (2, 4, 4, 8)
    assert (found["source_tokens_per_s"], found["target_tokens_per_s"]) == (24, 32)
    assert found["latency_ms"] == {"mean": 20, "p50": 10, "p95": 30, "p99": 30, "max": 30}
    assert (found["queue_ms"], found["queue_share"], found["compute_share"]) == (2, 0.1, 0.25)


def test_requests_before_all_users_have_started_count_only_if_they_fail() -> None:
    recorder = StatsRecorder([PATH])
    request(recorder, 1000.0, response())
    request(recorder, 1000.0, exception="text 3: wrong")
    recorder.on_spawning_complete(user_count=2)
    request(recorder, 10.0, response())

    found = recorder.summaries()[PATH]
    assert (found["requests"], found["failures"], found["latency_ms"]["max"]) == (1, 0, 10)
    assert recorder.failures == 1
    assert not recorder.passed()
    assert recorder.messages == {f"{PATH}: text 3: wrong": 1}


def test_run_without_correct_responses_does_not_pass() -> None:
    recorder = StatsRecorder([PATH])
    assert not recorder.passed()
    request(recorder, 10.0, response())
    assert recorder.passed()
    request(recorder, 10.0, exception="text 0: wrong")
    assert not recorder.passed()


def test_timeline_has_rate_and_percentiles_of_whole_intervals() -> None:
    stats = EndpointStats()
    for at, latency in ((100.0, 10.0), (100.5, 30.0), (102.9, 20.0), (103.1, 99.0)):
        stats.add(latency, response(), at)

    assert timeline(stats, started=100.0, seconds=3.1) == [
        {"second": 0, "requests_per_s": 2, "p50": 10, "p95": 30, "p99": 30},
        {"second": 1, "requests_per_s": 0},
        {"second": 2, "requests_per_s": 1, "p50": 20, "p95": 20, "p99": 20},
    ]
    assert timeline(stats, started=100.0, seconds=0.9) == []
    assert [entry["second"] for entry in timeline(stats, 100.0, 600.0)] == list(range(0, 600, 10))
    assert len(timeline(stats, 100.0, 600.0)) == MAX_INTERVALS
