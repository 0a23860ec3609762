"""The requests of Mastodon, with the headers and bodies that it sends; answers are read as it reads them."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.service.api.applications.server import Server, compact


class Mastodon:
    """app/lib/request.rb, app/lib/translation_service/libre_translate.rb and deepl.rb of Mastodon 4.4 (http.rb)."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        """Return the JSON of a response, or raise as its `request` does."""
        head = {
            "User-Agent": "Mastodon/4.4.0 (http.rb/5.3.1; +https://mastodon.example/)",
            "Host": self.server.host,  # without the port
            "Date": "Sun, 29 Nov 2026 15:00:00 GMT",
            "Accept-Encoding": "gzip",
        }
        if body is not None and "Authorization" not in headers:
            head["Digest"] = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
        answer = self.server.send(method, target, {**head, **headers} | {"Connection": "close"}, body)
        if not 200 <= answer.status < 300:
            raise RuntimeError(
                {429: "TooManyRequestsError", 403: "QuotaExceededError"}.get(answer.status, "Unexpected")
            )
        return answer.json

    def languages(self) -> dict[str, list[str]]:
        found = self.request("GET", "/languages", {"Content-Type": "application/json"})
        return {one["code"]: [target for target in one["targets"] if target != one["code"]] for one in found}

    def translate(self, texts: list[str], source: str | None, target: str) -> list[tuple[str, str | None]]:
        """Return text and detected language of each translation."""
        fields = {
            "q": texts, "source": source or "auto", "target": target, "format": "html", "api_key": self.server.key,
        }  # fmt: skip
        data = self.request("POST", "/translate", {"Content-Type": "application/json"}, compact(fields))
        detected = data.get("detectedLanguage") or [{}] * len(texts)
        return [
            (text, (found or {}).get("language") or source)
            for text, found in zip(data["translatedText"], detected, strict=True)
        ]

    def deepl(self, method: str, target: str, form: str | None = None) -> Any:
        headers = dict(self.server.deepl_header)
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return self.request(method, target, headers, None if form is None else form.encode())


def test_mastodon_over_libretranslate(server: Server) -> None:
    mastodon = Mastodon(server)
    assert mastodon.languages() == {"de": ["en"], "en": ["de"]}
    texts = ["<p>red house</p>", "<p>dog</p>", ""]
    assert mastodon.translate(texts, "en", "de") == [("<p>rot Haus</p>", "en"), ("<p>Hund</p>", "en"), ("", "en")]
    found = mastodon.translate(["<p>red house</p>", "<p>5 \U0001f44d</p>"], None, "de")  # a poll's option, an emoji
    assert found[0] == ("<p>rot Haus</p>", "en")
    assert found[1][0] == "<p>5 \U0001f44d</p>"


def test_mastodon_over_deepl(server: Server) -> None:
    mastodon = Mastodon(server)
    sources, targets = (
        [one["language"] for one in mastodon.deepl("GET", f"/v2/languages?type={kind}")]
        for kind in ("source", "target")
    )
    assert (sources, targets) == (["DE", "EN"], ["DE", "EN-GB", "EN-US"])
    form = "text=%3Cp%3Ered+house%3C%2Fp%3E&text=%3Cp%3Edog%3C%2Fp%3E&source_lang=EN&target_lang=de&tag_handling=html"
    assert mastodon.deepl("POST", "/v2/translate", form)["translations"] == [
        {"detected_source_language": "EN", "text": "<p>rot Haus</p>"},
        {"detected_source_language": "EN", "text": "<p>Hund</p>"},
    ]
    # a post without a language: Ruby's encoder writes the name alone for nil; `en` is added to the targets by Mastodon
    form = "text=%3Cp%3Erot+Haus%3C%2Fp%3E&source_lang&target_lang=en&tag_handling=html"
    found = mastodon.deepl("POST", "/v2/translate", form)["translations"]
    assert found == [{"detected_source_language": "DE", "text": "<p>red house</p>"}]


def test_mastodon_with_a_wrong_key(wrong_key: Server) -> None:
    mastodon = Mastodon(wrong_key)
    assert mastodon.languages() == {"de": ["en"], "en": ["de"]}
    with pytest.raises(RuntimeError, match="QuotaExceededError"):  # as with the original
        mastodon.translate(["dog"], "en", "de")
    with pytest.raises(RuntimeError, match="QuotaExceededError"):
        mastodon.deepl("GET", "/v2/languages?type=source")
