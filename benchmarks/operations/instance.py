"""One instance of the service for faults: it can be killed, stopped, and started again on the same port."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

import psutil

from benchmarks.common.processes import READY_TIMEOUT, free_port, is_ready, process_tree

TIMEOUT = 90.0  # seconds for one answer


class Instance:
    """A service on a port of its own, with a folder of links to artifacts; a context manager that ends it."""

    def __init__(self, artifacts: Sequence[Path], **settings: str) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="attendant-instance-")
        self.models = Path(self._folder.name)
        for artifact in artifacts:
            (self.models / artifact.name).symlink_to(artifact.resolve())
        self.settings = settings | {"ATTENDANT_MODELS": str(self.models), "ATTENDANT_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._folder.cleanup()

    def end(self) -> None:
        """Kill it for good."""
        self._ended = True
        self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start() comes first"
        return self._process

    @property
    def engine(self) -> psutil.Process:
        """The engine process."""
        [_, engine] = process_tree(self.process.pid)
        return engine

    def start(self, wait: bool = True) -> None:
        """Start it, and wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        log = subprocess.DEVNULL
        command = [sys.executable, "-m", "service"]
        self._process = subprocess.Popen(command, env=os.environ | self.settings, stdout=log, stderr=log)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until /readyz answers 200.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        while not self._ended and not is_ready(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service is not ready; exit status {self.process.poll()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the service and its engine process, if they run."""
        if self._process is not None and self._process.poll() is None:
            for process in process_tree(self._process.pid):
                process.kill()
            self._process.wait()


def exit_at_sigterm() -> None:
    """Have SIGTERM end this process by an exception, so that it ends the processes that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def running(work: Callable[[threading.Event], None], threads: int = 1) -> Iterator[threading.Event]:
    """Do work in threads until the context is left; the work ends when its event is set.

    Raises:
        Exception: what ended a thread early.
    """
    ended, problems = threading.Event(), list[Exception]()

    def run() -> None:
        try:
            work(ended)
        except Exception as problem:  # raised again below, in the caller's thread
            problems.append(problem)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield ended
    finally:
        ended.set()
        for worker in workers:
            worker.join()
        if problems:
            raise problems[0]


class Clients:
    """Clients that send requests one after the other, each on a connection of its own, and count the answers."""

    def __init__(self, port: int, path: str, bodies: Sequence[str], clients: int = 1, addresses: int = 1) -> None:
        """`addresses` of 127.0.0.0/8 make as many callers."""
        self.port, self.path, self.bodies = port, path, bodies
        self.clients, self.addresses = clients, addresses
        self.statuses: Counter[str] = Counter()
        self._started = 0
        self._lock = threading.Lock()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send until the context is left."""
        with running(self._send, self.clients):
            yield

    def _send(self, ended: threading.Event) -> None:
        with self._lock:
            number = self._started
            self._started += 1
        connection = None
        while not ended.is_set():
            address = f"127.0.1.{1 + number % self.addresses}"
            connection = connection or HTTPConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT, source_address=(address, 0)
            )
            try:
                body = self.bodies[number % len(self.bodies)]
                method = "POST" if body else "GET"
                connection.request(method, self.path, body or None, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                status = str(response.status)
            except (OSError, HTTPException) as error:
                status, connection = type(error).__name__, None
            if status != "200":
                ended.wait(0.05)  # as a client that tries again does
            with self._lock:
                self.statuses[status] += 1
            number += self.clients


def probes(port: int, path: str, seconds: float) -> Callable[[threading.Event], None]:
    """Return the work of a kubelet: ask a path every few seconds."""

    def ask(ended: threading.Event) -> None:
        while not ended.wait(seconds):
            connection = HTTPConnection("127.0.0.1", port, timeout=seconds)
            try:
                connection.request("GET", path)
                connection.getresponse().read()
            except (OSError, HTTPException):
                continue
            finally:
                connection.close()

    return ask
