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
COUNT = "document.querySelectorAll('script, style, iframe, img, link, object').length"
HANDLERS = "document.querySelectorAll('[onerror], [onload], [onmouseover], [href^=javascript]').length"
INCLUDES = """([selector, text]) =>
  [...document.querySelectorAll(selector)].some((one) => one.textContent.includes(text))"""
SHOWN = {
    "translate": "#output", "why": "#why-translation", "classify": "#labels", "models": "#model-list",
    "live": ".lane h3",
}  # fmt: skip
PROBLEMS = {
    "translate": "#problem", "why": "#why-problem", "classify": "#classify-problem", "models": "#models > .failure",
}  # fmt: skip


class Answers:
    """Answers every request of the page with the same text wherever an answer has one: results, or errors."""

    def __init__(self) -> None:
        self.content = ""
        self.failing = False

    def fulfill(self, route: "Route") -> None:
        content, path = self.content, route.request.url
        if path.endswith("/metrics/live"):
            batches = {content: [[0, 0, 1, 4, 1], [1, 0], [2, 1]]}
            route.fulfill(content_type="text/event-stream", body=f"event: batches\ndata: {json.dumps(batches)}\n\n")
        elif self.failing:
            problem = {"title": content, "detail": content, "error": content, "code": content, "status": 400}
            route.fulfill(status=400, json=problem)
        else:
            route.fulfill(json=answer_of(path, content))


def test_hostile_content_is_shown_as_text(service: Service, open_page: OpenPage) -> None:
    answers = Answers()
    page = open_page(service.url, allow="400", reduced_motion="reduce", viewport={"width": 400, "height": 300})
    own = page.evaluate(COUNT)
    page.route(re.compile("/v1/|/translate_file|/languages|/metrics/live"), answers.fulfill)

    def look(where: str, selector: str, shown: str) -> None:
        page.wait_for_function(INCLUDES, arg=[selector, shown])
        where = f"{where}: {answers.content}"
        assert page.evaluate(f"[window.hacked ?? 0, {COUNT}, {HANDLERS}]") == [0, own, 0], where

    for number, content in enumerate(HOSTILE):
        answers.content, answers.failing = content, False
        address = urlencode(
            dict.fromkeys(("text", "from", "to", "model", "format", content), content) | {"term": "a=b"}
        )
        page.goto(f"{service.url}/?{number}#translate?{address}&{urlencode({'term': f'{content}={content}'})}")
        look("translate", SHOWN["translate"], content[1:])
        page.evaluate("document.querySelector('.word').click()")
        look("alternatives", ".choice", "other")
        for view, selector in SHOWN.items():
            open_view(page, view, address)
            # A classifier's labels are shown without underscores; the first letter of a description becomes a capital.
            look(view, selector, content.replace("_", " ") if view == "classify" else content[1:])
        open_view(page, "translate", address)
        name = content.replace("/", "")
        page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": b"x"})
        look("document", "#document-state", name)
        answers.failing = True
        page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": b"x"})
        look("document's error", "#document-state", content)
        for view, selector in PROBLEMS.items():
            open_view(page, view, f"{address}&text={number}")
            look(f"{view}'s error", selector, content)


def open_view(page: "Page", view: str, address: str) -> None:
    page.evaluate("(address) => location.hash = address", f"{view}?{address}")


def answer_of(url: str, content: str) -> object:
    timings, usage = {"queue": 1, "compute": 1, "total": 1}, {"source_tokens": 1, "target_tokens": 1}
    common = {"model": content, "timings_ms": timings, "usage": usage}
    if url.endswith("/languages"):
        return [{"code": content, "name": content, "targets": [content, "b"]}]
    if url.endswith("/translate_file"):
        return {"translatedFileUrl": f"http://x.invalid/download_file/{content}"}
    if url.endswith("/v1/translate"):
        tokens = [{"id": 1, "text": content, "log_probability": -1}]
        link = {"source_start": 0, "source_end": 3, "target_start": 0, "target_end": 3}
        one = {"text": content, "source": "a", "target": "b", "finish_reason": "stop", "tokens": tokens, "score": -1}
        return {
            **common,
            "translations": [
                {
                    **one,
                    "alignment": [link],
                    "warnings": [f"glossary_missed: {content}"],
                    "alternatives": [{"text": f"{content} other"}],
                }
            ],
        }
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
