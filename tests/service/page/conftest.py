"""The page in real Chromium: fails a test on console errors, and on requests to anything but the service."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server"]
TIMEOUT = 20_000  # milliseconds

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """One Chromium for the tests of this folder, and only while they run: Playwright's event loop is the thread's."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """Return a function that opens an address in a new context; what Chromium complains about fails the test."""
    pages: list[tuple[Page, str]] = []
    complaints: list[str] = []
    expected: list[str] = []

    def open_page(url: str, hash: str = "", allow: str = "", **options: Any) -> "Page":
        """`allow` is a part of complaints that the test expects."""
        context = browser.new_context(locale="en-US", **options)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: complaints.append(message.text) if message.type in BAD else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: check_host(request.url, url, complaints))
        pages.append((page, url))
        expected.extend([allow] if allow else [])
        page.goto(f"{url}/{hash}")
        return page

    yield open_page
    for page, _ in pages:
        page.context.close()
    assert [one for one in complaints if not any(part in one for part in expected)] == []


BAD = ("error", "warning")


def check_host(requested: str, url: str, complaints: list[str]) -> None:
    if not requested.startswith((f"{url}/", "blob:", "data:")):
        complaints.append(f"a request to {requested}")


def wait_for_text(page: "Page", selector: str, text: str | re.Pattern[str]) -> None:
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(text, timeout=TIMEOUT)
