"""The requests of Discourse, with the headers and bodies that it sends; answers are read as it reads them."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.service.api.applications.server import Server


def discourse(server: Server, method: str, path: str, **fields: str) -> Any:
    """app/services/discourse_translator/provider/libre_translate.rb of discourse-translator (Excon)."""
    headers = {"User-Agent": "excon/1.3.2", "Accept": "*/*", "Host": server.authority}
    body = None
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(fields | {"api_key": server.key or ""}).encode()
    answer = server.send(method, path, headers, body)
    found = answer.json
    if answer.status != 200:
        raise RuntimeError(found["error"])
    return found


def test_discourse(server: Server) -> None:
    [first, *_] = discourse(server, "POST", "/detect", q="red house green bird")
    assert first["language"] == "en"
    assert [one["code"] for one in discourse(server, "GET", "/languages")] == ["de", "en"]
    post = '<p>red house</p>\n<p>one <a href="/red">dog</a></p>'
    found = discourse(server, "POST", "/translate", q=post, source="en", target="de", format="html")["translatedText"]
    assert found.startswith("<p>rot Haus</p>\n<p>")
    assert '<a href="/red">' in found


def test_discourse_with_a_wrong_key(wrong_key: Server) -> None:
    assert discourse(wrong_key, "GET", "/languages")
    with pytest.raises(RuntimeError, match="Invalid API key"):
        discourse(wrong_key, "POST", "/detect", q="red house")
