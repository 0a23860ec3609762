"""The page with the interactive documentation: it works without any other host, within its own security policy."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.service.conftest import Service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TYPES = {"script": "text/javascript", "stylesheet": "text/css", "icon": "image/png"}


class Page(HTMLParser):
    """What an HTML page refers to, and the parts that a strict policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: dict[str, str] = {}  # by reference: "script", or the rel of a link
        self.forbidden: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_script = tag == "script"
        if tag == "script":
            self.loaded[given["src"] or ""] = "script"
        elif tag == "link":
            self.loaded[given["href"] or ""] = given["rel"] or ""
        elif tag in ("style", "iframe", "object", "base"):
            self.forbidden.append(tag)
        self.forbidden += [name for name in given if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.forbidden.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def test_page_loads_only_its_own_files(service: Service) -> None:
    response = service.client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert not page.forbidden
    assert sorted(page.loaded.values()) == ["icon", "script", "script", "stylesheet"]
    for reference, kind in page.loaded.items():
        url = urljoin(str(response.url), reference)
        assert url.startswith(service.url), reference
        asset = service.client.get(url)
        assert asset.status_code == 200
        assert asset.headers["content-type"].partition(";")[0] == TYPES[kind]
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.content


def test_policy_allows_what_the_page_loads_and_nothing_more(service: Service) -> None:
    (policy,) = service.client.get("/docs").headers.get_list("content-security-policy")
    directives = {name: sources for name, *sources in map(str.split, policy.split(";"))}
    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == ["'none'"]
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == ["'self'"]
    assert directives["img-src"] == ["'self'", "data:"]
    assert "unsafe" not in policy


def test_openapi_document_is_where_the_script_looks(service: Service) -> None:
    assert 'url: "openapi.json"' in service.client.get("/docs/start.js").text
    assert service.client.get("/openapi.json").json()["openapi"].startswith("3.")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_chromium_shows_every_operation(service: Service, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    run = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--no-first-run",
            "--disable-background-networking", f"--user-data-dir={tmp_path}", "--enable-logging=stderr",
            "--virtual-time-budget=20000", "--dump-dom", f"{service.url}/docs",
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    document = service.client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert run.stdout.count('class="opblock-summary-path"') == len(operations) > 20
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
