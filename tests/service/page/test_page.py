"""What the page does in Chromium, against a running service."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from service.http.api_keys import make_api_key
from tests.service.api.live.test_live import is_watched
from tests.service.conftest import Service, eventually
from tests.service.fakes import EchoEngine, HeldEngine
from tests.service.page.conftest import OpenPage, wait_for_text

if TYPE_CHECKING:
    from playwright.sync_api import Page

ServeFake = Callable[..., Service]
A_TO_B = "#translate?from=a&to=b"
CLIPBOARD = ["clipboard-read", "clipboard-write"]
DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  document.getElementById("source-pane").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
}"""
SHELLS = {
    "curl": ["bash", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "--input-type=module", "-e"],
}  # fmt: skip


def text_of(page: "Page", selector: str) -> str:
    return page.locator(selector).inner_text().strip()


def clipboard(page: "Page") -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_typing_translates_and_words_have_origins_and_alternatives(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, A_TO_B)
    page.locator("#text").press_sequentially("red house")
    wait_for_text(page, "#output", re.compile("rot Haus"))
    page.locator(".word", has_text="Haus").hover()
    wait_for_text(page, "#mirror mark", "house")
    assert page.locator(".word").first.evaluate("one => getComputedStyle(one).getPropertyValue('--doubt')")
    page.locator(".word", has_text="Haus").click()
    chosen = page.locator(".choice").first
    alternative = chosen.inner_text()
    assert alternative.startswith("rot")
    assert alternative != "rot Haus"
    chosen.click()
    wait_for_text(page, "#output", alternative)
    assert "text=red+house" in page.url


def test_copy_swap_and_a_link_to_the_translation(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, f"{A_TO_B}&text=red%20house&term=house%3DHund", permissions=CLIPBOARD)
    wait_for_text(page, "#output", "rot Hund")
    page.click("#copy")
    wait_for_text(page, "#copy", "Copied")
    assert clipboard(page) == "rot Hund"
    page.click("#request summary")
    page.click("#copy-link")
    wait_for_text(page, "#copy-link", "Copied")
    address = clipboard(page)
    assert address.startswith(f"{service.url}/#translate?")
    other = open_page(service.url, address.partition("/#")[2].join(("#", "")))
    wait_for_text(other, "#output", "rot Hund")
    assert text_of(other, "#glossary-count") == "1 term"
    other.click("#swap")
    wait_for_text(other, "#output", re.compile(r"\S"))
    assert [other.input_value(name) for name in ("#source", "#target", "#text")] == ["b", "a", "rot Hund"]


def test_everything_works_with_the_keyboard(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, f"{A_TO_B}&text=red%20house%20dog")
    page.locator(".word").first.wait_for()
    page.locator("#tab-translate").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('word')"):  # "word linked" once its links are there
            break
    page.keyboard.press("ArrowRight")
    wait_for_text(page, "#mirror mark", "house")
    page.keyboard.press("Enter")
    page.locator(".choice").first.wait_for()
    page.wait_for_function("() => document.activeElement.classList.contains('choice')")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.className.startsWith('word')")
    page.locator("#tab-translate").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#map td").first.wait_for()
    assert page.title() == "Why · Attendant"


def test_typing_on_cancels_the_request_before(serve_fake: ServeFake, open_page: OpenPage) -> None:
    engine = HeldEngine()
    engine.allow(1)  # for the warm-up
    service = serve_fake(engine)
    page = open_page(service.url, A_TO_B)
    page.locator("#text").press_sequentially("red")
    engine.wait_for_step(2)
    page.locator("#text").press_sequentially(" house")
    requests = {"route": "/v1/translate", "method": "POST"}
    eventually(
        lambda: service.sample("requests_total", **requests, status="499") >= 1
    )  # a pause between two keys: one more
    engine.allow(100)
    wait_for_text(page, "#output", re.compile(r"\S"))
    eventually(lambda: service.sample("requests_total", **requests, status="200") == 1 and service.idle)


def test_long_text_is_streamed_and_an_error_is_a_sentence(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, A_TO_B, allow="413")
    page.fill("#text", "red house. green bird. " * 20)
    wait_for_text(page, "#output", re.compile("rot Haus.*grün Vogel"))
    page.fill("#text", "red " * 6000)
    wait_for_text(page, "#problem p", re.compile(r"Too large: text 0 has 24,?000 characters; .*: split it\."))
    assert page.locator("#problem button").count() == 0  # to send the same again would not help


def test_glossary_is_edited_and_formats_are_kept(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, f"{A_TO_B}&text=red%20dog&term=dog%3DKatze")
    wait_for_text(page, "#output", "rot Katze")
    page.locator(".term [aria-label^=Remove]").click()
    wait_for_text(page, "#output", "rot Hund")
    page.click("#add-term")
    for label, value in (("Term", "dog"), ("Translation", "Maus")):
        page.locator(f".term [aria-label={label}]").fill(value)
    wait_for_text(page, "#output", "rot Maus")
    assert text_of(page, "#glossary-count") == "1 term"
    page.click("#format [value=html]")
    page.fill("#text", "<p>red <b>house</b></p>")
    wait_for_text(page, "#output", re.compile("<p>.*<b>.*</b></p>"))
    assert page.locator("#output b").count() == 0


def test_request_is_shown_as_programs_that_run(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, f"{A_TO_B}&text=red%0Ahouse%20%27%22%5C&term=bird%3DHund")
    wait_for_text(page, "#output", re.compile("rot"))
    page.click("#request summary")
    expected = page.locator("#output p").text_content()
    for program, command in SHELLS.items():
        if shutil.which(command[0]) is None:
            continue
        page.click(f"#program [value={program}]")
        run = subprocess.run([*command, text_of(page, "#snippet")], capture_output=True, text=True, check=True)
        printed = json.loads(run.stdout)["translations"][0]["text"] if program == "curl" else run.stdout[:-1]
        assert printed == expected, program


