"""The formats of the log: lines of text for people, or one JSON object a line for programs that collect logs."""

import json
import logging
from datetime import UTC, datetime

from service.engine.process.log_handler import ATOMIC_BYTES

TEXT, JSON = "text", "json"
MAX_LINE = ATOMIC_BYTES - 1  # bytes without the line end: a longer line could be mixed with one of the other process
CUT = "... "
ENCODE = json.JSONEncoder(default=str).encode  # json.dumps would make an encoder for every line


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object in one line of ASCII: time, level, logger, message, and the traceback if any.

    If the message of the record has an attribute `fields`, with names of the record's arguments, these are members of
    the object too.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, object] = {
            "time": time.replace("+00:00", "Z"), "level": record.levelname, "logger": record.name,
            "message": record.getMessage(),
        }  # fmt: skip
        for name, value in zip(getattr(record.msg, "fields", ()), record.args or (), strict=False):
            entry[name] = round(value, 3) if isinstance(value, float) else value
        if not record.exc_info:
            return ENCODE(entry)
        traceback = entry["exception"] = self.formatException(record.exc_info)
        while len(line := ENCODE(entry)) > MAX_LINE and traceback:
            traceback = traceback[(len(traceback) + 1) // 2 :]  # its end says most
            entry["exception"] = CUT + traceback
        return line


def make_formatter(log_format: str) -> logging.Formatter:
    """Return the formatter of a format, TEXT or JSON."""
    return (
        JsonFormatter() if log_format == JSON else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
