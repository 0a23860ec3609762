"""Accept connections. Under overload, refuse the request of a new connection before anything is made for it.

A connection with its transport, protocol and task costs as much as a few refusals. When the service is full, and the
request of a new connection has arrived completely, it is therefore answered on the bare socket.
"""

import asyncio
import errno
import logging
import socket
import time
from functools import partial

import uvicorn

from service.http.admission import PROBES, REQUESTS, Admission
from service.http.connection import AdmissionProtocol, AdmissionState, refusal_end
from service.http.plain_request import MAX_PLAIN, read_plain_request

log = logging.getLogger("attendant")

ACCEPTED_AT_ONCE = 64  # connections, before the event loop handles what they have sent
PAUSE = 0.02  # seconds without accepting when the process has no file descriptor left
# Seconds without accepting when the service is full. Connections that come meanwhile are refused together: each on its
# own would take the core from the engine, and its weights from the core's cache.
REFUSAL_PAUSE = 0.008
REPORT_SECONDS = 10.0  # between two lines of the log about that
# The response waits for `close`, and both travel in one packet, where a system has this: a third less of the kernel's
# work.
WITH_CLOSE = getattr(socket, "MSG_MORE", 0)
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts the connections of some listeners, which must not block.

    It accepts them itself, because uvloop resets connections without a word when the process has no file descriptor
    left.
    """

    def __init__(self, config: uvicorn.Config, state: AdmissionState, app_state: dict[str, object]) -> None:
        self._config, self._state, self._app_state = config, state, app_state
        self._admission: Admission = state.admission
        self._loop = asyncio.get_running_loop()
        self._listeners: list[socket.socket] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._reported = -REPORT_SECONDS  # time.monotonic() of the last line about file descriptors

    def start(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self._listeners.append(listener)
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    async def stop(self) -> None:
        """Close the listeners; serve every connection that the kernel has accepted already."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._loop.remove_reader(listener.fileno())
            while self._accept_one(listener):
                pass
            listener.close()
        await asyncio.gather(*self._connecting)

    def _accept(self, listener: socket.socket) -> None:
        room = self._admission.room  # those accepted now count only when their requests have been read
        for i in range(ACCEPTED_AT_ONCE):
            if not self._accept_one(listener, i >= room):
                break
        if i >= room:
            self._pause(listener, REFUSAL_PAUSE)

    def _accept_one(self, listener: socket.socket, full: bool = False) -> bool:
        """Accept a connection; return whether there may be another one."""
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            return self._on_error(listener, error)
        connection.setblocking(False)
        data = self._refuse(connection) if full else b""
        if data is not None:
            task = self._loop.create_task(self._serve(connection, data))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return True

    def _on_error(self, listener: socket.socket, error: OSError) -> bool:
        if error.errno not in OUT_OF_RESOURCES:
            return True  # the client has gone
        if time.monotonic() > self._reported + REPORT_SECONDS:
            self._reported = time.monotonic()
            log.error("cannot accept connections: %s; they wait. Raise the limit of open files", error.strerror)
        self._pause(listener, PAUSE)
        return False

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        """Accept no connections for a while; the kernel keeps them."""
        if listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            self._loop.call_later(seconds, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _refuse(self, connection: socket.socket) -> bytes | None:
        """Refuse the request that has arrived, and close; return what has arrived if that takes a parser."""
        try:
            data = connection.recv(MAX_PLAIN)
        except BlockingIOError:
            return b""
        except OSError:  # the client has gone
            connection.close()
            return None
        request = read_plain_request(data)
        if request is None or request.path in PROBES:
            return data
        head, body = self._admission.refuse(REQUESTS, request.path, request.request_id)
        try:
            connection.send(head + refusal_end(True) + body, WITH_CLOSE)
        except OSError as error:
            log.debug("could not send a refusal: %s", error)
        connection.close()
        return None

    async def _serve(self, connection: socket.socket, data: bytes) -> None:
        try:
            await self._loop.connect_accepted_socket(partial(self._protocol, data), connection)
        except OSError:  # the client has gone
            connection.close()

    def _protocol(self, data: bytes) -> AdmissionProtocol:
        protocol: AdmissionProtocol = self._config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self._config, server_state=self._state, app_state=self._app_state
        )
        protocol.received_before = data
        return protocol
