"""A thousand odd requests over all routes; `python -m benchmarks.http.fuzz` sends a hundred thousand."""

import tempfile
from pathlib import Path

from benchmarks.http.fuzz import SETTINGS, check_service, fuzz
from benchmarks.http.fuzzing.cases import KINDS
from benchmarks.http.servers import attendant_server

SECONDS = 15.0  # at most
STALL_MS = 1000.0  # the limit of the benchmark is a tenth of it, on a machine that computes nothing else


def test_no_odd_request_fails_or_holds_up_the_service(english_and_german: Path) -> None:
    artifacts = sorted(english_and_german.iterdir())
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        attendant_server(artifacts, None, log, **SETTINGS) as running,
    ):
        report = fuzz(running, seed=3, numbers=range(1000), clients=4, seconds=SECONDS)
        faults = check_service(running, log)
    assert not report.problems
    assert not faults
    assert report.stall.worst_own_ms < STALL_MS
    assert {row["kind"] for row in report.rows} == KINDS.keys()
