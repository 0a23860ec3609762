"""Requests and clients that the protocol limits: heads, trailers, pipelining, answers that nobody reads."""

import asyncio
import gc
import json
import logging
import socket
import time
import weakref
from collections.abc import Callable
from typing import ClassVar

import httpx
import pytest

from service.http.connection import AdmissionProtocol
from tests.service.conftest import TRANSLATE, Service, eventually
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine
from tests.service.http.test_request_log import connect, exchange, request

JAVA_HEADERS = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
BODY = json.dumps(TRANSLATE).encode()
HEAD = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"


class ShortHeadTimeout(AdmissionProtocol):
    head_seconds = 0.05

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive = 1  # second; it ends a head that has begun during a response


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


def test_slashes_at_the_start_of_a_path_are_one(service: Service) -> None:
    """As a client sends them whose base URL ends with a slash; keys and limits apply to the same path."""
    for path in ("//healthz", "///v1/models"):
        assert exchange(service, request(path, "Host: x", method="GET")).startswith(b"HTTP/1.1 200")


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
    assert received.endswith(b"The head of the request is above 65536 bytes; send fewer or shorter header fields.")


def test_head_within_the_limit_may_arrive_in_pieces(service: Service) -> None:
    with connect(service) as connection:
        for piece in ("GET /healthz HTTP/1.1\r\n", *(f"X-{i}: {'x' * 6000}\r\n" for i in range(10)), "Host: x\r\n\r\n"):
            connection.sendall(piece.encode())
        assert read_response(connection).startswith(b"HTTP/1.1 200")


def test_head_limit_is_per_request_not_per_connection(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, headers={"X-Long": "x" * 10_000}, verify=False) as client:
        assert {client.get("/healthz").status_code for _ in range(20)} == {200}


LIMIT = AdmissionProtocol.head_bytes
CHUNKED = (
    b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
)
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
GOOD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def address(service: Service) -> tuple[str, int]:
    url = httpx.URL(service.url)
    return url.host, url.port or 80


