"""The connection between the service and its engine process: how it is opened, and how messages are framed.

A message is its length (4 bytes, big endian) and its pickle. Only these two processes hold the connection, so it
carries no foreign data to unpickle.

On POSIX systems the engine process inherits one end of a socket pair. Elsewhere (Windows) it connects to a loopback
port of the service, and authenticates itself with a random token that it reads from its standard input.
"""

import asyncio
import hmac
import os
import pickle
import secrets
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from service.engine.types import EngineFailure

CAN_INHERIT = os.name == "posix"  # whether a process can pass a socket to its child by descriptor
LENGTH = struct.Struct("!I")
LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 32
POLL_SECONDS = 0.1  # between two checks whether a process that should connect is still running
TOKEN_TIMEOUT = 1.0  # seconds for a connection to send its token


def encode(message: object) -> bytes:
    """Return a message as it is sent."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


class MessageChannel:
    """One end of the connection, blocking. Several threads may send; one may receive."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._sending = connection, threading.Lock()

    def send(self, message: object) -> None:
        """Send a message; do nothing if the other process has closed the connection."""
        data = encode(message)
        with suppress(ConnectionError), self._sending:
            self._socket.sendall(data)

    def receive(self) -> Any:
        """Wait for the next message; None if the other process has closed the connection."""
        try:
            [length] = LENGTH.unpack(receive_exactly(self._socket, LENGTH.size))
            return pickle.loads(receive_exactly(self._socket, length))
        except (EOFError, ConnectionError):
            return None


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """Receive this many bytes.

    Raises:
        EOFError: the connection was closed before.
    """
    data = bytearray()
    while len(data) < size:
        if not (chunk := connection.recv(size - len(data))):
            raise EOFError
        data += chunk
    return data


class MessageProtocol(asyncio.Protocol):
    """The event loop's end of the connection.

    asyncio's streams would be shorter, but resume a coroutine twice per message: in a ping-pong of messages with one
    event each they take 21 % more CPU time of the event loop's thread, 141 instead of 117 microseconds.
    """

    def __init__(self, on_message: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_message, self._on_lost = on_message, on_lost
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        start = 0
        while len(self._received) >= (body := start + LENGTH.size):
            end = body + LENGTH.unpack_from(self._received, start)[0]
            if len(self._received) < end:
                break
            self._on_message(pickle.loads(self._received[body:end]))
            start = end
        del self._received[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self._on_lost()


def start_process(
    command: Sequence[str], environment: Mapping[str, str], inherit: bool
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a process that calls `open_connection` with its last argument; return it and the connection to it.

    The process inherits the connection, or connects to a loopback port if it cannot `inherit` one.

    Raises:
        EngineFailure: the process ended before it connected.
    """
    if not inherit:
        return _start_connecting(command, environment)
    near, far = socket.socketpair()
    with far:
        descriptor = far.fileno()
        process = subprocess.Popen([*command, f"fd:{descriptor}"], env=environment, pass_fds=[descriptor])
    return process, near


def _start_connecting(
    command: Sequence[str], environment: Mapping[str, str]
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    token = secrets.token_bytes(TOKEN_BYTES)
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(POLL_SECONDS)
        port = listener.getsockname()[1]
        process = subprocess.Popen([*command, f"tcp:{port}"], env=environment, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with suppress(OSError), process.stdin as stdin:
            stdin.write(token)
        while process.poll() is None:
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                if _authenticate(connection, token):
                    return process, connection
                connection.close()
    raise EngineFailure(f"the engine process ended at once, with status {process.returncode}")


def _authenticate(connection: socket.socket, token: bytes) -> bool:
    """Return whether the other end sends the token; other local programs may connect, too."""
    connection.settimeout(TOKEN_TIMEOUT)
    try:
        received = receive_exactly(connection, len(token))
    except (EOFError, OSError):
        return False
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return hmac.compare_digest(received, token)


def open_connection(address: str) -> socket.socket:
    """Open the engine process's end of the connection: "fd:DESCRIPTOR", or "tcp:PORT" with a token on stdin."""
    kind, _, value = address.partition(":")
    if kind == "fd":
        return socket.socket(fileno=int(value))
    connection = socket.create_connection((LOOPBACK, int(value)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(sys.stdin.buffer.read(TOKEN_BYTES))
    return connection
