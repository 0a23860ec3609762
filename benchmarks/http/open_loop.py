"""Open-loop HTTP load: a crowd whose requests are due at a fixed rate, whatever the service answers.

A closed loop, as in `load_generator.py`, sends less when the service slows down, and so hides what its clients would
have waited for. Here the latency of a request counts from the moment at which it was due. Every text has a number,
which its translation must have and no other request of that time has, so that an answer to another request is seen.

One thread, plain sockets and epoll keep the load cheap. `Crowd` runs it in a process of its own.
"""

import dataclasses
import errno
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.http.load_generator import TrafficError, content_length, encode

# Callers, and addresses enough that no port is used twice within a minute: a closed connection occupies its port.
ADDRESSES = [f"127.0.1.{host}" for host in range(1, 251)]
IP_BIND_ADDRESS_NO_PORT = 24  # from linux/in.h: choose the port when connecting, when the other end is known
PATIENCE = 60.0  # seconds without an answer until a request is given up
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
NUMBER = "{number}"
NUMBERS, STRIDE = 90_000, 7919  # with five digits, in a mixed order: runs of zeros are hard to translate
SEPARATORS = str.maketrans("", "", ".,'’ \u00a0\u202f")  # within a number


@dataclass(frozen=True)
class OpenLoad:
    """Requests for translations, due every 1 / `rate` seconds; with the rate 0, by `clients` that wait for answers."""

    port: int
    fields: dict[str, str]
    text: str  # of which NUMBER is replaced by the number of the request
    seconds: float
    rate: float = 0.0
    clients: int = 0
    keep: bool = False  # whether an idle connection is used again; otherwise every request has its own
    first: int = 0  # how many requests were sent before
    path: str = "/v1/translate"


@dataclass
class OpenResult:
    """What the clients saw. Times in ms, from when a request was due to the last byte of its answer."""

    sent: int
    statuses: dict[str, int]
    per_second: float  # answers with status 200 while requests were being sent
    wrong: int  # answers with status 200 that do not have the number of their request
    reset: int  # connections that ended with an error
    closed: int  # connections that were closed without a complete answer
    unanswered: int  # requests given up
    accepted: dict[str, float]  # p50, p99 and max of the answers with status 200
    refused: dict[str, float]  # of the others
    late: dict[str, float]  # from when a request was due until it was sent: the generator's own delay
    client_cpu: float  # of one core


class _Client:
    """One connection and its current request."""

    __slots__ = ("due", "number", "received", "request", "sent", "size", "socket")

    def __init__(self, number: int, due: float, request: bytes) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((ADDRESSES[number % len(ADDRESSES)], 0))
        self.begin(number, due, request)

    def begin(self, number: int, due: float, request: bytes) -> None:
        self.number, self.due, self.request = number, due, request
        self.received, self.size, self.sent = b"", 0, False


