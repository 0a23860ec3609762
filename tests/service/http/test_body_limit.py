"""Uploads: their larger limit is for callers whose key is in the head, which is checked before the body is read."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.http.api_keys import make_api_key
from tests.service.conftest import Service
from tests.service.fakes import TIMEOUT, EchoEngine

KEY, ENTRY = make_api_key("alice")
LIMIT, UPLOAD_LIMIT = 1000, 100_000
DEEPL, LIBRETRANSLATE = "/v2/document", "/translate_file"
HEADER = {"X-API-Key": KEY}


@pytest.fixture
def secured(serve_fake: Callable[..., Service]) -> Service:
    """A service with an API key and small limits."""
    return serve_fake(EchoEngine(), keys=ENTRY, max_body_bytes=LIMIT, max_document_bytes=UPLOAD_LIMIT)


def upload(service: Service, path: str, size: int, **options: Any) -> httpx.Response:
    fields = {"target_lang": "b"} if path == DEEPL else {"source": "a", "target": "b"}
    files = {"file": ("a.txt", b"12 " * (size // 3))}
    return service.client.post(path, data=fields | options.pop("fields", {}), files=files, **options)


@pytest.mark.parametrize("path", [DEEPL, LIBRETRANSLATE])
def test_a_key_in_a_header_allows_a_large_document(secured: Service, path: str) -> None:
    assert upload(secured, path, 50 * LIMIT, headers=HEADER).status_code == 200


def test_a_key_in_the_query_string_allows_a_large_document(secured: Service) -> None:
    assert upload(secured, LIBRETRANSLATE, 50 * LIMIT, params={"api_key": KEY}).status_code == 200


def test_a_key_in_the_form_allows_a_document_within_the_limit_of_other_bodies(secured: Service) -> None:
    assert upload(secured, LIBRETRANSLATE, LIMIT // 3, fields={"api_key": KEY}).status_code == 200
    response = upload(secured, LIBRETRANSLATE, 50 * LIMIT, fields={"api_key": KEY})
    assert response.status_code == 413
    assert f"above {LIMIT} bytes; send the API key in a header, which allows 1" in response.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "alice.x"}], ids=["no key", "an unknown key"])
def test_a_large_document_without_a_valid_key_is_refused_as_such(secured: Service, headers: dict[str, str]) -> None:
    response = upload(secured, DEEPL, 5 * LIMIT, headers=headers)
    assert response.status_code == 403
    assert "API key" in response.json()["message"]
    assert "connection" not in response.headers  # the body was read and discarded
    assert upload(secured, DEEPL, LIMIT // 3, headers=headers).status_code == 403


@pytest.mark.parametrize(("path", "status"), [(DEEPL, b"403"), ("/v1/translate", b"401")])
def test_a_body_is_not_requested_without_a_valid_key(secured: Service, path: str, status: bytes) -> None:
    address = urlsplit(secured.url)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), TIMEOUT) as connection:
        connection.sendall(head.encode())
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in received.lower()
    assert b"100 Continue" not in received
