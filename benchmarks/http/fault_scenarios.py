"""Faults of connections, processes and files for benchmarks/http/faults.py; each returns what was wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common.processes import free_port, is_ready, process_tree
from benchmarks.http.servers import RunningServer

TIMEOUT = 30.0  # seconds for one answer
READY_SECONDS = 60.0
BODY = b'{"text": "It is late", "model": "langid"}'
CLASSIFY = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
CLASSIFY %= (len(BODY), BODY)
CHUNKED = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
BURST = 300  # connections at once
KEPT = 16  # clients that keep their connection

Replay = Callable[[RunningServer], list[str]]


@dataclass(frozen=True)
class Scenario:
    """A fault: what to do to a running service of its own, how to start that, and what is wrong with its answers."""

    name: str
    replay: Replay
    settings: dict[str, str] = field(default_factory=dict)
    limit: str = ""  # for the shell's `ulimit`
    prepare: Callable[[Path], None] = lambda models: None  # changes the folder of models
    reads_log: bool = True


@contextmanager
def running(scenario: Scenario, artifacts: Sequence[Path]) -> Iterator[RunningServer]:
    """Start a service as the scenario wants it, wait until it is ready, and end it.

    Raises:
        RuntimeError: it does not become ready.
    """
    with tempfile.TemporaryDirectory() as models:
        for artifact in artifacts:
            (Path(models) / artifact.name).symlink_to(artifact.resolve())
        scenario.prepare(Path(models))
        port = free_port()
        settings = {"ATTENDANT_MODELS": models, "ATTENDANT_PORT": str(port), **scenario.settings}
        command = [sys.executable, "-m", "service"]
        if scenario.limit:
            command = ["sh", "-c", f'ulimit {scenario.limit} && exec "$@"', "sh", *command]
        log = subprocess.DEVNULL if scenario.reads_log else subprocess.PIPE
        with subprocess.Popen(command, env=os.environ | settings, stderr=log) as process:
            try:
                wait_until(lambda: is_ready(port) or process.poll() is not None)
                if process.poll() is not None:
                    raise RuntimeError(f"{scenario.name}: the service ended with status {process.returncode}")
                yield RunningServer(port, process.pid)
            finally:
                process.kill()


def wait_until(condition: Callable[[], bool]) -> float:
    """Wait until a condition holds; return the seconds that it took.

    Raises:
        TimeoutError: it takes too long.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() > started + READY_SECONDS:
            raise TimeoutError(f"it did not happen within {READY_SECONDS:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - started


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes on a connection of their own; return the first response."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may refuse before it has read everything
            connection.sendall(data)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    """Return the next response; what has come of it, if the connection ends before."""
    received, length = b"", None
    with suppress(ConnectionResetError):
        while (length is None or len(received) < length) and (data := connection.recv(65_536)):
            received += data
            head, end, _ = received.partition(b"\r\n\r\n")
            if end:
                found = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
                length = len(head) + 4 + (int(found[1]) if found else 0)
    return received


def status(received: bytes) -> str:
    return received[9:12].decode("ascii", "replace") if received else "none"


def unlike(found: object, expected: object, what: str) -> list[str]:
    """Return what is wrong, if something is."""
    return [] if found == expected else [f"{what}: {found} instead of {expected}"]


def trailers(server: RunningServer) -> list[str]:
    """20 MB of trailers, and one of 20 MB."""
    lines = b"".join(b"X%04d: %s\r\n" % (i, b"b" * 50) for i in range(1000))
    found = {status(exchange(server.port, CHUNKED + data)) for data in (lines * 330, b"X: " + b"a" * 20_000_000)}
    return unlike(found, {"431"}, "status")


def burst(server: RunningServer) -> list[str]:
    """Many connections at once, each with a request."""
    with ThreadPoolExecutor(BURST) as pool:
        found = Counter(pool.map(lambda _: status(exchange(server.port, CLASSIFY)), range(BURST)))
    return [f"{count} answers {name}" for name, count in found.items() if name not in ("200", "503")]


def http_details(server: RunningServer) -> list[str]:
    """Requests at the edge of HTTP/1.1."""
    cases = {
        b"HEAD /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n": "200",
        b"OPTIONS /v1/classify HTTP/1.1\r\nHost: x\r\n\r\n": "204",
        CLASSIFY.replace(b"Content-Type: application/json\r\n", b""): "415",
        CLASSIFY.replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"): "400",
        CLASSIFY.replace(b"Host: x\r\n", b"Host: x\r\nContent-Encoding: br\r\n"): "415",
        CLASSIFY.replace(b"Host: x\r\n", b"Host: x\r\nContent-Encoding: gzip\r\n"): "422",
        CLASSIFY + b"nonsense\r\n\r\n": "200",
    }
    problems = []
    for data, expected in cases.items():
        problems += unlike(status(exchange(server.port, data)), expected, repr(data[:60]))
    return problems


def documentation(server: RunningServer) -> list[str]:
    """The page on which keys are typed loads nothing from elsewhere, and its headers forbid it."""
    page = exchange(server.port, b"GET /docs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").lower()
    problems = unlike(b'src="http' in page, False, "a script from elsewhere")
    for header in (b"content-security-policy:", b"x-content-type-options: nosniff"):
        problems += unlike(header in page, True, header.decode())
    return problems + unlike(b"\r\nserver:" in page, False, "a header Server")


def hung_engine(server: RunningServer) -> list[str]:
    """The engine process is stopped; the service must notice, and go on afterwards."""
    [_, engine] = process_tree(server.pid)
    engine.suspend()
    try:
        seconds = wait_until(lambda: not is_ready(server.port))
    finally:
        engine.resume()
    wait_until(lambda: is_ready(server.port))
    return [f"noticed after {seconds:.1f} s"] * (seconds > 10) + unlike(
        status(exchange(server.port, CLASSIFY)), "200", "status afterwards"
    )


def dead_engine(server: RunningServer) -> list[str]:
    """The engine process is killed; requests are refused with Retry-After until there is another one."""
    [_, engine] = process_tree(server.pid)
    engine.kill()
    wait_until(lambda: not is_ready(server.port))
    refused = exchange(server.port, CLASSIFY)
    wait_until(lambda: is_ready(server.port))
    problems = unlike(status(refused), "503", "status meanwhile") if b"200 OK" not in refused[:20] else []
    return problems + unlike(status(exchange(server.port, CLASSIFY)), "200", "status afterwards")


def stop(number: int) -> Replay:
    """Return the replay of a signal to stop while clients keep connections and send requests."""

    def replay(server: RunningServer) -> list[str]:
        with ThreadPoolExecutor(KEPT) as pool:
            clients = [pool.submit(_kept_client, server.port) for _ in range(KEPT)]
            time.sleep(0.5)
            os.kill(server.pid, number)
            lost = sum(not client.result(TIMEOUT) for client in clients)
        return unlike(lost, 0, "clients that lost a request")

    return replay


def _kept_client(port: int) -> bool:
    """Send requests on one connection until an answer closes it; return whether each was answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        while True:
            try:
                connection.sendall(CLASSIFY)
            except OSError:
                return False
            received = receive(connection)
            if status(received) != "200":
                return False
            if b"\r\nconnection: close" in received.lower():
                return True


def many_requests(server: RunningServer) -> list[str]:
    """More requests than a pipe has room for their log lines."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as connection:
        for _ in range(1500):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            if status(receive(connection)) != "200":
                return ["a request without an answer"]
    return []


def idle_connections(server: RunningServer) -> list[str]:
    """More idle connections than the process may have open files, and a request beside them."""
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) for _ in range(100)]
    found = status(exchange(server.port, CLASSIFY))
    for connection in idle:
        connection.close()
    wait_until(lambda: status(exchange(server.port, CLASSIFY)) == "200")
    return [] if found in ("200", "503") else [f"status {found}"]


