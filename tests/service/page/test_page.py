"""What the page does in Chromium, against a running service."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from service.http.api_keys import make_api_key
from tests.service.api.live.test_live import is_watched
from tests.service.conftest import Service, eventually
from tests.service.fakes import EchoEngine, HeldEngine
from tests.service.page.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

ServeFake = Callable[..., Service]
A_TO_B = "#translate?from=a&to=b"


def text_of(page: "Page", selector: str) -> str:
    return page.locator(selector).inner_text().strip()


def wait_for_text(page: "Page", selector: str, text: str | re.Pattern[str]) -> None:
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(text, timeout=20_000)


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
    eventually(lambda: service.sample("requests_total", **requests, status="499") == 1)
    engine.allow(100)
    wait_for_text(page, "#output", re.compile(r"\S"))
    eventually(lambda: service.sample("requests_total", **requests, status="200") == 1 and service.idle)


def test_long_text_is_streamed_and_an_error_is_a_sentence(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, A_TO_B, allow="413")
    page.fill("#text", "red house. green bird. " * 20)
    wait_for_text(page, "#output", re.compile("rot Haus.*grün Vogel"))
    page.fill("#text", "red " * 6000)
    wait_for_text(page, "#problem p", re.compile(r"Too large: text 0 has 24,?000 characters; .*: split it\."))


def test_glossary_formats_and_program(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, f"{A_TO_B}&text=red%20dog&term=dog%3DKatze")
    wait_for_text(page, "#output", re.compile("Katze"))
    assert text_of(page, "#glossary-count") == "1 term"
    page.click("#request summary")
    assert '"glossary":{"dog":"Katze"}' in text_of(page, "#snippet")
    page.click("#program [value=python]")
    assert "urlopen" in text_of(page, "#snippet")
    compile(text_of(page, "#snippet"), "snippet", "exec")
    page.click("#format [value=html]")
    page.fill("#text", "<p>red <b>house</b></p>")
    wait_for_text(page, "#output", re.compile("<p>.*<b>.*</b></p>"))
    assert page.locator("#output b").count() == 0


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


def test_lines_are_classified(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url, "#classify")
    page.locator("#lines").press_sequentially("orange yellow")
    wait_for_text(page, ".verdict", re.compile(r"warm, \d+ % sure\."))
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


HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg/onload=window.hacked=1>",
    '"><iframe srcdoc="<script>parent.hacked=1</script>">',
    "javascript:window.hacked=1",
    "</textarea><script>window.hacked=1</script>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "<style>*{display:none}</style>",
    "{{constructor.constructor('window.hacked=1')()}}",
    "\u202e<b onmouseover=window.hacked=1>x\u2066",
]


COUNT = "document.querySelectorAll('script, style, iframe, img, link, object').length"
HANDLERS = "document.querySelectorAll('[onerror], [onload], [onmouseover], [href^=javascript]').length"
SHOWN = {
    "translate": "#output", "why": "#why-translation", "classify": "#labels", "models": "#model-list",
    "document": "#document-state",
}  # fmt: skip


def test_hostile_content_is_shown_as_text(service: Service, open_page: OpenPage) -> None:
    """Every text of the answers is hostile, as if models, labels, names and errors were; so is the address."""
    page = open_page(service.url, allow="400")
    content = ""

    def fulfill(route: "Route") -> None:
        if route.request.url.endswith("/translate_file"):
            route.fulfill(status=400, json={"error": content})
        else:
            route.fulfill(json=answer_of(route.request.url, content))

    page.route(re.compile("/v1/|/translate_file"), fulfill)
    page.locator("#target option").first.wait_for(state="attached")
    own = page.evaluate(COUNT)
    for content in HOSTILE:
        for view, selector in SHOWN.items():
            if view == "document":
                name = content.replace("/", "")
                page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": b"x"})
            else:
                address = f"{view}?{urlencode({'text': content})}"
                page.evaluate("(address) => location.hash = address", address)
            shown = content.replace("_", " ") if view == "classify" else content[1:]
            arguments = [selector, shown]
            page.wait_for_function(
                "([selector, text]) => document.querySelector(selector).textContent.includes(text)", arg=arguments
            )
            assert page.evaluate("window.hacked") is None, (view, content)
            assert page.evaluate(COUNT) == own, (view, content)
            assert page.evaluate(HANDLERS) == 0, (view, content)


def answer_of(url: str, content: str) -> object:
    timings, usage = {"queue": 1, "compute": 1, "total": 1}, {"source_tokens": 1, "target_tokens": 1}
    common = {"model": content, "timings_ms": timings, "usage": usage}
    if url.endswith("/v1/translate"):
        tokens = [{"id": 1, "text": content, "log_probability": -1}]
        link = {"source_start": 0, "source_end": 3, "target_start": 0, "target_end": 3}
        one = {"text": content, "source": "a", "target": "b", "finish_reason": "stop", "tokens": tokens, "score": -1}
        return {**common, "translations": [{**one, "alignment": [link], "warnings": [f"glossary_missed: {content}"]}]}
    if url.endswith("/v1/score"):
        return {**common, "scores": [{"attention": {"source": [content], "target": [content], "weights": [[1.0]]}}]}
    if url.endswith("/v1/classify"):
        return {**common, "results": [{"labels": [{"label": content, "score": 0.9}, {"label": content, "score": 0.1}]}]}
    evaluation = {"data": content, "split": content, "metric": "bleu", "value": 1.0, "precision": content}
    texts = dict.fromkeys(("name", "reason", "version", "description", "precision", "licence"), content)
    model = {
        **texts, "state": "ready", "task": "classify", "labels": [content, content], "files": {content: content},
        "directions": [{"source": content, "target": content}], "limits": {"source_length": 1, "target_length": 1},
        "evaluation": [evaluation],
    }  # fmt: skip
    return {"models": [model]}
