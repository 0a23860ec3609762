"""Metrics of errors and of memory; `tests/service/translation/test_retries.py` has those of retries."""

import os
import subprocess
import sys

import pytest

from service.metrics import STATM, Metrics, child_processes, resident_bytes
from tests.service.conftest import TRANSLATE, Service

LINUX = pytest.mark.skipif(not STATM.exists(), reason="/proc is Linux's own")


def test_errors_are_counted_by_code(service: Service) -> None:
    def count(code: str) -> float:
        return service.sample("errors_total", code=code)

    before = {code: count(code) for code in ("unknown_model", "invalid_request", "not_found", "invalid_header")}
    service.post("/v1/translate", TRANSLATE | {"target": "xx"})
    service.post("/v1/translate", {"text": 1})
    service.post("/translate", {"q": 1, "source": "a", "target": "b"})
    service.client.get("/nothing")
    service.post("/v1/translate", TRANSLATE)
    after = {code: count(code) - number for code, number in before.items()}
    assert after == {"unknown_model": 1, "invalid_request": 2, "not_found": 1, "invalid_header": 0}


@LINUX
def test_memory_of_both_processes_is_shown(service: Service) -> None:
    service.client.get("/healthz")
    for process in ("service", "engine"):
        assert service.sample("memory_bytes", process=process) > 2**20


@LINUX
def test_memory_is_that_of_the_processes_that_run() -> None:
    assert resident_bytes([os.getpid()]) > 2**20
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        assert child.pid in child_processes()
    assert child.pid not in child_processes()
    assert resident_bytes([child.pid]) == 0


def test_metrics_are_independent_of_one_another() -> None:
    one, other = Metrics(), Metrics()
    one.errors.labels("internal").inc()
    assert "internal" in one.render().decode()
    assert "internal" not in other.render().decode()