class OpenLoop:
    """The requests of one load and what became of them."""

    def __init__(self, load: OpenLoad) -> None:
        self.load = load
        self.epoll = select.epoll()
        self.clients: dict[int, _Client] = {}  # by file descriptor: those with a request
        self.idle: list[_Client] = []
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.late: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.wrong = self.reset = self.closed = self.unanswered = 0
        self.sent = 0
        self._before, self._after = encode(load.path, json.dumps({"text": load.text, **load.fields})).split(
            NUMBER.encode()
        )
        length = content_length(self._before) + len(str(NUMBERS)) - len(NUMBER)  # all numbers have as many digits
        head, _, rest = self._before.partition(b"Content-Length: ")
        self._before = head + b"Content-Length: %d" % length + rest[rest.index(b"\r\n") :]

    def run(self) -> OpenResult:
        """Send the load, wait for the last answers, and close all connections."""
        cpu, started = time.process_time(), time.perf_counter()
        end = started + self.load.seconds
        if self.load.rate:
            self._send_at_rate(started, end)
        else:
            self._send_when_answered(end)
        answered = len(self.accepted)
        cpu = (time.process_time() - cpu) / (time.perf_counter() - started)
        while self.clients and time.perf_counter() < end + PATIENCE:
            self._poll(0.1)
        self.unanswered += len(self.clients)
        for client in [*self.clients.values(), *self.idle]:
            client.socket.close()
        self.epoll.close()
        accepted, refused, late = map(_percentiles, (self.accepted, self.refused, self.late))
        return OpenResult(
            self.sent, dict(self.statuses), answered / self.load.seconds, self.wrong, self.reset, self.closed,
            self.unanswered, accepted, refused, late, cpu,
        )  # fmt: skip

    def _send_at_rate(self, started: float, end: float) -> None:
        interval = 1 / self.load.rate
        due, count = started, 0
        while due < end:
            now = time.perf_counter()
            while due <= now and due < end:
                self._begin(due)
                count += 1
                due = started + count * interval
                now = time.perf_counter()
            self._poll(max(0.0, due - now))

    def _send_when_answered(self, end: float) -> None:
        while (now := time.perf_counter()) < end:
            for _ in range(self.load.clients - len(self.clients)):
                self._begin(now)
            self._poll(max(0.0, end - now))

    def _begin(self, due: float) -> None:
        number = number_of(self.load.first + self.sent)
        self.sent += 1
        request = b"%b%d%b" % (self._before, number, self._after)
        if self.idle:
            client = self.idle.pop()
            client.begin(number, due, request)
        else:
            client = _Client(number, due, request)
            client.socket.connect_ex(("127.0.0.1", self.load.port))
            self.epoll.register(client.socket, READ)
        self.clients[client.socket.fileno()] = client
        self._send(client)
        self.late.append(time.perf_counter() - due)

    def _send(self, client: _Client) -> None:
        try:
            client.socket.send(client.request)
            client.sent = True
        except BlockingIOError:
            self.epoll.modify(client.socket, WRITE)
        except OSError as error:
            self._fail(client, error)

    def _poll(self, seconds: float) -> None:
        for descriptor, _ in self.epoll.poll(seconds):
            client = self.clients.get(descriptor)
            if client is None:
                self._on_idle_event(descriptor)
            elif client.sent:
                self._receive(client)
            else:
                self.epoll.modify(client.socket, READ)
                self._send(client)

    def _on_idle_event(self, descriptor: int) -> None:
        """The service has closed an idle connection, as it may."""
        for client in self.idle:
            if client.socket.fileno() == descriptor:
                self.idle.remove(client)
                client.socket.close()
                return

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(65_536)
        except OSError as error:
            self._fail(client, error)
            return
        if not data:
            self._drop(client)
            self.closed += 1
            return
        client.received += data
        if not client.size:
            end = client.received.find(b"\r\n\r\n")
            if end < 0:
                return
            client.size = end + 4 + content_length(client.received[:end])
        if len(client.received) >= client.size:
            self._finish(client)

    def _finish(self, client: _Client) -> None:
        seconds = time.perf_counter() - client.due
        status = client.received[9:12]
        self.statuses[status.decode()] += 1
        head, _, body = client.received.partition(b"\r\n\r\n")
        if status == b"200":
            self.accepted.append(seconds)
            self.wrong += not has_number(body, client.number)
        else:
            self.refused.append(seconds)
        if self.load.keep and b"\r\nconnection: close" not in head.lower():
            del self.clients[client.socket.fileno()]
            self.idle.append(client)
        else:
            self._drop(client)

    def _fail(self, client: _Client, error: OSError) -> None:
        self._drop(client)
        if error.errno == errno.ETIMEDOUT:
            self.unanswered += 1
        else:
            self.reset += 1

    def _drop(self, client: _Client) -> None:
        del self.clients[client.socket.fileno()]
        client.socket.close()


def number_of(request: int) -> int:
    """Return the number of a request, which it shares with none of the NUMBERS before it."""
    return NUMBERS // 9 + request * STRIDE % NUMBERS


def has_number(body: bytes, number: int) -> bool:
    """Return whether the translation in an answer has this number, however its digits are grouped."""
    text: str = json.loads(body)["translations"][0]["text"]
    return str(number) in text.translate(SEPARATORS)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """Return percentiles in ms by nearest rank; 0 without any value."""
    ordered = sorted(seconds) or [0.0]
    percents = {"p50": 50, "p99": 99, "max": 100}
    return {name: 1000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)] for name, percent in percents.items()}


class Crowd:
    """A child process that sends loads, one after another, on these cores (None: on all)."""

    def __init__(self, cores: Sequence[int] | None = None) -> None:
        command = [sys.executable, "-m", "benchmarks.http.open_loop", *map(str, cores or ())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, load: OpenLoad) -> OpenResult:
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
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise TrafficError(reply["error"])
        return OpenResult(**reply)

    def close(self) -> None:
        """End the process, also while it sends a load: after an interruption nobody waits for its result."""
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> int:
    """Send the loads that are read from standard input; the arguments are the cores to run on."""
    from service.http.descriptors import raise_open_files

    if sys.argv[1:]:
        os.sched_setaffinity(0, [int(core) for core in sys.argv[1:]])
    raise_open_files(60_000)
    for line in sys.stdin:
        try:
            reply = dataclasses.asdict(OpenLoop(OpenLoad(**json.loads(line))).run())
        except (TrafficError, OSError, ValueError, KeyError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
