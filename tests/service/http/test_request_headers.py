"""Headers that HTTP requires once, and those that the service needs."""

import json

import pytest

from tests.service.conftest import TRANSLATE, Service
from tests.service.http.test_request_log import connect, exchange, request

BODY = json.dumps(TRANSLATE).encode()
LENGTH, TYPE = f"Content-Length: {len(BODY)}", "Content-Type: application/json"


def post(service: Service, *headers: str, version: str = "1.1") -> bytes:
    """Send a good body with these headers and return the response."""
    raw = request("/v1/translate", *headers, LENGTH, body=BODY)
    return exchange(service, raw.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1))


@pytest.mark.parametrize("host", ["x", "x:80", "127.0.0.1:8000", "[::1]:80", "a_b.example", "", "xn--a%20b"])
def test_one_host_is_right(service: Service, host: str) -> None:
    assert post(service, f"Host: {host}", TYPE).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ((), "no Host header; HTTP/1.1 needs one"),
        (("Host: x", "Host: x"), "2 Host headers; send one"),
        (("Host: x", "Host: y", "Host: z"), "3 Host headers; send one"),
        (("Host: a b",), "which is no host and port"),
        (("Host: x/y",), "which is no host and port"),
        (("Host: user@x",), "which is no host and port"),
        (("Host: x, y",), "which is no host and port"),
        (("Host: \xe4",), "which is no host and port"),
    ],
    ids=["none", "twice", "three", "blank", "path", "user", "list", "not ASCII"],
)
@pytest.mark.parametrize("path", ["/v1/translate", "/translate", "/v2/models", "/nothing"])
def test_other_hosts_are_rejected(service: Service, path: str, headers: tuple[str, ...], message: str) -> None:
    received = exchange(service, request(path, *headers, method="GET"))
    assert received.startswith(b"HTTP/1.1 400")
    assert message.encode() in received


def test_http_1_0_needs_no_host(service: Service) -> None:
    assert post(service, TYPE, version="1.0").startswith(b"HTTP/1.1 200")
    assert b" 400 " in post(service, "Host: x", "Host: y", TYPE, version="1.0").partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer a.b", "X-API-Key: a.b", TYPE, "Content-Encoding: identity",
     "Inference-Header-Content-Length: 1"],
)  # fmt: skip
def test_header_that_a_proxy_may_read_otherwise_is_accepted_once(service: Service, header: str) -> None:
    headers = ("Host: x",) if header == TYPE else ("Host: x", TYPE)
    assert post(service, *headers, header).startswith(b"HTTP/1.1 200")
    received = post(service, *headers, header, header.replace(": ", ":  "))
    assert received.startswith(b"HTTP/1.1 400")
    assert f"2 {header.partition(':')[0]} headers; send one".lower().encode() in received.lower()


def test_other_headers_may_be_repeated(service: Service) -> None:
    assert post(service, "Host: x", TYPE, "X-Other: 1", "X-Other: 2", "Accept: a", "Accept: b").startswith(
        b"HTTP/1.1 200"
    )


@pytest.mark.parametrize("expect", ["200-ok", "100-continue, 200-ok", "100-continue;x", ""])
def test_unknown_expectation_is_rejected(service: Service, expect: str) -> None:
    received = post(service, "Host: x", TYPE, f"Expect: {expect}")
    assert received.startswith(b"HTTP/1.1 417")
    assert b"only 100-continue is known" in received
    assert post(service, "Host: x", TYPE, f"Expect: {expect}", version="1.0").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_body_is_requested_if_it_is_expected(service: Service, expect: str) -> None:
    with connect(service) as connection:
        connection.sendall(request("/v1/translate", "Host: x", TYPE, LENGTH, f"Expect: {expect}"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_http_1_0_client_is_not_told_to_continue(service: Service) -> None:
    received = post(service, TYPE, "Expect: 100-continue", version="1.0")
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/v1/translate", "/v1/classify", "/v1/score", "/predict", "/classify"])
def test_json_without_its_content_type_is_rejected(service: Service, path: str) -> None:
    response = service.client.post(path, content=b"{}")
    assert "content-type" not in response.request.headers
    assert response.status_code == 415
    assert "Content-Type is missing; send application/json" in response.text


@pytest.mark.parametrize("path", ["/translate", "/detect", "/v2/translate"])
def test_dialects_with_forms_need_a_content_type_too(service: Service, path: str) -> None:
    response = service.client.post(path, content=b"{}")
    assert response.status_code == 415
    assert "Content-Type is missing; send application/json or a form" in response.text
