"""The whole load test as a process against a real server: correct answers pass, wrong answers fail."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.loadtest.conftest import Stub, loadtest


def test_healthy_service_passes_and_is_reported(start_stub: Callable[..., Stub], tmp_path: Path) -> None:
    stub = start_stub()
    result = loadtest("--url", stub.url, "--users", "2", "--duration", "2s", "--pool", "16", "--report", tmp_path)

    assert result.returncode == 0, result.stderr
    assert "| /v1/translate |" in result.stdout
    assert (tmp_path / "table.md").read_text("utf-8") in result.stdout
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")
    assert "/v1/classify: response time, ms" in (tmp_path / "chart.svg").read_text("utf-8")
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["passed"]
    assert report["loop"] == "closed"
    assert 1.5 < report["measured_s"] < 10
    assert report["models"]["/v1/classify"] == {"model": "stub-labels"}
    for path, found in report["endpoints"].items():
        latency = found["latency_ms"]
        assert found["requests"] > 20, path
        assert found["failures"] == 0
        assert found["texts"] > found["requests"]  # some requests were lists
        assert found["texts_per_s"] > found["requests_per_s"] > 5
        assert 2 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
        assert (found["queue_ms"], found["compute_ms"]) == (0.5, 1.5)
        assert 0 < found["queue_share"] < found["compute_share"] < 1
    translated = report["endpoints"]["/v1/translate"]
    assert translated["target_tokens_per_s"] > 1.9 * translated["source_tokens_per_s"]
    assert any(isinstance(body["text"], list) for body in stub.bodies)


def test_service_that_needs_a_key(start_stub: Callable[..., Stub], tmp_path: Path) -> None:
    stub = start_stub(key="alice.secret")
    arguments = ("--url", stub.url, "--users", "2", "--duration", "1s", "--pool", "4", "--report", tmp_path)
    without_key = loadtest(*arguments)
    assert without_key.returncode == 2
    assert "/v1/models answered status 401, code unauthorised" in without_key.stderr
    result = loadtest(*arguments, "--key", stub.key or "")
    assert result.returncode == 0, result.stderr
    for file in tmp_path.iterdir():
        assert "alice.secret" not in file.read_text("utf-8")


def test_misrouted_answer_fails_the_run(start_stub: Callable[..., Stub], tmp_path: Path) -> None:
    stub = start_stub("misroute", healthy_requests=12)
    result = loadtest(
        *("--url", stub.url, "--users", "2", "--duration", "1s", "--pool", "12", "--only", "translate"),
        *("--report", tmp_path),
    )

    assert result.returncode == 1
    assert "misrouted, the answer of text " in result.stderr
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert not report["passed"]
    assert report["endpoints"]["/v1/translate"]["failures"] > 0


def test_service_that_answers_500_fails_the_run(start_stub: Callable[..., Stub]) -> None:
    stub = start_stub("500", healthy_requests=12)
    result = loadtest("--url", stub.url, "--users", "2", "--duration", "1s", "--pool", "12", "--only", "classify")

    assert result.returncode == 1
    assert "status 500, code internal" in result.stderr
    assert "/v1/classify: text" in result.stderr


def test_text_that_fails_alone_ends_the_run_before_the_load(start_stub: Callable[..., Stub], tmp_path: Path) -> None:
    stub = start_stub("500")
    (tmp_path / "texts.txt").write_text("".join(f"Satz {number}.\n" for number in range(8)), "utf-8")
    result = loadtest("--url", stub.url, "--texts", tmp_path / "texts.txt")

    assert result.returncode == 1
    assert result.stderr == "loadtest: /v1/translate: text 4 alone ('Satz 4.'): status 500, code internal\n"
    assert stub.requests == 5


def test_service_that_is_not_ready_exits_with_2(start_stub: Callable[..., Stub]) -> None:
    stub = start_stub("unready")
    result = loadtest("--url", stub.url)

    assert result.returncode == 2
    assert result.stderr == f"loadtest: {stub.url} is not ready: /readyz answered status 503\n"
    assert stub.requests == 0
