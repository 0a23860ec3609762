"""The head of a request: too large, too slow, or with an Upgrade header."""

import json
import socket
from collections.abc import Callable

import httpx
import pytest

from service.http.protocol import BoundedHttpProtocol
from tests.service.conftest import TRANSLATE, Service
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine
from tests.service.http.test_request_log import connect, exchange, request

JAVA_HEADERS = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
BODY = json.dumps(TRANSLATE).encode()
HEAD = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"


class ShortHeadTimeout(BoundedHttpProtocol):
    head_seconds = 0.05


@pytest.fixture
def short_timeout(serve_fake: Callable[..., Service]) -> Service:
    return serve_fake(EchoEngine(), connection=ShortHeadTimeout)


def read_until_closed(connection: socket.socket) -> bytes:
    """Return all data until the server closes the connection."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def read_response(connection: socket.socket) -> bytes:
    """Return one response; the connection stays open."""
    received = connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + body


def test_body_of_an_upgrade_request_is_read(service: Service) -> None:
    with connect(service) as connection:
        for _ in range(2):  # twice on the same connection
            connection.sendall((HEAD + "\r\n".join(JAVA_HEADERS) + "\r\n\r\n").encode() + BODY)
            received = read_response(connection)
            assert received.startswith(b"HTTP/1.1 200")
            assert b'"translations"' in received


def test_body_that_looks_like_a_head_is_not_changed(service: Service) -> None:
    body = b"a\r\nUpgrade: h2c\r\n\r\nUpgrade: x"
    headers = ("Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *JAVA_HEADERS[1:])
    received = exchange(service, request("/v1/translate", *headers, body=body))
    assert received.startswith(b"HTTP/1.1 422")


def test_websocket_handshake_is_an_ordinary_request(service: Service) -> None:
    handshake = ("Host: x", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    assert exchange(service, request("/v1/models", *handshake, method="GET")).startswith(b"HTTP/1.1 200")


def test_slow_head_is_rejected(short_timeout: Service) -> None:
    with connect(short_timeout) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert received.endswith(b"The head of the request took more than 0.05 s.")


def test_slow_second_head_is_rejected(short_timeout: Service) -> None:
    with connect(short_timeout) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert read_until_closed(connection).startswith(b"HTTP/1.1 408")


def test_connection_without_a_request_is_closed(short_timeout: Service) -> None:
    with connect(short_timeout) as connection:
        assert read_until_closed(connection) == b""


def test_head_timeout_does_not_limit_the_response(serve_fake: Callable[..., Service]) -> None:
    """Not even when the next request has begun on the connection."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, connection=ShortHeadTimeout)
    with connect(service) as connection, connect(service) as other:
        connection.sendall(HEAD.encode() + b"\r\n" + BODY + b"GET /healthz HTTP/1.1\r\n")
        engine.wait_for_step(2)
        assert read_until_closed(other) == b""  # waits for the timeout
        engine.allow(100)
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        assert b"200" not in read_until_closed(connection)  # the second request never ended


def test_too_large_head_is_rejected(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X: x\r\n" * 11_000)
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert received.endswith(b"The head of the request is above 65536 bytes.")


def test_head_within_the_limit_may_arrive_in_pieces(service: Service) -> None:
    with connect(service) as connection:
        for piece in ("GET /healthz HTTP/1.1\r\n", *(f"X-{i}: {'x' * 6000}\r\n" for i in range(10)), "Host: x\r\n\r\n"):
            connection.sendall(piece.encode())
        assert read_response(connection).startswith(b"HTTP/1.1 200")


def test_head_limit_is_per_request_not_per_connection(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, headers={"X-Long": "x" * 10_000}, verify=False) as client:
        assert {client.get("/healthz").status_code for _ in range(20)} == {200}


class ByteByByte(BoundedHttpProtocol):
    """Split all received data into single bytes."""

    def data_received(self, data: bytes) -> None:
        for byte in data:
            super().data_received(bytes([byte]))


def test_upgrade_header_may_arrive_byte_by_byte(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), connection=ByteByByte)
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall((HEAD + "\r\n".join(JAVA_HEADERS) + "\r\n\r\n").encode() + BODY)
            assert read_response(connection).startswith(b"HTTP/1.1 200")
