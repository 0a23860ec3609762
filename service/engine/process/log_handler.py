"""A log handler that never makes its caller wait.

A pipe holds 64 kB; once nobody reads it, a process that logs in the usual way stops at its next line. Here the lines
wait in memory for a thread that writes them, and above a limit they are dropped and counted.

`logging.handlers.QueueHandler` and `QueueListener` wake their thread and write for every line, for which a request
would have to wait. This thread writes the lines of 20 ms at once.
"""

import logging
import os
import select
import threading
from contextlib import suppress

MAX_WAITING = 1_000_000  # characters of waiting lines
GATHER_SECONDS = 0.02  # from the first line to the write
STUCK_SECONDS = 0.25  # without progress until `flush` gives up
# Bytes of one write. The service and its engine process share the pipe, and larger writes would mix their lines.
ATOMIC_BYTES = getattr(select, "PIPE_BUF", 4096)


class BackgroundLogHandler(logging.Handler):
    """Writes log lines to a file descriptor in a thread of its own; in order, and never a part of a line."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        # Guards the next three. Reentrant, as a destructor that logs may run at any time.
        self._guard = threading.RLock()
        self._lines: list[str] = []
        self._size = 0  # characters of the lines
        self._dropped = 0  # lines, since these lines were taken last
        self._wake, self._hurry, self._idle = threading.Event(), threading.Event(), threading.Event()
        self._idle.set()
        self._written = 0  # writes
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record's line to those that wait, or drop it if these are too many."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        with self._guard:
            if self._size + len(line) > MAX_WAITING:
                self._dropped += 1
            else:
                self._lines.append(line)
                self._size += len(line)
            self._idle.clear()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Wait until all lines are written, or until nobody has read any for a while."""
        self._hurry.set()
        seen = -1
        while seen != self._written:
            seen = self._written
            if self._idle.wait(STUCK_SECONDS):
                break
        self._hurry.clear()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(GATHER_SECONDS)
            self._wake.clear()
            with self._guard:
                lines, self._lines, self._size = self._lines, [], 0
                dropped, self._dropped = self._dropped, 0
            self._write([*lines, self._dropped_line(dropped)] if dropped else lines)
            with self._guard:
                if not self._lines and not self._dropped:
                    self._idle.set()

    def _dropped_line(self, count: int) -> str:
        message = "%d lines of the log were dropped: nobody read it fast enough"
        return self.format(logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (count,), None))

    def _write(self, lines: list[str]) -> None:
        """Write lines, as many at once as a pipe takes in one piece."""
        chunk = b""
        for line in lines:
            data = line.encode("utf-8", "backslashreplace") + b"\n"
            if chunk and len(chunk) + len(data) > ATOMIC_BYTES:
                self._write_bytes(chunk)
                chunk = b""
            chunk += data
        if chunk:
            self._write_bytes(chunk)

    def _write_bytes(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # the descriptor is non-blocking
                with suppress(OSError):
                    select.select([], [self._descriptor], [])
            except OSError:  # the reader has gone, or the disk is full: there is nowhere to report it
                return
            self._written += 1