def test_document_is_uploaded_and_downloaded(service: Service, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(service.url, A_TO_B)
    page.click("#document summary")
    wait_for_text(page, "#formats", re.compile("docx"))
    cue = b"1\n00:00:01,000 --> 00:00:02,000\nred house\n"
    page.set_input_files("#file", {"name": "notes.srt", "mimeType": "text/plain", "buffer": cue})
    with page.expect_download() as download:
        page.click("#document-state a")
    assert download.value.suggested_filename == "notes.b.srt"
    download.value.save_as(tmp_path / "notes")
    assert "rot Haus" in (tmp_path / "notes").read_text("utf-8")


def test_document_is_dropped_and_cancelled(serve_fake: ServeFake, open_page: OpenPage) -> None:
    engine = HeldEngine()
    engine.allow(1)  # for the warm-up
    service = serve_fake(engine)
    page = open_page(service.url, A_TO_B)
    page.locator("#target option").first.wait_for(state="attached")
    page.evaluate(DROP, ["notes.md", "red house"])
    engine.wait_for_step(2)
    wait_for_text(page, "#document-state", "Translating notes.md (0.0 kB) …")
    page.click("#cancel-document")
    wait_for_text(page, "#document-state", "Cancelled: notes.md.")
    engine.allow(100)
    eventually(lambda: service.idle)


def test_why_shows_attention_and_words(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, "#why?from=a&to=b&text=red%20house")
    page.locator("#map td").first.wait_for()
    rows, columns = page.locator("#map tbody tr").count(), page.locator("#map tbody tr").first.locator("td").count()
    assert rows >= 3
    assert columns >= 3
    page.locator("#map td").first.hover()
    assert re.fullmatch(r"“.+” attends to “.+” with [\d.]+ %\.", text_of(page, "#map-readout"))
    page.click("#map-values [value=raw]")
    assert "adds up to 100" in text_of(page, "#map-note")
    assert text_of(page, "#why-words tbody tr:last-child").split()[:2] == ["Haus", "house"]
    page.fill("#why-text", "red info@example.com")
    wait_for_text(page, "#why-words .note", " · held")
    page.fill("#why-text", "red house! green bird!")
    page.click(".sentence >> nth=1")
    wait_for_text(page, "#why-words tbody tr:first-child th", "grün")


def test_a_view_that_changes_the_address_does_not_undo_a_change_of_view(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, "#translate")
    page.locator("#target option").first.wait_for(state="attached")
    # Both before the event that tells of the new address; without a text, the change writes the address at once.
    page.evaluate("location.hash = 'models'; document.getElementById('target').dispatchEvent(new Event('change'))")
    wait_for_text(page, ".models h2 >> nth=0", "toy-translator")
    assert page.evaluate("location.hash") == "#models"


def test_lines_are_classified(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, "#classify")
    page.locator("#lines").press_sequentially("orange yellow")
    wait_for_text(page, ".verdict", re.compile(r"warm, \d+\s% sure\."))
    assert page.locator(".bars li").count() == 3
    page.fill("#lines", "orange red\nblack grey\n")
    row = page.locator(".list tbody tr:nth-child(2)")
    row.wait_for()
    assert row.inner_text().split()[:4] == ["black", "grey", "none", "outside"]


def test_live_shows_figures_and_batches_and_stops_with_the_view(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, "#live")
    wait_for_text(page, "#live-state", "Connected")
    page.click("#burst")
    wait_for_text(page, "#burst-state", re.compile(r"64 sentences in [\d,]+ ms"))
    wait_for_text(page, ".lane span", re.compile(r"step [1-9]"))
    page.wait_for_function("() => document.querySelector('.chart .line')?.getAttribute('d')?.includes('L')")
    page.click("#tab-models")
    wait_for_text(page, ".models h2 >> nth=0", "toy-translator")
    eventually(lambda: not is_watched(service))


def test_page_asks_for_a_key_and_keeps_it_for_the_tab(serve_fake: ServeFake, open_page: OpenPage) -> None:
    key, entry = make_api_key("alice")
    service = serve_fake(EchoEngine(), keys=entry)
    page = open_page(service.url, f"{A_TO_B}&text=red%20house", allow="401")
    page.fill("#key-field", "wrong")
    page.click("text=Use this key")
    wait_for_text(page, "#key-reason", re.compile("unknown API key"))
    page.fill("#key-field", key)
    page.click("text=Use this key")
    page.locator(".word").first.wait_for()
    assert page.evaluate("[...Object.values(sessionStorage)]") == [key]
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    assert key not in page.content()
    page.click("#tab-models")
    wait_for_text(page, ".models h2", "toy-translator")
    other = open_page(service.url, f"{A_TO_B}&text=red%20house", allow="401")
    other.click("#key-dialog >> text=Cancel")
    wait_for_text(other, "#problem p", re.compile("An API key is needed"))


def test_page_says_that_the_service_does_not_answer(serve_fake: ServeFake, open_page: OpenPage) -> None:
    page = open_page(serve_fake(EchoEngine()).url, A_TO_B, allow="ERR_")
    page.locator("#target option").first.wait_for(state="attached")
    page.context.set_offline(True)
    page.fill("#text", "red house")
    wait_for_text(page, "#problem p", re.compile("does not answer. Check that it runs"))
    page.context.set_offline(False)
    page.click("#problem button")
    page.locator(".word").first.wait_for()
