"""Admission: requests above the limit are refused from their head, probes are answered, idle connections make room."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine
from tests.service.http.test_protocol import BODY, HEAD, read_response, read_until_closed
from tests.service.http.test_request_log import connect

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
REQUEST = HEAD.encode() + b"\r\n" + BODY


@contextmanager
def filled(serve_fake: Callable[..., Service], **settings: object) -> Iterator[Service]:
    """Serve with two requests in flight, the most allowed; at the end they are answered."""
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, max_requests=2, **settings)
    with ThreadPoolExecutor(2) as pool:
        answers: list[Future[httpx.Response]] = [pool.submit(service.post, "/v1/translate", TRANSLATE) for _ in "ab"]
        eventually(lambda: service.sample("requests_in_flight") == 2)
        yield service
        engine.allow(1000)
        assert [answer.result(TIMEOUT).status_code for answer in answers] == [200, 200]


@pytest.fixture
def full(serve_fake: Callable[..., Service]) -> Iterator[Service]:
    """A service with two requests in flight, the most allowed."""
    with filled(serve_fake) as service:
        yield service


def test_request_above_the_limit_is_refused_with_retry_after(full: Service) -> None:
    before = full.sample("refused_requests_total", reason="requests")
    response = full.post("/v1/translate", TRANSLATE, headers={"X-Request-ID": "mine"})
    problem = assert_problem(response, 503, "overloaded")
    assert "2 requests are in flight" in problem["detail"]
    assert problem["request_id"] == "mine"
    assert response.headers["retry-after"] == "1"
    assert response.headers["date"]
    assert full.sample("refused_requests_total", reason="requests") == before + 1


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/translate", 503, {"error"}),
        ("/v2/translate", 503, {"message"}),
        ("/predict", 429, {"error", "error_type"}),
        ("/classify", 429, {"error"}),
        ("/v2/models/langid/infer", 503, {"error"}),
        ("/nothing", 503, {"type", "title", "status", "detail", "code", "request_id"}),
    ],
)
def test_refusal_has_the_form_of_the_dialect(full: Service, path: str, status: int, body: set[str]) -> None:
    response = full.post(path, {})
    assert response.status_code == status
    assert response.headers["retry-after"] == "1"
    assert set(response.json()) == body


ORIGIN = "https://page.example"


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (f"https://other.example,{ORIGIN}", ORIGIN, ORIGIN),
        (ORIGIN, "https://evil.example", None),
        (ORIGIN, None, None),
        ("*", ORIGIN, "*"),
        ("", ORIGIN, None),
    ],
)
def test_page_of_an_allowed_origin_may_read_the_refusal(
    serve_fake: Callable[..., Service], origins: str, origin: str | None, allowed: str | None
) -> None:
    with filled(serve_fake, cors_origins=origins) as service:
        sent = {} if origin is None else {"Origin": origin}
        response = service.post("/v1/translate", TRANSLATE, headers=sent)
        assert_problem(response, 503, "overloaded")
        assert response.headers.get("access-control-allow-origin") == allowed
        if allowed is not None:
            assert response.headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
        depends = origin is not None and ORIGIN in origins
        assert response.headers.get("vary") == ("Origin" if depends else None)


def test_preflight_is_answered_when_full(serve_fake: Callable[..., Service]) -> None:
    """Without it the browser would not send the request, and the page could not read the refusal."""
    with filled(serve_fake, cors_origins=ORIGIN) as service:
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        response = service.client.options("/v1/translate", headers=preflight)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, ORIGIN)


def test_probes_are_answered_when_full(full: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/health", "/v2/health/live", "/v2/health/ready"):
        assert full.client.get(path).status_code == 200
    assert "attendant_requests_in_flight 3.0" in full.client.get("/metrics").text  # with this one


def test_refused_connection_is_kept(full: Service) -> None:
    with connect(full) as connection:
        connection.sendall(GET)  # a new connection would be refused before it is made
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        for _ in range(3):
            connection.sendall(REQUEST)
            assert read_response(connection).startswith(b"HTTP/1.1 503")
        connection.sendall(REQUEST + GET)
        received = read_response(connection)
        assert received.startswith(b"HTTP/1.1 503")
        if b"alive" not in received:
            assert b"alive" in read_response(connection)


@pytest.mark.parametrize("header", ["Content-Length: 900000", "Transfer-Encoding: chunked"])
def test_large_body_is_refused_before_it_is_sent(full: Service, header: str) -> None:
    with connect(full) as connection:
        connection.sendall(
            f"POST /v1/translate HTTP/1.1\r\nHost: x\r\n{header}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 503")
    assert b"\r\nconnection: close\r\n" in received


def test_client_that_sends_its_whole_body_first_reads_the_refusal(full: Service) -> None:
    response = full.client.post("/v1/translate", content=b" " * 900_000)
    assert_problem(response, 503, "overloaded")
    assert response.headers["connection"] == "close"


def test_refusal_of_head_has_no_body(full: Service) -> None:
    with connect(full) as connection:
        connection.sendall(b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_until_closed(connection).endswith(b"\r\n\r\n")


def test_slow_bodies_are_not_in_flight(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), max_requests=2)
    slow = [connect(service) for _ in range(5)]
    for count, connection in enumerate(slow, 1):
        connection.sendall(HEAD.encode() + b"\r\n" + BODY[:-1])
        eventually(lambda count=count: service.sample("slow_requests") == count)  # type: ignore[misc]
    assert service.post("/v1/translate", TRANSLATE).status_code == 200
    for connection in slow:
        connection.sendall(BODY[-1:])
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        connection.close()
    eventually(lambda: service.sample("requests_in_flight") == 0)


def test_longest_idle_connection_makes_room(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), max_connections=3)
    connections = [connect(service) for _ in range(3)]
    for connection in connections:
        connection.sendall(GET)
        assert read_response(connection).startswith(b"HTTP/1.1 200")
    connections[0].sendall(GET)  # now the second one has been idle longest
    assert read_response(connections[0]).startswith(b"HTTP/1.1 200")
    with connect(service) as newcomer:
        newcomer.sendall(GET)
        assert read_response(newcomer).startswith(b"HTTP/1.1 200")
    assert connections[1].recv(1) == b""
    connections[0].sendall(GET)
    assert read_response(connections[0]).startswith(b"HTTP/1.1 200")
    for connection in connections:
        connection.close()


def test_new_connection_is_not_closed_before_its_first_request(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), max_connections=3)
    connections = [connect(service) for _ in range(5)]
    for connection in connections[:3]:
        connection.sendall(REQUEST)
        assert read_response(connection).startswith(b"HTTP/1.1 200")
    connections[4].sendall(REQUEST)  # an answered one is closed for it
    assert read_response(connections[4]).startswith(b"HTTP/1.1 200")
    eventually(lambda: service.sample("open_connections") == 3)
    for connection in connections:
        connection.close()


def test_connection_above_the_limit_is_refused_when_none_is_idle(serve_fake: Callable[..., Service]) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, max_connections=2)
    busy: list[socket.socket] = [connect(service) for _ in range(2)]
    for connection in busy:
        connection.sendall(REQUEST)
    engine.wait_for_step(2)
    eventually(lambda: service.sample("requests_in_flight") == 2)
    with connect(service) as newcomer:
        newcomer.sendall(REQUEST)
        received = read_until_closed(newcomer)
    assert received.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 1\r\n" in received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "overloaded"
    engine.allow(1000)
    for connection in busy:
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        connection.close()
