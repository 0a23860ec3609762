"""The log as JSON, of the service and of its engine process."""

import json
import logging
import os
import sys
from typing import Any

import pytest

from service.engine.interfaces import PoolConfig
from service.engine.occupancy import QueueLimits
from service.engine.process import messages
from service.engine.process.channel import MessageChannel, start_process
from service.engine.process.log_format import JSON, MAX_LINE, make_formatter
from service.http.request_log import ACCESS
from tests.service.conftest import ROOT
from tests.service.fakes import TIMEOUT


def entry(message: str, *values: object, error: Exception | None = None) -> dict[str, Any]:
    """Format a record of the second 0 and parse the line."""
    cause = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("attendant.access", logging.INFO, __file__, 1, message, values, cause)
    record.created = 0.25
    line = make_formatter(JSON).format(record)
    assert len(line.encode()) <= MAX_LINE
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_an_access_line_has_its_values_as_members() -> None:
    assert entry(ACCESS, "POST", "/v1/translate", 200, 12.34567, "a-1", "alice") == {
        "time": "1970-01-01T00:00:00.250Z", "level": "INFO", "logger": "attendant.access",
        "message": "POST /v1/translate 200 12.3 ms id=a-1 key=alice", "method": "POST", "route": "/v1/translate",
        "status": 200, "duration_ms": 12.346, "request_id": "a-1", "key": "alice",
    }  # fmt: skip


@pytest.mark.parametrize("text", ['line\nä "quoted" \u2028', "100 %"])
def test_other_lines_have_their_message(text: str) -> None:
    assert entry("%s", text)["message"] == text
    assert entry(text)["message"] == text


def test_a_long_traceback_is_cut_to_what_a_pipe_takes_in_one_piece() -> None:
    found = entry("request %s failed", "a-1", error=KeyError("\n" * 10_000 + "the end"))
    assert found["exception"].startswith("... ")
    assert found["exception"].endswith("the end'")
    assert entry("failed", error=KeyError("short"))["exception"] == "KeyError: 'short'"


def test_the_engine_process_has_the_format_of_the_service(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "service.engine.process", JSON]
    process, connection = start_process(command, {**os.environ, "PYTHONPATH": str(ROOT)}, inherit=True)
    with connection:
        unreadable: Any = map(os.listdir, [str(ROOT / "nothing")])  # raises an OSError in the process
        MessageChannel(connection).send(messages.LoadModels(unreadable, PoolConfig(1, 1, QueueLimits())))
        assert process.wait(TIMEOUT) == 1
    error = json.loads(capfd.readouterr().err)
    assert error["logger"] == "__main__"
    assert error["message"].startswith("the engine process cannot start: FileNotFoundError")
