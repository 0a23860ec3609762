"""New connections while the service is full: what has arrived with them is refused on the bare socket."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvicorn

from service.app import ERROR_FORMATS
from service.http.acceptor import Acceptor
from service.http.admission import Admission, AdmissionLimits
from service.http.connection import AdmissionProtocol, AdmissionState
from service.http.server import listen
from service.metrics import Metrics
from tests.service.fakes import TIMEOUT
from tests.service.http.test_admission import GET, REQUEST
from tests.service.http.test_protocol import read_until_closed


async def application(
    scope: object, receive: Callable[[], Awaitable[object]], send: Callable[..., Awaitable[None]]
) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    [bound] = listen("127.0.0.1", 0)
    with bound:
        bound.listen()
        yield bound


def exchange(listener: socket.socket, requests: list[bytes], limit: int, later: bytes = b"") -> list[bytes]:
    """Send a request on each new connection, then accept them all; return what each client reads until the end.

    `later` is sent on every connection after it has been accepted.
    """
    clients = [socket.create_connection(listener.getsockname(), timeout=TIMEOUT) for _ in requests]
    for client, request in zip(clients, requests, strict=True):
        client.sendall(request)

    def read(client: socket.socket) -> bytes:
        with client:
            if later:
                client.sendall(later)
            return read_until_closed(client)

    async def serve() -> list[bytes]:
        admission = Admission(AdmissionLimits(limit, 100), Metrics(), ERROR_FORMATS)
        config = uvicorn.Config(application, http=AdmissionProtocol, ws="none", log_config=None)
        config.load()
        acceptor = Acceptor(config, AdmissionState(admission), {})
        acceptor.start(listener)
        received = await asyncio.gather(*(asyncio.to_thread(read, client) for client in clients))
        await acceptor.stop()
        return received

    return asyncio.run(serve())


def test_complete_request_is_refused_and_its_connection_closed(listener: socket.socket) -> None:
    for received in exchange(listener, [REQUEST] * 100, limit=0):
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"\r\nconnection: close" in head
        assert b"\r\nretry-after: 1\r\n" in head
        problem = json.loads(body)
        assert problem["code"] == "overloaded"
        assert b"x-request-id: " + problem["request_id"].encode() in head


def test_probe_is_answered(listener: socket.socket) -> None:
    probe = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    [received] = exchange(listener, [probe], limit=0)
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("split", [0, 10, len(REQUEST) - 1])
def test_request_that_arrives_in_pieces_is_refused_too(listener: socket.socket, split: int) -> None:
    request = REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    [received] = exchange(listener, [request[:split]], limit=0, later=request[split:])
    assert received.startswith(b"HTTP/1.1 503")


def test_as_many_connections_as_there_is_room_are_served(listener: socket.socket) -> None:
    request = REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    received = exchange(listener, [request] * 10, limit=3)
    assert sum(one.startswith(b"HTTP/1.1 200") for one in received) >= 3
    assert all(one.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")) for one in received)


def test_client_that_has_gone_is_forgotten(listener: socket.socket) -> None:
    gone = socket.create_connection(listener.getsockname(), timeout=TIMEOUT)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gone.close()  # with a reset
    [received] = exchange(listener, [REQUEST], limit=0)
    assert received.startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(("limit", "waits"), [(0, True), (10, False)])
def test_connections_that_come_after_a_refusal_are_accepted_together(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, limit: int, waits: bool
) -> None:
    monkeypatch.setattr("service.http.acceptor.REFUSAL_PAUSE", 1.0)

    def answered(client: socket.socket, request: bytes) -> tuple[bytes, float]:
        started = time.monotonic()
        with client:
            client.sendall(request)
            return read_until_closed(client), time.monotonic() - started

    async def serve() -> list[tuple[bytes, float]]:
        admission = Admission(AdmissionLimits(limit, 100), Metrics(), ERROR_FORMATS)
        config = uvicorn.Config(application, http=AdmissionProtocol, ws="none", log_config=None)
        config.load()
        acceptor = Acceptor(config, AdmissionState(admission), {})
        request = REQUEST.replace(b"Host", b"Connection: close\r\nHost")
        received = []
        for number in range(2):
            # The second connects after the turn of the event loop that refused the first: within it, both would be
            # refused together.
            client = socket.create_connection(listener.getsockname(), timeout=TIMEOUT)
            task = asyncio.create_task(asyncio.to_thread(answered, client, request))
            if number == 0:
                acceptor.start(listener)
            received.append(await task)
        await acceptor.stop()
        return received

    received = asyncio.run(serve())
    status = b"HTTP/1.1 503" if waits else b"HTTP/1.1 200"
    assert all(answer.startswith(status) for answer, _ in received)
    assert (received[1][1] >= 0.5) is waits  # of the pause of a second
