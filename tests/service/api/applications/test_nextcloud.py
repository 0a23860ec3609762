"""The requests of Nextcloud, with the headers and bodies that it sends; answers are read as it reads them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.service.api.applications.server import Server

BOUNDARY = "------------------------d74496d66958873e"


class Nextcloud:
    """src/LibreTranslate.php of jefs42/libretranslate, used by integration_libretranslate (PHP with curl)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.request("/")  # whatever the answer is
        self.settings = self.request("/frontend/settings", method="GET")
        self.languages = {one["code"]: one["name"] for one in self.request("/languages", method="GET")}

    def request(self, target: str, fields: Mapping[str, str] | None = None, method: str = "POST") -> Any:
        """Send a multipart form: an empty one where there are no fields, also with GET."""
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (fields or {}).items()
        ]
        body = f"{''.join(parts)}--{BOUNDARY}--\r\n".encode()
        headers = {
            "Host": self.server.authority, "Accept": "*/*", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }  # fmt: skip
        answer = self.server.send(method, target, headers, body)
        try:
            return answer.json
        except ValueError:
            return None  # as json_decode

    @property
    def key(self) -> dict[str, str]:
        return {"api_key": self.server.key or ""}

    def detect(self, text: str) -> str:
        language: str = self.request(f"/detect?{urlencode({'q': text} | self.key)}")[0]["language"]
        return language

    def translate(self, text: str, source: str, target: str) -> str:
        fields = {"q": text, "format": "html", "source": source, "target": target} | self.key
        found = self.request("/translate", fields)
        if "translatedText" not in found:
            raise RuntimeError(found["error"])
        translated: str = found["translatedText"]
        return translated


def test_nextcloud_over_libretranslate(server: Server) -> None:
    nextcloud = Nextcloud(server)
    assert nextcloud.settings["language"]["source"]["code"] == "auto"
    assert nextcloud.languages == {"de": "German", "en": "English"}
    assert nextcloud.detect("red house, green bird?") == "en"
    assert nextcloud.translate("red house", "en", "de") == "rot Haus"
    assert nextcloud.translate("grün Vogel", "de", "en") == "green bird"


def test_nextcloud_with_a_wrong_key(wrong_key: Server) -> None:
    nextcloud = Nextcloud(wrong_key)
    assert nextcloud.languages
    with pytest.raises(RuntimeError, match="Invalid API key"):
        nextcloud.translate("red house", "en", "de")


def nextcloud_deepl(server: Server, method: str, path: str, form: str | None = None) -> Any:
    """src/HttpClientWrapper.php of deepl-php 1.11, used by integration_deepl; curl sends every form with POST."""
    headers = {
        "Host": server.authority, "Accept": "*/*", **server.deepl_header,
        "User-Agent": "deepl-php/1.11.1 (Linux 6.1.0 #1 SMP x86_64) php/8.3.6 curl/8.5.0",
    }  # fmt: skip
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    answer = server.send(method, path, headers, None if form is None else form.encode())
    if not 200 <= answer.status < 400:
        raise RuntimeError({403: "AuthorizationException"}.get(answer.status, f"{answer.status}: {answer.json}"))
    return answer.json


def test_nextcloud_over_deepl(server: Server) -> None:
    sources = nextcloud_deepl(server, "POST", "/v2/languages", "type=source")
    targets = nextcloud_deepl(server, "POST", "/v2/languages", "type=target")
    assert [(one["language"], one["name"]) for one in sources] == [("DE", "German"), ("EN", "English")]
    assert {one["supports_formality"] for one in targets} == {False}
    # detectLanguage, and translate with the formality that it sends for languages without forms
    form = "target_lang=en-US&show_billed_characters=1&text=gr%C3%BCn+Vogel"
    [found] = nextcloud_deepl(server, "POST", "/v2/translate", form)["translations"]
    assert (found["text"], found["detected_source_language"], found["billed_characters"]) == ("green bird", "DE", 10)
    form = "target_lang=de&source_lang=en&formality=prefer_more&show_billed_characters=1&text=red+house"
    [found] = nextcloud_deepl(server, "POST", "/v2/translate", form)["translations"]
    assert found["text"] == "rot Haus"
    assert nextcloud_deepl(server, "GET", "/v2/usage")["character_count"] > 0


def test_nextcloud_over_deepl_with_a_wrong_key(wrong_key: Server) -> None:
    with pytest.raises(RuntimeError, match="AuthorizationException"):
        nextcloud_deepl(wrong_key, "POST", "/v2/languages", "type=source")
