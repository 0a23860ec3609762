"""Compressed request bodies: within the limits of size, or refused with the reason."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from service.errors import InvalidRequest
from service.http.content_coding import Decompressor
from tests.service.conftest import TRANSLATE, Service, assert_problem
from tests.service.http.test_protocol import CHUNKED, read_response
from tests.service.http.test_request_log import connect

BODY = json.dumps(TRANSLATE).encode()
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "x-gzip": gzip.compress, "GZIP": gzip.compress,
    "deflate": zlib.compress, "identity": bytes, "": bytes,
}  # fmt: skip
LIMIT = 1_000_000


def headers(coding: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Content-Encoding": coding}


@pytest.mark.parametrize("coding", CODINGS)
def test_compressed_body_is_read(service: Service, coding: str) -> None:
    response = service.client.post("/v1/translate", content=CODINGS[coding](BODY), headers=headers(coding))
    assert response.status_code == 200
    assert response.json()["translations"] == service.post("/v1/translate", TRANSLATE).json()["translations"]


def test_compressed_body_may_arrive_byte_by_byte(service: Service) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in gzip.compress(BODY))
    with connect(service) as connection:
        head = CHUNKED.replace(b"Host: x", b"Host: x\r\nContent-Encoding: gzip")
        connection.sendall(head + chunks + b"0\r\n\r\n")
        assert read_response(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_limit_holds_for_the_decompressed_body(service: Service, coding: str) -> None:
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        content = CODINGS[coding](BODY.ljust(size))
        response = service.client.post("/v1/translate", content=content, headers=headers(coding))
        assert response.status_code == status
    problem = assert_problem(response, 413, "too_large")
    assert "the body is above 1000000 bytes when decompressed" in problem["detail"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bomb_is_never_decompressed(service: Service, coding: str) -> None:
    bomb = CODINGS[coding](bytes(200_000_000))  # 200 kB
    response = service.client.post("/v1/translate", content=bomb, headers=headers(coding))
    assert "when decompressed" in assert_problem(response, 413, "too_large")["detail"]


def test_decompressor_returns_no_more_than_it_is_asked_for() -> None:
    assert len(Decompressor("gzip").decompress(gzip.compress(bytes(10_000_000)), 1000)) == 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(BODY)[:-9], "ends too early"),
        (gzip.compress(BODY)[:5], "ends too early"),
        (gzip.compress(BODY) + b"x", "data follows the end"),
        (gzip.compress(BODY) + gzip.compress(BODY), "data follows the end"),
        (BODY, "not valid gzip"),
        (zlib.compress(BODY), "not valid gzip"),
        (gzip.compress(BODY)[:-8] + bytes(8), "not valid gzip"),  # a wrong checksum
    ],
    ids=["no end", "head alone", "garbage after it", "two streams", "plain", "another coding", "checksum"],
)
def test_broken_compression_is_rejected(service: Service, content: bytes, message: str) -> None:
    response = service.client.post("/v1/translate", content=content, headers=headers("gzip"))
    assert message in assert_problem(response, 422, "invalid_request")["detail"]


def test_empty_body_needs_no_compression(service: Service) -> None:
    """A client may send the header with every request."""
    response = service.client.post("/v1/translate", content=b"", headers=headers("gzip"))
    assert "send JSON in UTF-8" in assert_problem(response, 422, "invalid_request")["detail"]
    assert service.client.get("/healthz", headers={"Content-Encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "gzip;q=1", "x" * 500, "g\xe9zip"])
@pytest.mark.parametrize("path", ["/v1/translate", "/translate", "/v2/translate", "/predict", "/classify", "/nothing"])
def test_other_codings_are_rejected_by_name(service: Service, path: str, coding: str) -> None:
    response = service.client.post(path, content=BODY, headers={b"Content-Encoding": coding.encode("latin-1")})
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert ascii(coding)[1:40].replace("'", "").replace("\\", "\\\\") in response.text
    assert "send gzip or deflate" in response.text


def test_error_names_the_coding() -> None:
    with pytest.raises(InvalidRequest, match="not valid deflate"):
        Decompressor("deflate").decompress(b"nothing of the kind", 100)
