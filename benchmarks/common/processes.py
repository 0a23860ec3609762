"""Start servers as child processes, read their CPU time and memory, and stop them."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

import psutil

READY_TIMEOUT = 120.0  # seconds until a server must be ready
POLL = 0.02  # seconds between two readiness checks


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its living descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, user and system, in seconds."""
    times = [process.cpu_times() for process in process_tree(pid)]
    return float(sum(one.user + one.system for one in times))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its descendants, in bytes."""
    return sum(process.memory_info().rss for process in process_tree(pid))


@contextmanager
def server(
    command: Sequence[str],
    port: int,
    settings: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: IO[str] | None = None,
) -> Iterator[int]:
    """Start a server in a folder and wait until its /readyz answers 200; yield its process id, stop it at the end.

    Its output goes to `log`, by default to a temporary file, and is part of the error message if it does not start.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as own_log:
        log = log or own_log
        environment = {**os.environ, **(settings or {})}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + READY_TIMEOUT
            while not is_ready(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    problem = f"{' '.join(command)} did not become ready; exit status {process.poll()}"
                    raise RuntimeError(f"{problem}:\n{log.read()[-2000:]}")
                time.sleep(POLL)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def is_ready(port: int) -> bool:
    """Return whether /readyz answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
