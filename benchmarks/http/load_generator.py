"""Closed-loop HTTP load: every client sends its next request when the last one is answered.

    python -m benchmarks.http.load_generator PORT PATH FILE [--field NAME=VALUE] [--clients 64] [--seconds 8]

One thread and plain sockets keep the load cheap, because it shares its cores with the service: requests are encoded
beforehand, and a response is read up to its Content-Length and inspected afterwards. `Traffic` runs the load in a
process
of its own. FILE has one text per line; the result is printed as JSON.
"""

import argparse
import dataclasses
import itertools
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common.processes import cpu_seconds

CLIENTS = 64
TIMEOUT = 60.0  # seconds without any response before the load fails
SAMPLES = 8  # response bodies returned for inspection


class TrafficError(RuntimeError):
    """The service closed a connection, stopped responding, or sent a response without Content-Length."""


@dataclass(frozen=True)
class HttpLoad:
    """The requests as (path, JSON body), sent in this order and repeated; times in seconds."""

    port: int
    requests: Sequence[tuple[str, str]]
    clients: int = CLIENTS
    warm_up: float = 2.0
    seconds: float = 8.0
    server: int | None = None  # process id, to measure its CPU time
    address: str = "127.0.0.1"  # of the clients: another one of 127.0.0.0/8 makes them another caller


@dataclass
class LoadResult:
    """Results of the measured time; latencies are from the first byte sent to the last byte read."""

    seconds: float
    answers: int
    errors: dict[str, int]  # by status
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    client_cpu_s: float
    server_cpu_s: float | None
    sample: list[str] = field(default_factory=list)  # bodies of some of the last responses


class ClientConnection:
    """One keep-alive connection."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT, source_address=(address, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self._head = b""
        self._body = bytearray()
        self._missing = -1  # bytes of the body; below 0 the head is not complete
        self.status = b""

    def send(self, request: bytes) -> None:
        self._head, self._missing = b"", -1
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytearray | None:
        """Read the available bytes; return the body once the response is complete.

        Raises:
            TrafficError: the connection was closed, or the response has no Content-Length.
        """
        data = self.socket.recv(65536)
        if not data:
            raise TrafficError("the service closed a connection")
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return None
            self.status = self._head[9:12]
            self._body = bytearray(self._head[end + 4 :])
            self._missing = content_length(self._head[:end]) - len(self._body)
        else:
            self._body += data
            self._missing -= len(data)
        return None if self._missing else self._body


def content_length(head: bytes) -> int:
    """Return the Content-Length in a response head.

    Raises:
        TrafficError: there is none.
    """
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise TrafficError("a response has no Content-Length")
    return int(rest.split(b"\r\n", 1)[0])


def encode(path: str, body: str) -> bytes:
    """Encode a POST request."""
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content


class LoadLoop:
    """The clients of one load and their measurements."""

    def __init__(self, load: HttpLoad) -> None:
        self.load = load
        self.requests = itertools.cycle([encode(path, body) for path, body in load.requests])
        self.selector = selectors.DefaultSelector()
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.sample: list[bytearray] = []
        self.busy = 0

    def run(self) -> LoadResult:
        """Warm up, measure, and wait for the last responses, so that the service is idle again.

        Raises:
            TrafficError: see `ClientConnection.receive`; or no response came for a minute.
        """
        clients = [ClientConnection(self.load.port, self.load.address) for _ in range(self.load.clients)]
        try:
            for client in clients:
                self.selector.register(client.socket, selectors.EVENT_READ, client)
                self._send(client)
            self._until(time.perf_counter() + self.load.warm_up)
            self.latencies, self.errors = [], Counter()
            client_cpu, server_cpu = time.process_time(), self._server_cpu()
            started = time.perf_counter()
            self._until(started + self.load.seconds)
            seconds = time.perf_counter() - started
            client_cpu, server_cpu = time.process_time() - client_cpu, self._server_cpu() - server_cpu
            latencies, errors = self.latencies[:], dict(self.errors)
            self._drain()
        finally:
            for client in clients:
                client.socket.close()
            self.selector.close()
        cpu = client_cpu, server_cpu if self.load.server else None
        return summarise(latencies, errors, seconds, cpu, [body.decode() for body in self.sample])

    def _server_cpu(self) -> float:
        return cpu_seconds(self.load.server) if self.load.server else 0.0

    def _send(self, client: ClientConnection) -> None:
        client.send(next(self.requests))
        self.busy += 1

    def _until(self, end: float) -> None:
        while time.perf_counter() < end:
            for client in self._answered():
                self._send(client)

    def _drain(self) -> None:
        while self.busy:
            for _ in self._answered():
                pass

    def _answered(self) -> Iterator[ClientConnection]:
        events = self.selector.select(TIMEOUT)
        if not events:
            raise TrafficError(f"no answer within {TIMEOUT:g} s")
        for key, _ in events:
            client: ClientConnection = key.data
            body = client.receive()
            if body is None:
                continue
            self.busy -= 1
            if client.status == b"200":
                self.latencies.append(time.perf_counter() - client.sent)
            else:
                self.errors[client.status.decode()] += 1
            self.sample = [body, *self.sample[: SAMPLES - 1]]
            yield client


def summarise(
    latencies: list[float],
    errors: Mapping[str, int],
    seconds: float,
    cpu: tuple[float, float | None],
    sample: list[str],
) -> LoadResult:
    """Summarise latencies; percentiles by nearest rank, 0 without any response."""
    ordered = sorted(latencies) or [0.0]
    p50, p95, p99 = (1000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)] for percent in (50, 95, 99))
    count = len(latencies)
    return LoadResult(seconds, count, dict(errors), count / seconds, p50, p95, p99, *cpu, sample)


class Traffic:
    """A child process that sends loads, one after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.http.load_generator"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, load: HttpLoad) -> LoadResult:
        """Send a load and wait for its result.

        Raises:
            TrafficError: the load failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(load)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise TrafficError(f"the process that sends the load ended with status {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise TrafficError(reply["error"])
        return LoadResult(**reply)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_load(command: dict[str, Any]) -> dict[str, Any]:
    """Run a load; return its result or its error as a JSON object."""
    try:
        return dataclasses.asdict(LoadLoop(HttpLoad(**command)).run())
    except (TrafficError, OSError) as error:
        return {"error": str(error)}


def main() -> int:
    if len(sys.argv) == 1:  # started by `Traffic`: one load per line
        for line in sys.stdin:
            sys.stdout.write(json.dumps(run_load(json.loads(line))) + "\n")
            sys.stdout.flush()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("file", type=Path)
    parser.add_argument("--field", action="append", default=[], help="further field of every request; may be repeated")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--server", type=int, help="process id of the service, to measure its CPU time")
    arguments = parser.parse_args()
    fields = dict(one.split("=", 1) for one in arguments.field)
    texts = [line for line in arguments.file.read_text("utf-8").splitlines() if line.strip()]
    requests = [(arguments.path, json.dumps({"text": text, **fields})) for text in texts]
    load = HttpLoad(
        arguments.port,
        requests,
        arguments.clients,
        arguments.warm_up,
        arguments.seconds,
        arguments.server or os.getpid(),
    )
    reply = run_load(dataclasses.asdict(load))
    sys.stdout.write(json.dumps(reply, indent=1, ensure_ascii=False) + "\n")
    return 1 if "error" in reply or reply["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
