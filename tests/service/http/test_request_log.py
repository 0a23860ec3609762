"""The outermost layers: large, slow and broken bodies, strange headers, faults that nobody else answers."""

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
from service.http.api_keys import Keys
from service.http.auth import Authenticator
from service.http.body_limit import Door
from service.http.rate_limit import RateLimiter
from service.http.request_log import RequestLogMiddleware
from service.metrics import Metrics
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import PATIENCE, EchoEngine, HeldEngine

MEGABYTE = b"x" * 2**20


def exchange(service: Service, request: bytes) -> bytes:
    """Send bytes as they are; everything that comes back until the server closes."""
    with connect(service) as connection:
        connection.sendall(request)
        found = b""
        while chunk := connection.recv(65_536):
            found += chunk
    return found


def connect(service: Service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port), timeout=10)


def request(path: str, *headers: str, method: str = "POST", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_above_the_limit_is_heard_out_and_refused(service: Service, chunked: bool) -> None:
    content: Any = iter([MEGABYTE] * 10) if chunked else MEGABYTE * 10
    response = service.client.post("/v1/translate", content=content, headers={"Content-Type": "application/json"})
    detail = assert_problem(response, 413, "too_large")["detail"]
    assert "above 1000000 bytes" in detail
    assert response.headers["connection"] == "close"
    assert service.post("/v1/translate", TRANSLATE).status_code == 200


def test_a_body_just_within_the_limit_is_read(service: Service) -> None:
    body = b'{"text": "dog", "target": "b"}'
    assert service.client.post("/v1/translate", content=body.ljust(1_000_000)).status_code == 422  # no content type
    headers = {"Content-Type": "application/json"}
    assert service.client.post("/v1/translate", content=body.ljust(1_000_000), headers=headers).status_code == 200
    assert service.client.post("/v1/translate", content=body.ljust(1_000_001), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [["Content-Length: 999999999999"], ["Content-Length: 2000000", "Expect: 100-continue"]],
    ids=["beyond all reason", "asks first"],
)
def test_a_body_that_would_be_refused_is_not_asked_for(service: Service, headers: list[str]) -> None:
    found = exchange(service, request("/v1/translate", "Host: x", *headers))
    assert found.startswith(b"HTTP/1.1 413")


def test_a_caller_who_leaves_in_the_middle_of_the_body(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def gone() -> float:
        return service.sample("requests_total", route="unmatched", method="POST", status="499")

    before = gone()
    with connect(service) as connection:
        connection.sendall(request("/v1/translate", "Host: x", "Content-Length: 500", body=b'{"text": "do'))
    eventually(lambda: gone() > before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_does_not_arrive_in_time_is_not_waited_for(pretend: Callable[..., Service], chunked: bool) -> None:
    service = pretend(EchoEngine(), body_timeout_seconds=0.05)
    header, part = ("Transfer-Encoding: chunked", b"3\r\nabc\r\n") if chunked else ("Content-Length: 500", b"abc")
    found = exchange(service, request("/v1/translate", "Host: x", header, body=part))
    assert found.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in found.lower()
    assert b"3 bytes of the body came within 0.05 s" in found
    assert b'"slow_body"' in found
    assert service.sample("requests_total", route="unmatched", method="POST", status="408") == 1


def test_a_slow_body_above_the_limit_is_too_large(pretend: Callable[..., Service]) -> None:
    service = pretend(EchoEngine(), body_timeout_seconds=0.05, max_body_bytes=2)
    found = exchange(service, request("/v1/translate", "Host: x", "Content-Length: 5", body=b"abc"))
    assert found.startswith(b"HTTP/1.1 413")


def test_an_answer_may_take_longer_than_the_body(pretend: Callable[..., Service]) -> None:
    """The deadline is that of the body alone; a caller who has sent it all waits as long as the answer takes."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = pretend(engine, body_timeout_seconds=0.05)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(service.post, "/v1/translate", TRANSLATE)
        engine.wait_for_step(2)
        exchange(service, request("/v1/translate", "Host: x", "Content-Length: 5"))  # takes the deadline's time
        assert not answer.done()
        engine.allow(100)
        assert answer.result(PATIENCE).status_code == 200


@pytest.mark.parametrize("host", ["[::1", "", "a b", "x:99999", "\xff"])
def test_a_strange_host_makes_no_difference(service: Service, host: str) -> None:
    found = exchange(service, request("/nothing", f"Host: {host}", method="GET"))
    assert found.startswith(b"HTTP/1.1 404")
    assert b"application/problem+json" in found


@pytest.mark.parametrize("path", ["/%ff%00%0d%0aX-Evil:1", "//x/../v1", "/v1/translate%00", "*", "/?" + "q" * 9000])
def test_strange_paths(service: Service, path: str) -> None:
    found = exchange(service, request(path, "Host: x", method="DELETE"))
    assert found.split(b" ")[1] in {b"404", b"405"}
    assert b"\r\nX-Evil" not in found
    assert len(found) < 2000


def test_what_is_no_http_leaves_the_service_standing(service: Service) -> None:
    assert exchange(service, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert service.client.get("/readyz").status_code == 200


def test_a_request_id_that_is_no_ascii_is_replaced(service: Service) -> None:
    found = exchange(service, request("/healthz", "Host: x", "X-Request-ID: \xe9\xe8", method="GET"))
    assert b"x-request-id: " in found
    assert b"\xe9" not in found


def layers(app: Any) -> RequestLogMiddleware:
    """What lies around the application, around this one."""
    door = Door(app, Settings(max_body_bytes=100_000), Authenticator(Keys(), RateLimiter()), ERROR_FORMATS)
    return RequestLogMiddleware(door, Metrics(), ERROR_FORMATS)


def ask(app: Any, chunks: Iterable[bytes] = (b"",)) -> list[Message]:
    """A request straight to an Edge, without a server; the messages of its answer."""
    sent: list[Message] = []
    left = iter(chunks)

    async def receive() -> Message:
        chunk = next(left, None)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(layers(app)(scope, receive, send))
    return sent


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_no_more_than_the_limit_is_held() -> None:
    tracemalloc.start()
    try:
        sent = ask(echo, (b"x" * (10_000 + i % 2) for i in range(10_000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent[0]["status"] == 413
    assert peak < 1_000_000


def test_many_small_chunks_become_one_body() -> None:
    assert ask(echo, [b"ab", b"c", b"d", b""])[1]["body"] == b"abcd"


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("secret")


async def broken_later(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("secret")


def test_an_unforeseen_fault_is_a_problem_that_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    start, body = ask(broken)
    assert start["status"] == 500
    identity = dict(start["headers"])[b"x-request-id"]
    assert b'"internal"' in body["body"]
    assert identity in body["body"]
    assert b"secret" not in body["body"]
    assert f"request {identity.decode()} failed" in caplog.text


def test_an_answer_that_began_is_not_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    assert [message["type"] for message in ask(broken_later)] == ["http.response.start"]
    assert "failed" in caplog.text


def test_other_protocols_pass_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(layers(app)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]


def test_a_departure_is_not_confused_with_what_comes_before_it() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def wait() -> None:
        await wait_for_disconnect(Request({"type": "http"}, receive))()

    asyncio.run(wait())
    assert list(messages) == []
