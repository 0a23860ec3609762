"""Text from the service, from file names and from the address never becomes a part of the page."""

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.service.conftest import Service
from tests.service.page.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

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
ALL = " ".join(HOSTILE)
COUNT = "document.querySelectorAll('script, style, iframe, img, link, object').length"
HANDLERS = "document.querySelectorAll('[onerror], [onload], [onmouseover], [href^=javascript]').length"
INCLUDES = """([selector, texts]) => {
  const shown = [...document.querySelectorAll(selector)].map((one) => one.textContent).join(" ").replaceAll("_", " ");
  return texts.every((text) => shown.includes(text.replaceAll("_", " ")));
}"""  # labels are shown without underscores
SHOWN = {
    "translate": "#output, #warnings, #source, #target", "why": "#why-translation, #map, #why-words",
    "classify": "#classifier, #labels", "models": "#model-list", "live": ".lane h3",
}  # fmt: skip
PROBLEMS = {
    "translate": "#problem", "why": "#why-problem", "classify": "#classify-problem", "models": "#models > .failure",
}  # fmt: skip
ADDRESS = urlencode(
    [
        *((key, ALL) for key in ("text", "from", "to", "model", "format", ALL)),
        *(("term", f"{one}=x") for one in HOSTILE),
    ]
)


def test_hostile_content_is_shown_as_text(service: Service, open_page: OpenPage) -> None:
    """Each text of an answer has all of it, and each list an entry for each of it."""
    page = open_page(service.url, allow="400")
    own = page.evaluate(COUNT)
    failing = False

    def fulfill(route: "Route") -> None:
        if route.request.url.endswith("/metrics/live"):
            batches = {one: [[0, 0, 1, 4, 1], [1, 0], [2, 1]] for one in HOSTILE}
            route.fulfill(content_type="text/event-stream", body=f"event: batches\ndata: {json.dumps(batches)}\n\n")
        elif failing:
            problem = {"title": ALL, "detail": ALL, "error": ALL, "code": ALL, "status": 400}
            route.fulfill(status=400, json=problem)
        else:
            route.fulfill(json=answer_of(route.request.url))

    def look(where: str, selector: str, texts: list[str] = HOSTILE) -> None:
        page.wait_for_function(INCLUDES, arg=[selector, texts])
        assert page.evaluate(f"[window.hacked ?? 0, {COUNT}, {HANDLERS}]") == [0, own, 0], where

    page.route(re.compile("/v1/|/translate_file|/languages|/metrics/live"), fulfill)
    page.goto(f"{service.url}/?again#translate?{ADDRESS}")
    look("translate", SHOWN["translate"])
    page.evaluate("document.querySelector('.word').click()")
    look("alternatives", ".choice", [f"{one} other" for one in HOSTILE[:6]])  # the page shows six
    for view, selector in SHOWN.items():
        open_view(page, view)
        look(view, selector)
    name = ALL.replace("/", "")
    page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": b"x"})
    look("document", "#document-state", [name])
    failing = True
    page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": b"x"})
    look("document's error", "#document-state")
    for view, selector in PROBLEMS.items():
        open_view(page, view)
        look(f"{view}'s error", selector)


def open_view(page: "Page", view: str) -> None:
    page.evaluate("(address) => location.hash = address", f"{view}?{ADDRESS}")


def answer_of(url: str) -> object:
    common = {
        "model": ALL, "timings_ms": {"queue": 1, "compute": 1, "total": 1},
        "usage": {"source_tokens": 1, "target_tokens": 1},
    }  # fmt: skip
    if url.endswith("/languages"):
        return [{"code": one, "name": one, "targets": [one, "b"]} for one in HOSTILE]
    if url.endswith("/translate_file"):
        return {"translatedFileUrl": f"http://x.invalid/download_file/{ALL}"}
    if url.endswith("/v1/translate"):
        link = {"source_start": 0, "source_end": 3, "target_start": 0, "target_end": 3}
        one = {
            "text": ALL, "source": "a", "target": "b", "finish_reason": "stop", "score": -1, "alignment": [link],
            "tokens": [{"id": 1, "text": f"{one} ", "log_probability": -1} for one in HOSTILE],
            "warnings": [warning for one in HOSTILE for warning in (one, f"glossary_missed: {one}")],
            "alternatives": [{"text": f"{ALL} {one} other"} for one in HOSTILE],
        }  # fmt: skip
        return {**common, "translations": [one]}
    if url.endswith("/v1/score"):
        weights = [[0.1] * len(HOSTILE)] * len(HOSTILE)
        return {**common, "scores": [{"attention": {"source": HOSTILE, "target": HOSTILE, "weights": weights}}]}
    if url.endswith("/v1/classify"):
        return {**common, "results": [{"labels": [{"label": one, "score": 0.1} for one in HOSTILE]}]}
    return {"models": [model(one) for one in HOSTILE]}


def model(content: str) -> dict[str, object]:
    evaluation = {"data": content, "split": content, "metric": "bleu", "value": 1.0, "precision": content}
    texts = dict.fromkeys(("name", "reason", "version", "description", "precision", "licence"), content)
    return {
        **texts, "state": "ready", "task": "classify", "labels": HOSTILE[:8], "files": {content: content},
        "directions": [{"source": content, "target": content}], "limits": {"source_length": 1, "target_length": 1},
        "evaluation": [evaluation],
    }  # fmt: skip
