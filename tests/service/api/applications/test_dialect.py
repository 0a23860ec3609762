"""The requests of Dialect, with the headers and bodies that it sends; answers are read as it reads them."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.service.api.applications.server import Server


class Dialect:
    """dialect/providers/soup.py, modules/libretrans.py and modules/deepl.py of Dialect 2.7 (libsoup)."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def request(
        self,
        method: str,
        target: str,
        data: Mapping[str, Any] | None = None,
        form: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        head = {"Host": self.server.authority, **(headers or {}), "User-Agent": "Dialect App"}
        body = None
        if data:
            body = urlencode(data).encode() if form else json.dumps(data).encode()
            head["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
        head |= {
            "Accept-Language": "en-US, en;q=0.9",
            "Accept-Encoding": "gzip, deflate, br",
            "Connection": "Keep-Alive",
        }
        found = self.server.send(method, target, head, body).json
        if "error" in found:
            raise RuntimeError(self.kind_of(found["error"]))
        return found

    @staticmethod
    def kind_of(error: str) -> str:
        """Return the kind of an error as check_known_errors finds it."""
        if error == "Invalid API key":
            return "APIKeyInvalid"
        kinds = {"is not supported": "InvalidLangCode", "exceeds text limit": "BatchSizeExceeded"}
        return next((kind for words, kind in kinds.items() if words in error), f"UnexpectedError: {error}")

    def key_is_valid(self, key: str) -> bool:
        try:
            return "confidence" in self.request("POST", "/detect", {"q": "hello", "api_key": key}, form=True)[0]
        except RuntimeError as error:
            if str(error) != "APIKeyInvalid":
                raise
            return False

    def translate(self, text: str, source: str, target: str) -> tuple[str, str | None]:
        data = {"q": text, "source": source, "target": target}
        if self.server.key:
            data["api_key"] = self.server.key
        found = self.request("POST", "/translate", data)
        return found["translatedText"], found.get("detectedLanguage", {}).get("language", None)


def test_dialect_over_libretranslate(server: Server) -> None:
    dialect = Dialect(server)
    assert dialect.request("GET", "/spec")["info"]["title"] == "LibreTranslate"
    assert [one["name"] for one in dialect.request("GET", "/languages")] == ["German", "English"]
    settings = dialect.request("GET", "/frontend/settings")
    assert (settings["apiKeys"], settings["keyRequired"], settings["suggestions"]) == (
        server.key is not None, server.key is not None, False,
    )  # fmt: skip
    assert int(settings["charLimit"]) == 20_000
    if server.key:
        assert dialect.key_is_valid(server.key)
        assert not dialect.key_is_valid("unknown")
    assert dialect.translate("red house", "en", "de") == ("rot Haus", None)
    assert dialect.translate("red house", "auto", "de") == ("rot Haus", "en")
    for text in (" ", "\n", "5", "?!", "\U0001f44d"):  # it reads `language` of whatever `detectedLanguage` is
        assert dialect.translate(text, "auto", "de") == (text, "en")
    with pytest.raises(RuntimeError, match="InvalidLangCode"):
        dialect.translate("red house", "en", "xx")
    with pytest.raises(RuntimeError, match="BatchSizeExceeded"):
        dialect.translate("red " * 5_001, "en", "de")


def test_dialect_over_deepl(server: Server) -> None:
    dialect = Dialect(server)
    key = server.deepl_header
    for kind in ("source", "target"):
        assert {one["language"][:2] for one in dialect.request("GET", f"/v2/languages?type={kind}", headers=key)} == {
            "DE",
            "EN",
        }
    found = dialect.request("POST", "/v2/translate", {"text": ["red house"], "target_lang": "de"}, headers=key)
    assert found["translations"][0] == {"text": "rot Haus", "detected_source_language": "EN"}
    assert {"character_count", "character_limit"} <= dialect.request("GET", "/v2/usage", headers=key).keys()
