"""Processes that a benchmark starts, watches and stops. Linux only: what they use is read from /proc."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

LIMIT = 120.0  # seconds until a server must be ready
POLL = 0.05  # seconds between two looks at it
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def family(pid: int) -> Iterator[int]:
    """A process and all those that it has started and that live, and so on."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process and of those that it has started, user and system."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of those that it has started."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid)) * PAGE


@contextmanager
def server(
    command: Sequence[str], port: int, settings: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[int]:
    """Start a server in a folder and wait until its /readyz answers 200; yield its process id, stop it at the end.

    What it prints is kept, and told when it does not start.

    Raises:
        RuntimeError: it ended, or did not get ready in time.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        environment = {**os.environ, **(settings or {})}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + LIMIT
            while not is_ready(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    told = f"{' '.join(command)} did not get ready, its exit status is {process.poll()}"
                    raise RuntimeError(f"{told}:\n{log.read()[-2000:]}")
                time.sleep(POLL)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def is_ready(port: int) -> bool:
    """Whether /readyz answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
