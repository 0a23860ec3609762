"""Closed-loop HTTP traffic: every client sends its next sentence when the last one is answered.

    python -m benchmarks.http.load_generator PORT PATH FILE [--field NAME=VALUE] [--clients 64] [--seconds 8]

One thread and plain sockets, so that the load costs little of the cores that it shares with the service: a request is
bytes made beforehand, an answer is read up to its Content-Length and looked at afterwards. `Traffic` runs it in a
process of its own. FILE has one text a line; the figures are printed as JSON.
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
PATIENCE = 60.0  # seconds that no client may get nothing
KEPT = 8  # answers given back for inspection


class TrafficError(RuntimeError):
    """The service closed a connection, fell silent, or does not speak the HTTP that is understood here."""


@dataclass(frozen=True)
class Load:
    """What is sent: requests as (path, JSON body), in this order, over and over; times in seconds."""

    port: int
    requests: Sequence[tuple[str, str]]
    clients: int = CLIENTS
    warm_up: float = 2.0
    seconds: float = 8.0
    server: int | None = None  # process id, to account for its CPU time


@dataclass
class Figures:
    """What came back in the measured time; milliseconds from the first byte sent to the last byte read."""

    seconds: float
    answers: int
    errors: dict[str, int]  # by status
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    client_cpu_s: float
    server_cpu_s: float | None
    sample: list[str] = field(default_factory=list)  # some bodies of the last answers


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
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
        """Read what is there; the body once the answer is complete.

        Raises:
            TrafficError: the connection was closed, or the answer has no Content-Length.
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
    """The length of the body that follows a head.

    Raises:
        TrafficError: the head does not say.
    """
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise TrafficError("an answer has no Content-Length")
    return int(rest.split(b"\r\n", 1)[0])


def encode(path: str, body: str) -> bytes:
    """A request as it goes over the wire."""
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content


class Loop:
    """All clients of one load, and what they have measured."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = itertools.cycle([encode(path, body) for path, body in load.requests])
        self.selector = selectors.DefaultSelector()
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.sample: list[bytearray] = []
        self.busy = 0

    def run(self) -> Figures:
        """Warm up, measure, and let every client get its last answer, so that the service is idle again.

        Raises:
            TrafficError: see `Client.receive`; or nothing came for a minute.
        """
        clients = [Client(self.load.port) for _ in range(self.load.clients)]
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
        return figures(latencies, errors, seconds, cpu, [body.decode() for body in self.sample])

    def _server_cpu(self) -> float:
        return cpu_seconds(self.load.server) if self.load.server else 0.0

    def _send(self, client: Client) -> None:
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

    def _answered(self) -> Iterator[Client]:
        events = self.selector.select(PATIENCE)
        if not events:
            raise TrafficError(f"no answer within {PATIENCE:g} s")
        for key, _ in events:
            client: Client = key.data
            body = client.receive()
            if body is None:
                continue
            self.busy -= 1
            if client.status == b"200":
                self.latencies.append(time.perf_counter() - client.sent)
            else:
                self.errors[client.status.decode()] += 1
            self.sample = [body, *self.sample[: KEPT - 1]]
            yield client


def figures(
    latencies: list[float],
    errors: Mapping[str, int],
    seconds: float,
    cpu: tuple[float, float | None],
    sample: list[str],
) -> Figures:
    """Sum up; percentiles by nearest rank, 0 where nothing was answered."""
    ordered = sorted(latencies) or [0.0]
    p50, p95, p99 = (1000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)] for percent in (50, 95, 99))
    count = len(latencies)
    return Figures(seconds, count, dict(errors), count / seconds, p50, p95, p99, *cpu, sample)


class Traffic:
    """A process that sends loads, one after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.http.load_generator"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, load: Load) -> Figures:
        """Send a load and wait for its figures.

        Raises:
            TrafficError: with what went wrong there.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(load)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise TrafficError(f"the process that sends the load ended with status {self._process.wait()}")
        reply = json.loads(line)
        if "fault" in reply:
            raise TrafficError(reply["fault"])
        return Figures(**reply)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def attempt(job: dict[str, Any]) -> dict[str, Any]:
    """The figures of a load as JSON, or what went wrong."""
    try:
        return dataclasses.asdict(Loop(Load(**job)).run())
    except (TrafficError, OSError) as error:
        return {"fault": str(error)}


def main() -> int:
    if len(sys.argv) == 1:  # as `Traffic` starts it: a load a line
        for line in sys.stdin:
            sys.stdout.write(json.dumps(attempt(json.loads(line))) + "\n")
            sys.stdout.flush()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("file", type=Path)
    parser.add_argument("--field", action="append", default=[], help="sent along with every text; may be repeated")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--server", type=int, help="process id of the service, to account for its CPU time")
    arguments = parser.parse_args()
    fields = dict(one.split("=", 1) for one in arguments.field)
    texts = [line for line in arguments.file.read_text("utf-8").splitlines() if line.strip()]
    requests = [(arguments.path, json.dumps({"text": text, **fields})) for text in texts]
    load = Load(
        arguments.port,
        requests,
        arguments.clients,
        arguments.warm_up,
        arguments.seconds,
        arguments.server or os.getpid(),
    )
    reply = attempt(dataclasses.asdict(load))
    sys.stdout.write(json.dumps(reply, indent=1, ensure_ascii=False) + "\n")
    return 1 if "fault" in reply or reply["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
