"""The outer middleware: large, slow and incomplete bodies, strange headers, unexpected exceptions."""

import asyncio
import logging
import socket
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from service.api.shared import wait_for_disconnect
from service.app import ERROR_FORMATS
from service.http.api_keys import ApiKeys
from service.http.auth import Authenticator, AuthMiddleware
from service.http.body_limit import BodyLimitMiddleware
from service.http.rate_limit import RateLimiter
from service.http.request_log import RequestLogMiddleware
from service.metrics import Metrics
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine

MEGABYTE = b"x" * 2**20


def exchange(service: Service, request: bytes) -> bytes:
    """Send raw bytes and return all data until the server closes the connection."""
    with connect(service) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def connect(service: Service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port), timeout=10)


def request(path: str, *headers: str, method: str = "POST", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_too_large_body_is_read_and_rejected(service: Service, chunked: bool) -> None:
    content: Any = iter([MEGABYTE] * 10) if chunked else MEGABYTE * 10
    response = service.client.post("/v1/translate", content=content, headers={"Content-Type": "application/json"})
    detail = assert_problem(response, 413, "too_large")["detail"]
    assert "above 1000000 bytes" in detail
    assert response.headers["connection"] == "close"
    assert service.post("/v1/translate", TRANSLATE).status_code == 200


def test_body_just_within_the_limit_is_read(service: Service) -> None:
    body = b'{"text": "dog", "target": "b"}'
    assert service.client.post("/v1/translate", content=body.ljust(1_000_000)).status_code == 415  # no content type
    headers = {"Content-Type": "application/json"}
    assert service.client.post("/v1/translate", content=body.ljust(1_000_000), headers=headers).status_code == 200
    assert service.client.post("/v1/translate", content=body.ljust(1_000_001), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [["Content-Length: 999999999999"], ["Content-Length: 2000000", "Expect: 100-continue"]],
    ids=["far too large", "expect"],
)
def test_too_large_body_is_not_requested(service: Service, headers: list[str]) -> None:
    received = exchange(service, request("/v1/translate", "Host: x", *headers))
    assert received.startswith(b"HTTP/1.1 413")


def test_disconnect_in_the_body_is_counted_as_499(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def disconnected() -> float:
        return service.sample("requests_total", route="unmatched", method="POST", status="499")

    before = disconnected()
    with connect(service) as connection:
        connection.sendall(request("/v1/translate", "Host: x", "Content-Length: 500", body=b'{"text": "do'))
    eventually(lambda: disconnected() > before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_slow_body_is_rejected(serve_fake: Callable[..., Service], chunked: bool) -> None:
    service = serve_fake(EchoEngine(), body_timeout_seconds=0.05)
    header, part = ("Transfer-Encoding: chunked", b"3\r\nabc\r\n") if chunked else ("Content-Length: 500", b"abc")
    received = exchange(service, request("/v1/translate", "Host: x", header, body=part))
    assert received.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in received.lower()
    assert b"only 3 bytes of the body arrived within 0.05 s" in received
    assert b'"slow_body"' in received
    assert service.sample("requests_total", route="unmatched", method="POST", status="408") == 1


def test_slow_body_above_the_limit_is_too_large(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), body_timeout_seconds=0.05, max_body_bytes=2)
    received = exchange(service, request("/v1/translate", "Host: x", "Content-Length: 5", body=b"abc"))
    assert received.startswith(b"HTTP/1.1 413")


def test_body_timeout_does_not_limit_the_response(serve_fake: Callable[..., Service]) -> None:
    """The timeout is for the body alone; once it has arrived, the response may take longer."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, body_timeout_seconds=0.05)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(service.post, "/v1/translate", TRANSLATE)
        engine.wait_for_step(2)
        exchange(service, request("/v1/translate", "Host: x", "Content-Length: 5"))  # waits for the timeout
        assert not answer.done()
        engine.allow(100)
        assert answer.result(TIMEOUT).status_code == 200


@pytest.mark.parametrize("host", ["[::1", "", "a_b", "x:99999"])
def test_strange_host_header_is_ignored(service: Service, host: str) -> None:
    received = exchange(service, request("/nothing", f"Host: {host}", method="GET"))
    assert received.startswith(b"HTTP/1.1 404")
    assert b"application/problem+json" in received


@pytest.mark.parametrize("path", ["/%ff%00%0d%0aX-Evil:1", "//x/../v1", "/v1/translate%00", "*", "/?" + "q" * 9000])
def test_strange_paths_get_a_short_error(service: Service, path: str) -> None:
    received = exchange(service, request(path, "Host: x", method="DELETE"))
    assert received.split(b" ")[1] in {b"404", b"405"}
    assert b"\r\nX-Evil" not in received
    assert len(received) < 2000


def test_service_survives_data_that_is_not_http(service: Service) -> None:
    assert exchange(service, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert service.client.get("/readyz").status_code == 200


def test_request_id_that_is_not_ascii_is_replaced(service: Service) -> None:
    received = exchange(service, request("/healthz", "Host: x", "X-Request-ID: \xe9\xe8", method="GET"))
    assert b"x-request-id: " in received
    assert b"\xe9" not in received


def with_middleware(app: Any) -> RequestLogMiddleware:
    """Wrap an application in the middleware of the service."""
    authenticated = AuthMiddleware(app, Authenticator(ApiKeys(), RateLimiter()), ERROR_FORMATS)
    limited = BodyLimitMiddleware(authenticated, 100_000, 30.0, ERROR_FORMATS)
    return RequestLogMiddleware(limited, Metrics(), ERROR_FORMATS)


def send_request(app: Any, chunks: Iterable[bytes] = (b"",)) -> list[Message]:
    """Send a request to an application in the middleware, without a server; return the messages of the response."""
    sent: list[Message] = []
    left = iter(chunks)

    async def receive() -> Message:
        chunk = next(left, None)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/translate", "headers": []}
    asyncio.run(with_middleware(app)(scope, receive, send))
    return sent


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_memory_of_a_body_is_bounded() -> None:
    tracemalloc.start()
    try:
        sent = send_request(echo, (b"x" * (10_000 + i % 2) for i in range(10_000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent[0]["status"] == 413
    assert peak < 1_000_000


def test_chunks_become_one_body() -> None:
    assert send_request(echo, [b"ab", b"c", b"d", b""])[1]["body"] == b"abcd"


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("secret")


async def broken_later(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("secret")


def test_unexpected_exception_is_reported_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    start, body = send_request(broken)
    assert start["status"] == 500
    request_id = dict(start["headers"])[b"x-request-id"]
    assert b'"internal"' in body["body"]
    assert request_id in body["body"]
    assert b"secret" not in body["body"]
    assert f"request {request_id.decode()} failed" in caplog.text


def test_exception_after_the_response_began_sends_no_second_response(caplog: pytest.LogCaptureFixture) -> None:
    assert [message["type"] for message in send_request(broken_later)] == ["http.response.start"]
    assert "failed" in caplog.text


def test_other_asgi_protocols_pass_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(with_middleware(app)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]


def test_wait_for_disconnect_ignores_other_messages() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def wait() -> None:
        await wait_for_disconnect(Request({"type": "http"}, receive))()

    asyncio.run(wait())
    assert list(messages) == []
