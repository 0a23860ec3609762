"""The requests of Rebased, with the headers and bodies that it sends; answers are read as it reads them."""

from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.service.api.applications.server import Server, compact


def rebased(server: Server, method: str, target: str, body: str | None = None, **headers: str) -> Any:
    """lib/pleroma/language/translation/libretranslate.ex and deepl.ex of Rebased (Tesla with hackney)."""
    head = {
        "user-agent": "Pleroma 2.5.99; https://rebased.example <admin@rebased.example>", "host": server.authority,
    }  # fmt: skip
    answer = server.send(method, target, {**headers, **head}, None if body is None else body.encode())
    if answer.status != 200:
        raise RuntimeError(
            {429: "too_many_requests", 403: "quota_exceeded"}.get(answer.status, "internal_server_error")
        )
    return answer.json


def rebased_body(server: Server) -> str:
    fields = {"api_key": server.key or "any", "format": "html", "q": "<p>red house</p>", "source": "EN", "target": "de"}
    return compact(fields).decode()


def test_rebased_over_libretranslate(server: Server) -> None:
    assert [one["code"] for one in rebased(server, "GET", "/languages")] == ["de", "en"]
    found = rebased(server, "POST", "/translate", rebased_body(server), **{"Content-Type": "application/json"})
    assert found["translatedText"] == "<p>rot Haus</p>"


def test_rebased_over_deepl(server: Server) -> None:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded", **server.deepl_header,
    }  # fmt: skip
    for kind, expected in (("source", ["DE", "EN"]), ("target", ["DE", "EN-GB", "EN-US"])):
        languages = rebased(server, "POST", f"/v2/languages?type={kind}", "", **headers)
        assert [one["language"] for one in languages] == expected
    query = f"source_lang=EN&tag_handling=html&target_lang=de&text={quote_plus('<p>red house</p>')}"
    [found] = rebased(server, "POST", f"/v2/translate?{query}", "", **headers)["translations"]
    assert (found["text"], found["detected_source_language"]) == ("<p>rot Haus</p>", "EN")


def test_rebased_with_a_wrong_key(wrong_key: Server) -> None:
    assert rebased(wrong_key, "GET", "/languages")
    with pytest.raises(RuntimeError, match="quota_exceeded"):
        rebased(wrong_key, "POST", "/translate", rebased_body(wrong_key), **{"Content-Type": "application/json"})
