"""The life of the server: listen, serve, and stop without losing a request.

A stop has three parts. In the lame-duck time the service still accepts connections, while /readyz says 503 and every
answer closes its connection, until load balancers send their requests elsewhere. Then the listener is closed, and idle
connections are closed a little later, so that a request that was under way when its client had not heard of the stop
is still answered. Last, the requests in flight have until the end of the drain time.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.http.acceptor import Acceptor
from service.http.admission import Admission
from service.http.connection import AdmissionProtocol, AdmissionState
from service.http.garbage_collection import IdleCollector

log = logging.getLogger("attendant")

# SIGBREAK is Windows' own, where nothing else can send SIGTERM.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
HANGUP: int | None = getattr(signal, "SIGHUP", None)
BACKLOG = 4096  # connections that the kernel keeps until they are accepted; Linux limits it to net.core.somaxconn
TICK = 0.05  # seconds between two measurements of the event loop's lag
POLL = 0.02  # seconds between two looks at the connections while the service stops
IDLE_GRACE = 2.0  # seconds from the signal in which an idle connection is still served one more request
CANCEL_SHARE = 0.1  # of the drain time, at its end, for the answers to cancelled requests and the engine's exit
MAX_CANCEL_SECONDS = 1.0  # at most


def hangup_stops() -> bool:
    """Return whether SIGHUP stops the service: in a terminal, which sends it when it is closed.

    Elsewhere it asks for a reload. Under nohup it is ignored.
    """
    return sys.stdin is not None and sys.stdin.isatty()


def stop_signals() -> list[int]:
    """Return the signals that stop the service."""
    if HANGUP is None or not hangup_stops() or signal.getsignal(HANGUP) is signal.SIG_IGN:
        return STOP_SIGNALS
    return [*STOP_SIGNALS, HANGUP]


def on_hangup(action: Callable[[], object]) -> None:
    """Do this at a SIGHUP from now on, unless it stops the service or is ignored."""
    if HANGUP is not None and not hangup_stops() and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        signal.signal(HANGUP, lambda *_: action())


class ListenError(Exception):
    """The service cannot listen on its address."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to every address of the host; connections are accepted only when a server starts.

    Raises:
        ListenError: the address is in use, or not one of this machine.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            if sys.platform != "win32":  # there it would let two processes share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
            bound.setblocking(False)
    except OSError as error:
        for bound in sockets:
            bound.close()
        reason = (error.strerror or str(error)).lower()
        raise ListenError(f"cannot listen on {host} port {port}: {reason}") from None
    return sockets


class Server(uvicorn.Server):
    """uvicorn's server with its own listener and its own stop.

    `lame_duck_seconds` and `drain_seconds` are the times of a stop.
    """

    def __init__(
        self, config: uvicorn.Config, admission: Admission, lame_duck_seconds: float, drain_seconds: float
    ) -> None:
        super().__init__(config)
        self.admission = admission
        self.server_state: AdmissionState = AdmissionState(admission)
        self.lame_duck_seconds, self.drain_seconds = lame_duck_seconds, drain_seconds
        self.listeners: list[socket.socket] = []
        self._stopped_at = 0.0  # time.monotonic() of the signal
        self._collector = IdleCollector()

    # Start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.listeners = sockets or listen(self.config.host, self.config.port)
        self.servers = []
        self._acceptor = Acceptor(self.config, self.server_state, self.lifespan.state)
        for listener in self.listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._acceptor.start(listener)
        self._log_started_message(self.listeners)
        self.started = True

    # Run

    async def main_loop(self) -> None:
        """Keep the default headers up to date, measure the event loop's lag, and collect garbage when nothing is in
        flight, until the service is to stop."""
        counter, lag = 0, 0.0
        self._collector.start()
        while not await self.on_tick(counter):
            # Before the first sleep too: a refusal in the service's first moment has a Date like every other response.
            self.admission.on_tick(lag, self.server_state.total_requests, self.server_state.default_headers)
            if not self.admission.in_flight:
                self._collector.on_idle()
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            lag = max(0.0, time.monotonic() - due)
            counter = (counter + 1) % 10  # uvicorn updates the headers at every tenth tick

    # Stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in stop_signals():
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop at the first signal; at the next one end all requests."""
        if self.should_exit:
            self.force_exit = True
        else:
            self.stop(self.lame_duck_seconds)

    def stop(self, lame_duck_seconds: float = 0.0) -> None:
        """Begin to stop."""
        self.lame_duck_seconds = lame_duck_seconds
        self._stopped_at = time.monotonic()
        self.admission.stop_by = self._stopped_at + lame_duck_seconds + self.drain_seconds
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Go through the parts of a stop, see this module's docstring."""
        if self.admission.stop_by is None:
            self.stop()
        assert self.admission.stop_by is not None
        log.info("stopping: at most %.1f s", self.admission.seconds_left(0.0))
        for connection in self._connections():
            connection.close_after_response()
        await self._wait_until(self._stopped_at + self.lame_duck_seconds)
        await self._acceptor.stop()
        reserve = min(MAX_CANCEL_SECONDS, CANCEL_SHARE * self.drain_seconds)
        await self._finish(self.admission.stop_by - reserve)
        await self._cancel(self.admission.stop_by)
        if not self.force_exit:
            await self.lifespan.shutdown()
        log.info("stopped")

    def _connections(self) -> list[AdmissionProtocol]:
        return [one for one in self.server_state.connections if isinstance(one, AdmissionProtocol)]

    async def _wait_until(self, end: float) -> None:
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(min(POLL, max(0.0, end - time.monotonic())))

    async def _finish(self, end: float) -> None:
        """Wait until all connections are closed: idle ones after their grace, others with their answer."""
        idle_until = min(self._stopped_at + IDLE_GRACE, end)
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            if time.monotonic() >= idle_until:
                for connection in self.admission.idle:
                    connection.close_idle()
            await asyncio.sleep(POLL)

    async def _cancel(self, end: float) -> None:
        """End the requests that are left; their clients get an error."""
        tasks = set(self.server_state.tasks)
        if tasks:
            log.error("%d requests did not finish in time; they get 503", len(tasks))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=max(POLL, end - time.monotonic()))
        for connection in self._connections():
            connection.transport.close()
        await asyncio.sleep(0)
