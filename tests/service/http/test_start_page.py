"""The files of the page at `/`: its security policy, its size, its setting. tests/service/page has its behaviour."""

import re
from collections.abc import Callable
from urllib.parse import urljoin

import pytest

from service.http.start_page import ASSETS, FOLDER
from tests.service.conftest import Service
from tests.service.fakes import EchoEngine
from tests.service.http.test_docs_page import Page

MAX_BYTES = 150_000


def test_page_loads_only_its_own_files_and_has_no_inline_code(service: Service) -> None:
    response = service.client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert not page.forbidden
    assert {"icon", "stylesheet", "script", "modulepreload"} == set(page.loaded.values())
    for reference in page.loaded:
        url = urljoin(str(response.url), reference)
        assert url.removeprefix(service.url) in ASSETS, reference


def test_no_file_names_another_host_or_writes_html() -> None:
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        found = re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not found, file.name


def test_files_are_small_together() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= MAX_BYTES


@pytest.mark.parametrize("path", ["/", *ASSETS])
def test_browser_keeps_a_file_until_it_changes(service: Service, path: str) -> None:
    response = service.client.get(path)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert response.content == (FOLDER / (path.removeprefix("/page/").strip("/") or "index.html")).read_bytes()
    again = service.client.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_policy_allows_what_the_page_loads_and_nothing_more(service: Service) -> None:
    (policy,) = service.client.get("/").headers.get_list("content-security-policy")
    directives = {name: sources for name, *sources in map(str.split, policy.split(";"))}
    for name in ("default-src", "frame-ancestors", "base-uri", "form-action", "trusted-types"):
        assert directives[name] == ["'none'"], name
    for name in ("script-src", "style-src", "connect-src", "img-src"):
        assert directives[name] == ["'self'"], name
    assert "unsafe" not in policy


def test_setting_turns_the_page_off(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), page=False)
    response = service.client.get("/", follow_redirects=True)
    assert (response.status_code, response.url.path) == (200, "/docs")
    assert service.client.get("/page/app.js").status_code == 404
    assert service.post("/", {}).status_code == 422  # still the route of another API
