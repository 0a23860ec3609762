"""The requests of Weblate, with the headers and bodies that it sends; answers are read as it reads them."""

import re
from typing import Any

import pytest

from tests.service.api.applications.server import Server, compact


class Weblate:
    """weblate/machinery/base.py, libretranslate.py and deepl.py of Weblate 5.17 (httpx)."""

    def __init__(self, server: Server, path: str = "") -> None:
        self.server, self.path = server, path

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        head = {
            "Host": self.server.authority,
            "Accept": "application/json; charset=utf-8",
            "Accept-Encoding": "gzip, deflate, br, zstd",
            "Connection": "keep-alive",
            "User-Agent": "Weblate/5.17",
            "Referer": "https://weblate.example",
        }
        if body is not None:
            head["Content-Type"] = "application/json"
        answer = self.server.send(
            method, f"{self.path}/{path}", head | headers, None if body is None else compact(body)
        )
        if answer.status >= 400:
            limited = answer.status in (456, 429, 401, 403, 503)
            raise RuntimeError(f"{'rate limited: ' if limited else ''}{answer.json}")
        return answer.json if answer.body else None

    def deepl(self, method: str, path: str, body: Any = None) -> Any:
        return self.request(method, path, body, **self.server.deepl_header)


def test_weblate_over_libretranslate(server: Server) -> None:
    weblate = Weblate(server)
    assert [one["code"] for one in weblate.request("GET", "languages")] == ["de", "en"]
    body = {"api_key": server.key or "", "q": ["test"], "source": "en", "target": "de"}  # of its settings form
    [text] = weblate.request("POST", "translate", body)["translatedText"]
    assert isinstance(text, str)
    body["q"] = ["red house", "green bird [X11X]"]  # [X11X] is its placeholder
    first, second = weblate.request("POST", "translate", body)["translatedText"]
    assert first == "rot Haus"
    assert second.count("[X11X]") == 1


def test_weblate_over_deepl(server: Server) -> None:
    weblate = Weblate(server, "/v2")
    languages = {
        kind: [one["language"] for one in weblate.deepl("GET", f"languages?enable_beta_languages=1&type={kind}")]
        for kind in ("source", "target")
    }
    assert languages == {"source": ["DE", "EN"], "target": ["DE", "EN-GB", "EN-US"]}
    pairs = weblate.deepl("GET", "glossary-language-pairs")["supported_languages"]
    assert ("EN", "DE") in {(one["source_lang"].upper(), one["target_lang"].upper()) for one in pairs}

    name = "weblate:1:EN:DE:0123456789abcdef"
    weblate.deepl("GET", "glossaries")
    entries = {"name": name, "source_lang": "EN", "target_lang": "DE", "entries": "dog\tVogel", "entries_format": "tsv"}
    weblate.deepl("POST", "glossaries", entries)
    found = {one["name"]: one["glossary_id"] for one in weblate.deepl("GET", "glossaries")["glossaries"]}
    texts = ["red &lt;house&gt;", '<x id="4"></x> green', "dog", "red house"]
    body = {
        "text": texts, "source_lang": "EN", "target_lang": "DE", "formality": "default", "tag_handling": "xml",
        "ignore_tags": ["x"], "context": "an app", "glossary_id": found[name], "model_type": "prefer_quality_optimized",
    }  # fmt: skip
    translations = weblate.deepl("POST", "translate", body)["translations"]
    assert {"&lt;", "&gt;"} <= set(re.findall("&[a-z]+;", translations[0]["text"]))
    assert translations[1]["text"].count('<x id="4"></x>') == 1  # which Weblate replaces
    assert "Vogel" in translations[2]["text"] or "glossary_missed: dog" in translations[2]["warnings"]
    assert translations[3]["text"] == "rot Haus"
    assert weblate.deepl("DELETE", f"glossaries/{found[name]}") is None


def test_weblate_with_a_wrong_key(wrong_key: Server) -> None:
    assert Weblate(wrong_key).request("GET", "languages")
    with pytest.raises(RuntimeError, match="rate limited: .*Invalid API key"):
        Weblate(wrong_key).request(
            "POST", "translate", {"api_key": "unknown", "q": ["a"], "source": "en", "target": "de"}
        )
    with pytest.raises(RuntimeError, match="rate limited: .*message"):
        Weblate(wrong_key, "/v2").deepl("GET", "languages?type=source")
