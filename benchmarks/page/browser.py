"""Chromium and a service with the shipped models, for audits and pictures of the page."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.common.processes import free_port, server

ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--no-proxy-server"]
SENTENCES = "I have a big dog and three cats. Where is the station? Please write to info@example.com."
LINES = "How much money is on my account?\nwake me up at seven\nthe colour of the wind\nplay some music"
# Each view in a state that shows something, and the selector that appears with it.
VIEWS = {
    "translate": (f"#translate?{urlencode({'from': 'en', 'to': 'de', 'text': SENTENCES})}", ".word"),
    "why": (f"#why?{urlencode({'from': 'en', 'to': 'de', 'text': SENTENCES})}", "#map td"),
    "classify": (f"#classify?{urlencode({'model': 'intents', 'text': LINES})}", ".list tbody tr"),
    "live": ("#live", ".chart"),
    "models": ("#models", ".facts"),
}


def find_chromium() -> str:
    """Return the path of Chromium.

    Raises:
        SystemExit: there is none.
    """
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("error: no Chromium is installed; install the package chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    """Start the service with the models in models/; yield its URL and its process id."""
    port = free_port()
    with server([sys.executable, "-m", "service"], port, {"ATTENDANT_PORT": str(port)}) as pid:
        yield f"http://127.0.0.1:{port}", pid


def open_page(browser: Browser, dark: bool = False, phone: bool = False, width: int = 1280, height: int = 860) -> Page:
    """Return an empty page, light or dark, of a desktop or of a phone."""
    size = (390, 844) if phone else (width, height)
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", locale="en-US",
        is_mobile=phone, has_touch=phone, device_scale_factor=2 if phone else 1,
    )  # fmt: skip
    return context.new_page()


def show(page: Page, url: str, view: str) -> None:
    """Load a view and wait until it shows something; the live one until a batch was seen."""
    address, selector = VIEWS[view]
    page.goto(f"{url}/?{view}{address}")  # another query: the address after # alone would not load the page again
    page.locator(selector).first.wait_for()
    if view == "live":
        page.click("#burst")
        page.locator(".lane").first.wait_for()
        page.wait_for_function("() => document.querySelector('#burst-state').textContent.includes(' in ')")