def add_faulty_artifacts(models: Path) -> None:
    """Add a stray folder, and an artifact whose manifest has an absurd size."""
    (models / "notes").mkdir()
    (models / "huge").mkdir()
    manifest = json.loads((next(models.glob("*/manifest.json"))).read_text("utf-8"))
    manifest |= {"name": "huge", "limits": {"source_length": 100, "target_length": 10**9}}
    (models / "huge" / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def faulty_artifacts(server: RunningServer) -> list[str]:
    """The good artifacts are served, and a request for a faulty one says so."""
    named = CLASSIFY.replace(b'"langid"', b'"huge"  ')
    return unlike(status(exchange(server.port, CLASSIFY)), "200", "status") + unlike(
        status(exchange(server.port, named)), "503", "status of a faulty model"
    )


SCENARIOS = [
    Scenario("trailers without end", trailers),
    Scenario(f"{BURST} connections at once", burst),
    Scenario("edges of HTTP/1.1", http_details),
    Scenario("documentation page", documentation),
    Scenario("engine stopped", hung_engine),
    Scenario("engine killed", dead_engine),
    Scenario("SIGTERM beside kept connections", stop(signal.SIGTERM)),
    Scenario("SIGINT beside kept connections", stop(signal.SIGINT)),
    Scenario("log pipe that nobody reads", many_requests, reads_log=False),
    Scenario("64 file descriptors, 100 idle connections", idle_connections, limit="-n 64"),
    Scenario("faulty artifacts beside good ones", faulty_artifacts, prepare=add_faulty_artifacts),
]
