"""Plain requests are recognised without a parser; whatever is unusual is left to the parser."""

import pytest

from service.http.plain_request import MAX_HEAD, read_plain_request

BODY = b'{"text": "x"}'


def request(*lines: bytes, start: bytes = b"POST /v1/translate?a=b HTTP/1.1", body: bytes = BODY) -> bytes:
    return b"\r\n".join([start, b"Host: x", *lines, b"", b""]) + body


LENGTH = b"Content-Length: %d" % len(BODY)


@pytest.mark.parametrize(
    ("lines", "request_id", "keep_alive"),
    [
        ([LENGTH], None, True),
        ([LENGTH.lower(), b"Connection: keep-alive"], None, True),
        ([LENGTH, b"Connection: Close"], None, False),
        ([LENGTH, b"X-Request-Id: Mine-1"], b"Mine-1", True),
        ([LENGTH, b"X-Request-Id: not valid"], None, True),
    ],
)
def test_plain_request_is_recognised(lines: list[bytes], request_id: bytes | None, keep_alive: bool) -> None:
    assert read_plain_request(request(*lines)) == ("/v1/translate", request_id, keep_alive)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request(LENGTH)[:-1],
        request(LENGTH) + b"x",
        request(LENGTH, start=b"GET /v1/models HTTP/1.1"),
        request(LENGTH, start=b"POST /v1/translate HTTP/1.0"),
        request(LENGTH, start=b"POST  /v1/translate HTTP/1.1"),
        request(LENGTH, start=b"POST /v1/translate"),
        request(),
        request(LENGTH, LENGTH),
        request(b"Content-Length : 13"),
        request(b"Content-Length: +13"),
        request(b"Content-Length: 13, 13"),
        request(b" " + LENGTH),
        request(LENGTH, b"Transfer-Encoding: chunked"),
        request(LENGTH, b"X: a\nTransfer-Encoding: chunked"),
        request(LENGTH, b"Expect: 100-continue"),
        request(LENGTH, b"Connection: Upgrade", b"Upgrade: h2c"),
        request(LENGTH, b"Connection: close, te"),
        request(LENGTH, b"Connection: keep-alive", b"Connection: close"),
        request(LENGTH, b"X: " + b"x" * MAX_HEAD),
    ],
)
def test_unusual_request_is_left_to_the_parser(data: bytes) -> None:
    assert read_plain_request(data) is None
