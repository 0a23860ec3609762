"""Responses as they are written: HTTP/1.0, fixed headers, and what an application does wrong."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from service.app import ERROR_FORMATS
from service.http.admission import Admission, AdmissionLimits
from service.http.connection import AdmissionProtocol
from service.http.response_cycle import ReadControl, Transmission
from service.http.server import Server
from service.metrics import Metrics
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, eventually
from tests.service.fakes import TIMEOUT, EchoEngine
from tests.service.http.test_protocol import read_response, read_until_closed
from tests.service.http.test_request_log import connect, exchange, request

GET = b"GET /healthz HTTP/1.0\r\n%b\r\n"
KEEP = b"Connection: keep-alive\r\n"
STREAM = json.dumps(TRANSLATE | {"stream": True}).encode()


def head(received: bytes) -> bytes:
    return received.partition(b"\r\n\r\n")[0].lower()


def test_http_1_0_connection_is_closed_by_default(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(GET % b"")
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close" in head(received)
    assert b"\r\ntransfer-encoding" not in head(received)


def test_http_1_0_connection_is_kept_if_the_client_asks(service: Service) -> None:
    with connect(service) as connection:
        for _ in range(3):
            connection.sendall(GET % KEEP)
            received = read_response(connection)
            assert received.startswith(b"HTTP/1.1 200")
            assert b"\r\nconnection: keep-alive" in head(received)
        connection.sendall(GET % b"")
        assert b"\r\nconnection: close" in head(read_until_closed(connection))


def test_http_1_0_stream_ends_with_the_connection(service: Service) -> None:
    start = b"POST /v1/translate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(STREAM)
    with connect(service) as connection:
        connection.sendall(start + KEEP + b"\r\n" + STREAM)
        received = read_until_closed(connection)
    assert b"\r\nconnection: close" in head(received)
    assert b"\r\ntransfer-encoding" not in head(received)
    assert b"event: done" in received.partition(b"\r\n\r\n")[2]


def test_http_1_1_connection_is_closed_if_the_client_asks(service: Service) -> None:
    assert b"\r\nconnection: close" in head(exchange(service, request("/healthz", "Host: x", method="GET")))


@pytest.mark.parametrize(
    "raw",
    [
        request("/healthz", "Host: x", method="GET"),
        request("/v1/models", "Host: x", method="HEAD"),
        request("/v1/translate", "Host: x", method="OPTIONS"),
        request("/nothing", "Host: x"),
        request("/v1/translate", "Host: x", "Content-Length: 999999999999"),
        request("/v1/translate", "Host: x", "Content-Length: 2", body=b"{}"),
        request("/healthz", "Host: x", "X: " + "x" * 70_000, method="GET"),
        b"nonsense\r\n\r\n",
    ],
    ids=["200", "HEAD", "204", "404", "413", "415", "431", "400"],
)
def test_every_response_has_the_security_headers_once(service: Service, raw: bytes) -> None:
    lines = head(exchange(service, raw)).split(b"\r\n")
    for name in (b"x-content-type-options: nosniff", b"referrer-policy: no-referrer"):
        assert lines.count(name) == 1
    policies = [line for line in lines if line.startswith(b"content-security-policy: ")]
    assert policies == [b"content-security-policy: default-src 'none'; frame-ancestors 'none'"]
    assert not [line for line in lines if line.startswith(b"server:")]


def test_request_counts_from_its_first_byte(serve_fake: Callable[..., Service]) -> None:
    """As the client sees it: while its head and its body arrive, and while an earlier request is answered."""
    service = serve_fake(EchoEngine())
    body = json.dumps(TRANSLATE).encode()
    whole = request("/v1/translate", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
    with connect(service) as connection:
        for part in (whole[:10], whole[10:], body):
            connection.sendall(part)
            time.sleep(0.1)
        assert read_until_closed(connection).startswith(b"HTTP/1.1 200")
    assert service.sample("request_seconds_sum", route="/v1/translate") > 0.15  # from the end of the head: 0.1


# An application that breaks the rules

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def start_with(*headers: tuple[bytes, bytes]) -> Message:
    return START | {"headers": list(headers)}


def body_of(body: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


FOUR = start_with((b"content-length", b"4"))
RESPONSES: dict[str, list[Message]] = {
    "/good": [FOUR, body_of(b"good")],
    "/chunked": [START, body_of(b"goo", more=True), body_of(b"d")],
    "/empty": [START | {"status": 204}, body_of(b"")],
    "/closing": [start_with((b"content-length", b"4"), (b"connection", b"close")), body_of(b"good")],
    "/long": [FOUR, body_of(b"goodbye")],
    "/short": [FOUR, body_of(b"goo")],
    "/line-end": [start_with((b"x-header", b"a\r\nx-injected: b")), body_of(b"good")],
    "/name": [start_with((b"x header", b"a")), body_of(b"good")],
    "/body-first": [body_of(b"good")],
    "/two-starts": [FOUR, FOUR],
    "/after-the-end": [FOUR, body_of(b"good"), body_of(b"more")],
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    for message in RESPONSES[scope["path"]]:
        await send(message)


@pytest.fixture(scope="module")
def rough() -> Iterator[Service]:
    """The server with an application of its own."""
    metrics = Metrics()
    admission = Admission(AdmissionLimits(10, 10), metrics, ERROR_FORMATS)
    config = uvicorn.Config(
        app, port=0, http=AdmissionProtocol, log_config=None, lifespan="off", ws="none", server_header=False
    )
    server = Server(config, admission, 0, 5)
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    service = Service(Settings(), None, metrics)  # type: ignore[arg-type]  # it has no models
    service.url = f"http://127.0.0.1:{server.listeners[0].getsockname()[1]}"
    yield service
    server.should_exit = True
    thread.join(TIMEOUT)


def get(service: Service, path: str, method: str = "GET") -> bytes:
    with connect(service) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.shutdown(1)
        return read_until_closed(connection)


def test_length_or_chunks_end_a_response(rough: Service) -> None:
    assert get(rough, "/good").endswith(b"content-length: 4\r\ncontent-security-policy: default-src 'none'; "
                                        b"frame-ancestors 'none'\r\n\r\ngood")  # fmt: skip
    assert get(rough, "/chunked").endswith(b"transfer-encoding: chunked\r\n\r\n3\r\ngoo\r\n1\r\nd\r\n0\r\n\r\n")
    assert b"transfer-encoding" not in get(rough, "/empty")
    assert get(rough, "/chunked", "HEAD").endswith(b"\r\n\r\n")


def test_application_may_close_the_connection(rough: Service) -> None:
    with connect(rough) as connection:
        connection.sendall(b"GET /closing HTTP/1.1\r\nHost: x\r\n\r\n")
        received = read_until_closed(connection)
    assert head(received).count(b"connection: close") == 1


@pytest.mark.parametrize("path", ["/long", "/short", "/line-end", "/name", "/two-starts"])
def test_wrong_response_ends_the_connection(rough: Service, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client must not take the rest for the answer to its next request."""
    with connect(rough) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2)
        received = read_until_closed(connection)
    assert received.count(b"HTTP/1.1") <= 1
    assert b"x-injected" not in received
    assert b"bye" not in received
    assert "Exception in ASGI application" in caplog.text


def test_response_without_a_start_is_an_error(rough: Service, caplog: pytest.LogCaptureFixture) -> None:
    assert get(rough, "/body-first").startswith(b"HTTP/1.1 500")
    assert "expected the start of a response" in caplog.text


def test_messages_after_the_end_are_dropped(rough: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    assert get(rough, "/after-the-end").endswith(b"\r\n\r\ngood")
    assert "after the end of the response" in caplog.text


def test_listener_hears_of_a_client_that_goes_and_of_one_that_has_gone() -> None:
    heard: list[str] = []
    transmission = Transmission(ReadControl(asyncio.Transport()))
    transmission.on_client_gone(lambda: heard.append("first"))
    transmission.on_client_gone(None)
    transmission.on_client_gone(lambda: heard.append("second"))
    assert heard == []
    transmission.end()
    assert heard == ["second"]
    transmission.on_client_gone(lambda: heard.append("late"))
    assert heard == ["second", "late"]
    assert transmission.client_gone