def head_of(size: int) -> bytes:
    """Return the head of a request, of this many bytes."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "
    return head + b"x" * (size - len(head) - 4) + b"\r\n\r\n"


def statuses(received: bytes) -> list[bytes]:
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 70_000, 120_000, 1_000_000])
def test_head_limit_holds_for_a_head_in_one_packet(service: Service, size: int) -> None:
    with connect(service) as connection:
        connection.sendall(head_of(size) + GOOD.replace(b"Host", b"Connection: close\r\nHost"))
        assert statuses(read_until_closed(connection)) == ([b"200", b"200"] if size <= LIMIT else [b"431"])


@pytest.mark.parametrize("line", [b"X: %b\r\n" % (b"x" * 1000), b"x" * 1000], ids=["many lines", "one line"])
def test_client_that_goes_on_with_a_too_large_head_can_read_the_response(service: Service, line: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        for _ in range(2000):
            connection.sendall(line)  # raises if the connection was closed or reset
        assert statuses(read_until_closed(connection)) == [b"431"]


@pytest.mark.parametrize(
    "part",
    [b"X-Trailer: %b\r\n" % (b"x" * 100), b"X" * 1000, b"x:\r\n"],
    ids=["many lines", "one line", "short lines"],
)
def test_trailers_are_limited(service: Service, part: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(CHUNKED + CHUNK + b"0\r\n")
        for _ in range(3_000_000 // len(part) // 100):
            connection.sendall(part * 100)
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 431")
    assert f"What is not body of the request is above {LIMIT} bytes".encode() in received


def test_chunk_extensions_are_limited(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(CHUNKED + b"1;" + b"x" * 1_000_000)
        assert statuses(read_until_closed(connection)) == [b"431"]


def test_trailers_within_the_limit_are_dropped(service: Service) -> None:
    """They are not added to the headers, where a key or a host would count."""
    trailers = b"Host: y\r\nX-API-Key: k\r\nX-Long: %b\r\n" % (b"x" * 60_000)
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall(CHUNKED + CHUNK + b"0\r\n" + trailers + b"\r\n")
            assert read_response(connection).startswith(b"HTTP/1.1 200")


def test_body_in_many_small_chunks_is_within_the_limits(service: Service) -> None:
    body = json.dumps(TRANSLATE).encode().ljust(200_000)
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in body)  # 2 MB
    with connect(service) as connection:
        connection.sendall(CHUNKED + chunks + b"0\r\n\r\n")
        assert read_response(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01 hello\r\n\r\n", head_of(70_000), CHUNKED + b"zz\r\n"])
def test_good_requests_before_a_bad_one_are_answered(service: Service, garbage: bytes) -> None:
    request = HEAD.encode() + b"\r\n" + BODY
    with connect(service) as connection:
        connection.sendall(GOOD + request + GOOD + request + garbage)
        received = read_until_closed(connection)
    last = b"431" if len(garbage) > LIMIT else b"400"
    assert statuses(received) == [b"200"] * 4 + [last]
    assert received.count(b'"translations"') == 2


def test_bad_body_of_the_request_that_is_answered_ends_it(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(CHUNKED + b"zz\r\n" + GOOD)
        received = read_until_closed(connection)
    assert statuses(received) == [b"400"]
    assert b"Invalid character in chunk size" in received


def test_bad_body_is_not_asked_for(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The request is rejected before the application, which would ask for its body, has begun with it."""
    labels = {"route": "unmatched", "method": "POST", "status": "499"}
    before = service.sample("requests_total", **labels)
    with connect(service) as connection:
        connection.sendall(CHUNKED.replace(b"Host", b"Expect: 100-continue\r\nHost") + b"zz\r\n")
        assert statuses(read_until_closed(connection)) == [b"400"]
    eventually(lambda: service.sample("requests_total", **labels) == before + 1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_many_pipelined_requests_are_answered_in_order(service: Service) -> None:
    bad = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(service) as connection:
        connection.sendall((GOOD * 9 + bad) * 50 + GOOD.replace(b"Host", b"Connection: close\r\nHost"))
        assert statuses(read_until_closed(connection)) == [*([b"200"] * 9 + [b"404"]) * 50, b"200"]


class CountingProtocol(AdmissionProtocol):
    largest_pipeline = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        CountingProtocol.largest_pipeline = max(CountingProtocol.largest_pipeline, len(self.pipeline))


def test_requests_that_wait_for_a_response_are_bounded(serve_fake: Callable[..., Service]) -> None:
    """A request costs a hundred times its bytes once it is parsed."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, connection=CountingProtocol)
    with connect(service) as connection:
        connection.sendall(HEAD.encode() + b"\r\n" + BODY + GOOD * 1000)
        engine.wait_for_step(2)
        assert 0 < CountingProtocol.largest_pipeline < 200
        engine.allow(100)
        connection.sendall(GOOD.replace(b"Host", b"Connection: close\r\nHost"))
        assert statuses(read_until_closed(connection)) == [b"200"] * 1002
    assert CountingProtocol.largest_pipeline < 200


def test_pipelined_offers_of_another_protocol_are_declined(service: Service) -> None:
    offer = GOOD.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost")
    with connect(service) as connection:
        connection.sendall(GOOD + offer + GOOD + (HEAD + "\r\n".join(JAVA_HEADERS) + "\r\n\r\n").encode() + BODY)
        received = read_until_closed(connection)
    assert statuses(received) == [b"200"] * 3 + [b"400"]
    assert b"a pipelined request may not offer another protocol and have a body" in received


class KnownProtocol(AdmissionProtocol):
    known: ClassVar[list["weakref.ref[AdmissionProtocol]"]] = []

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.known.append(weakref.ref(self))


def test_a_connection_is_freed_without_a_garbage_collection(
    serve_fake: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collections of what a thousand connections left behind stopped the service for 50 ms at a time."""
    monkeypatch.setattr("service.http.garbage_collection.IdleCollector.on_idle", lambda _: None)
    service = serve_fake(EchoEngine(), connection=KnownProtocol)
    gc.disable()
    try:
        for _ in range(5):
            with connect(service) as connection:
                connection.sendall(GOOD.replace(b"Host", b"Connection: close\r\nHost"))
                assert statuses(read_until_closed(connection)) == [b"200"]
        eventually(lambda: len(KnownProtocol.known) == 5 and not any(one() for one in KnownProtocol.known))
    finally:
        gc.enable()


class ShortSendTimeout(AdmissionProtocol):
    send_seconds = 0.2

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


@pytest.mark.parametrize("close", [False, True], ids=["kept", "closed"])
def test_client_that_does_not_read_is_disconnected(
    serve_fake: Callable[..., Service], caplog: pytest.LogCaptureFixture, close: bool
) -> None:
    """Whether the application waits to write more, or has written all and closed the connection."""
    caplog.set_level(logging.WARNING, "attendant.http")
    service = serve_fake(EchoEngine(), connection=ShortSendTimeout)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"Connection: close\r\n" if close else b"")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address(service))
        connection.sendall(request * (1 if close else 40))
        eventually(lambda: "it has read nothing for 0.2 s" in caplog.text)
    assert service.client.get("/healthz").status_code == 200


def test_slow_reader_is_not_disconnected(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), connection=ShortSendTimeout)
    expected = service.client.get("/openapi.json").content
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address(service))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
            time.sleep(0.02)  # in all, several times the limit
    assert received.endswith(expected)


class ByteByByte(AdmissionProtocol):
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
