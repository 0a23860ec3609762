"""HEAD, OPTIONS and the Allow header, on every route of every dialect."""

from typing import Any

import pytest

from service.http.start_page import ASSETS
from tests.service.conftest import Service, assert_problem
from tests.service.http.test_request_log import exchange, request

# Values of the parameters in paths.
PARAMETERS = {
    "{model}": "toy-translator", "{version}": "1", "{document_id}": "0" * 32, "{filename}": "x.txt", "{region}": "x",
    "{name}": "toy-translator", "{glossary_id}": "96ab91fd-e715-41a1-adeb-5d701f84a483",
}  # fmt: skip
HIDDEN = {
    "/": {"get", "post"}, "/docs": {"get"}, "/docs/start.js": {"get"}, "/openapi.json": {"get"}, "/v2/": {"get"},
    "/v2/systemsharedmemory/status": {"get"}, "/v2/cudasharedmemory/unregister": {"post"},
    "/embed": {"post"}, "/embeddings": {"post"},
    **dict.fromkeys(ASSETS, {"get"}),
}  # fmt: skip
CHANGING = {b"date", b"x-request-id", b"content-length", b"etag"}  # the length of /metrics, for one


def path_methods(service: Service) -> dict[str, set[str]]:
    """Return the methods of every path, documented or not, with values for its parameters."""
    found: dict[str, set[str]] = dict(HIDDEN)
    paths: dict[str, dict[str, Any]] = service.client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for name, value in PARAMETERS.items():
            path = path.replace(name, value)
        assert "{" not in path
        found[path] = set(operations)
    return found


def head_and_body(service: Service, method: str, path: str) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Return status line, headers and body, all that the server sends."""
    head, _, body = exchange(service, request(path, "Host: x", method=method)).partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.lower().split(b": ", 1) for line in lines), body


def test_head_is_answered_as_get_without_a_body(service: Service) -> None:
    paths = [path for path, methods in path_methods(service).items() if "get" in methods]
    assert len(paths) > 20
    for path in paths:
        status, headers, body = head_and_body(service, "GET", path)
        head_status, head_headers, head_body = head_and_body(service, "HEAD", path)
        assert head_status == status, path
        assert head_headers.keys() == headers.keys(), path
        assert {name for name in headers if headers[name] != head_headers[name]} <= CHANGING, path
        assert int(head_headers[b"content-length"]) > 0 or not body, path
        assert head_body == b"", path


def test_options_names_the_methods_of_every_path(service: Service) -> None:
    for path, methods in path_methods(service).items():
        response = service.client.options(path)
        assert (response.status_code, response.content) == (204, b""), path
        expected = {method.upper() for method in methods} | {"OPTIONS"} | ({"HEAD"} if "get" in methods else set())
        assert response.headers["allow"] == ", ".join(sorted(expected)), path


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused_with_the_right_ones(service: Service, method: str) -> None:
    refused = 0
    for path in path_methods(service):
        allow = service.client.options(path).headers["allow"]
        if method not in allow.split(", "):
            response = service.client.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, allow), path
            refused += 1
    assert refused > 10


def test_refusal_has_the_form_of_the_dialect(service: Service) -> None:
    assert_problem(service.client.get("/v1/translate"), 405, "method_not_allowed")
    assert service.client.get("/v2/translate").json().keys() == {"message"}
    assert service.client.put("/translate").json().keys() == {"error"}


def test_options_of_the_server_as_a_whole(service: Service) -> None:
    received = exchange(service, request("*", "Host: x", method="OPTIONS"))
    assert received.startswith(b"HTTP/1.1 204")
    assert b"\r\nallow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n" in received


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_unknown_path_stays_unknown(service: Service, method: str) -> None:
    assert service.client.request(method, "/nothing").status_code == 404


def test_methods_are_counted_by_route(service: Service) -> None:
    labels: dict[str, str] = {"route": "/v2/models/{model}", "method": "HEAD", "status": "200"}
    before = service.sample("requests_total", **labels)
    assert service.client.head("/v2/models/toy-translator").status_code == 200
    assert service.sample("requests_total", **labels) == before + 1
    labels = {"route": "/v1/translate", "method": "OPTIONS", "status": "204"}
    before = service.sample("requests_total", **labels)
    assert service.client.options("/v1/translate").status_code == 204
    assert service.sample("requests_total", **labels) == before + 1


def test_documents_of_deepl_have_post_alone(service: Service) -> None:
    """A GET would have the document's key in the URL, where logs keep it."""
    for path in ("/v2/document/" + "0" * 32, "/v2/document/" + "0" * 32 + "/result"):
        response = service.client.get(path, params={"document_key": "x"})
        assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")
