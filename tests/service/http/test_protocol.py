"""The head of a request: too large, too slow, offering another protocol."""

import json
import socket
from collections.abc import Callable

import httpx
import pytest

from service.http.protocol import BoundedHttpProtocol
from tests.service.conftest import TRANSLATE, Service
from tests.service.fakes import PATIENCE, EchoEngine, HeldEngine
from tests.service.http.test_request_log import connect, exchange, request

JAVA = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
BODY = json.dumps(TRANSLATE).encode()
HEAD = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"


class Impatient(BoundedHttpProtocol):
    head_seconds = 0.05


@pytest.fixture
def impatient(pretend: Callable[..., Service]) -> Service:
    return pretend(EchoEngine(), connection=Impatient)


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def answer(connection: socket.socket) -> bytes:
    """One answer, whose connection stays open."""
    found = connection.recv(65_536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + body


def test_the_body_of_a_request_that_offers_another_protocol_is_read(service: Service) -> None:
    with connect(service) as connection:
        for _ in range(2):  # the second on the same connection
            connection.sendall((HEAD + "\r\n".join(JAVA) + "\r\n\r\n").encode() + BODY)
            found = answer(connection)
            assert found.startswith(b"HTTP/1.1 200")
            assert b'"translations"' in found


def test_a_body_that_reads_like_a_head_is_left_alone(service: Service) -> None:
    body = b"a\r\nUpgrade: h2c\r\n\r\nUpgrade: x"
    headers = ("Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *JAVA[1:])
    found = exchange(service, request("/v1/translate", *headers, body=body))
    assert found.startswith(b"HTTP/1.1 422")


def test_a_handshake_of_websockets_is_a_request_like_others(service: Service) -> None:
    handshake = ("Host: x", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    assert exchange(service, request("/v1/models", *handshake, method="GET")).startswith(b"HTTP/1.1 200")


def test_a_head_that_does_not_end_in_time(impatient: Service) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        found = rest(connection)
    assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert found.endswith(b"The head of the request took more than 0.05 s.")


def test_a_later_head_on_the_same_connection_has_the_same_time(impatient: Service) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 408")


def test_a_connection_on_which_nothing_is_asked_is_closed(impatient: Service) -> None:
    with connect(impatient) as connection:
        assert rest(connection) == b""


def test_an_answer_may_take_longer_than_a_head(pretend: Callable[..., Service]) -> None:
    """Even when the next request has begun on its connection."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = pretend(engine, connection=Impatient)
    with connect(service) as connection, connect(service) as other:
        connection.sendall(HEAD.encode() + b"\r\n" + BODY + b"GET /healthz HTTP/1.1\r\n")
        engine.wait_for_step(2)
        assert rest(other) == b""  # takes the time
        engine.allow(100)
        assert answer(connection).startswith(b"HTTP/1.1 200")
        assert b"200" not in rest(connection)  # the other was never asked to its end


def test_a_head_of_endless_lines_is_cut_off(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X: x\r\n" * 11_000)
        found = rest(connection)
    assert found.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert found.endswith(b"The head of the request is above 65536 bytes.")


def test_a_head_within_the_limit_may_come_in_pieces(service: Service) -> None:
    with connect(service) as connection:
        for piece in ("GET /healthz HTTP/1.1\r\n", *(f"X-{i}: {'x' * 6000}\r\n" for i in range(10)), "Host: x\r\n\r\n"):
            connection.sendall(piece.encode())
        assert answer(connection).startswith(b"HTTP/1.1 200")


def test_many_requests_on_one_connection_do_not_add_up(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=PATIENCE, headers={"X-Long": "x" * 10_000}, verify=False) as client:
        assert {client.get("/healthz").status_code for _ in range(20)} == {200}


class Dripping(BoundedHttpProtocol):
    """Whatever comes, comes byte by byte."""

    def data_received(self, data: bytes) -> None:
        for byte in data:
            super().data_received(bytes([byte]))


def test_an_offer_and_the_end_of_a_head_may_come_in_pieces(pretend: Callable[..., Service]) -> None:
    service = pretend(EchoEngine(), connection=Dripping)
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall((HEAD + "\r\n".join(JAVA) + "\r\n\r\n").encode() + BODY)
            assert answer(connection).startswith(b"HTTP/1.1 200")
