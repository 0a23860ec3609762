"""The log is written in the background: a pipe that nobody reads holds up nothing, and an exit loses nothing."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from benchmarks.common.processes import free_port, is_ready
from service.engine.process.log_handler import MAX_WAITING, BackgroundLogHandler
from tests.service.conftest import ROOT, Start, environment, eventually
from tests.service.fakes import TIMEOUT

LOG_AND_EXIT = """
import logging, sys
from service.engine.process.runtime import configure_interpreter

configure_interpreter()
for number in range(int(sys.argv[1])):
    logging.info("line %d", number)
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the descriptor to read from, and the one to write to."""
    near, far = os.pipe()
    yield near, far
    for descriptor in (near, far):
        try:
            os.close(descriptor)
        except OSError:
            continue


def logger_of(descriptor: int, name: str) -> tuple[logging.Logger, BackgroundLogHandler]:
    logger, handler = logging.Logger(name), BackgroundLogHandler(descriptor)
    logger.addHandler(handler)
    return logger, handler


def read_all(descriptor: int) -> list[str]:
    """Read until all writers have closed the pipe; return the lines."""
    with os.fdopen(os.dup(descriptor), encoding="utf-8") as file:
        return file.read().splitlines()


def test_lines_that_nobody_reads_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    near, far = pipe
    logger, handler = logger_of(far, "unread")
    count = 3 * MAX_WAITING // 100
    for number in range(count):
        logger.info("%06d %s", number, "x" * 93)
    handler.flush()  # returns although nothing can be written
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(read_all(near)))
    reader.start()
    handler.flush()
    logger.info("afterwards")
    handler.flush()
    os.close(far)
    reader.join(TIMEOUT)
    [position] = [i for i, line in enumerate(found) if "were dropped" in line]
    dropped = re.match(r"(\d+) lines of the log were dropped", found[position])
    assert dropped
    assert [int(line[:6]) for line in found[:position]] == list(range(count - int(dropped[1])))
    assert {len(line) for line in found[:position]} == {100}
    assert MAX_WAITING <= sum(map(len, found)) <= 2 * MAX_WAITING + 100_000
    assert found[position + 1 :] == ["afterwards"]


def test_reader_that_has_gone_is_no_error(pipe: tuple[int, int], capfd: pytest.CaptureFixture[str]) -> None:
    near, far = pipe
    logger, handler = logger_of(far, "gone")
    os.close(near)
    logger.info("lost")
    handler.flush()
    logger.info("lost, too")
    handler.flush()
    assert capfd.readouterr() == ("", "")


def test_non_blocking_pipe_loses_nothing(pipe: tuple[int, int]) -> None:
    near, far = pipe
    os.set_blocking(far, False)
    logger, handler = logger_of(far, "non-blocking")
    for number in range(5000):
        logger.info("line %d of the log, in which %s", number, "ä" * 20)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(read_all(near)))
    reader.start()
    handler.flush()
    os.close(far)
    reader.join(TIMEOUT)
    assert found == [f"line {number} of the log, in which {'ä' * 20}" for number in range(5000)]


def test_exit_loses_nothing() -> None:
    command = [sys.executable, "-c", LOG_AND_EXIT, "20000"]
    result = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60, check=True)
    lines = result.stderr.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(20_000)]


def test_exit_does_not_wait_for_a_reader(pipe: tuple[int, int]) -> None:
    """The same for the service and its engine process, which configure their log in the same way."""
    process = subprocess.Popen([sys.executable, "-c", LOG_AND_EXIT, "20000"], cwd=ROOT, stderr=pipe[1])
    assert process.wait(TIMEOUT) == 0


def test_without_stderr_nothing_is_written() -> None:
    command = f'exec "{sys.executable}" -c "$1" 10 2>&-'
    result = subprocess.run(["sh", "-c", command, "sh", LOG_AND_EXIT], cwd=ROOT, timeout=60, check=False)
    assert result.returncode == 0


def test_service_goes_on_and_stops_when_nobody_reads_its_log(toy_models: Path, pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe[1], b"x" * 4096)
    os.set_blocking(pipe[1], True)
    port = free_port()
    settings = environment(toy_models, port=port, drain_timeout_seconds=5)
    process = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=settings, stderr=pipe[1])
    try:
        eventually(lambda: is_ready(port) or process.poll() is not None)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT, verify=False) as client:
            for _ in range(100):
                assert client.post("/v1/classify", json={"text": "orange"}).status_code == 200
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert time.monotonic() - stopped < 5.5
    finally:
        process.kill()
        process.wait()


def test_service_logs_every_request_before_it_exits(start: Start) -> None:
    service = start(log_format="json")
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, verify=False) as client:
        for number in range(200):
            client.get("/healthz", headers={"X-Request-ID": f"number-{number}"})
    assert service.stop() == 0
    eventually(lambda: "id=number-199 " in "".join(service.log))
    entries = [json.loads(line) for line in service.log]
    access = [entry for entry in entries if entry["logger"] == "attendant.access" and entry["route"] == "/healthz"]
    assert [(entry["status"], entry["request_id"]) for entry in access] == [(200, f"number-{n}") for n in range(200)]
    assert "serving toy-translator" in "".join(entry["message"] for entry in entries)
