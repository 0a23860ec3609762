"""LibreTranslate's dialect: two public clients against a running service, and what its web page sends."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
from deep_translator import LibreTranslator
from deep_translator.exceptions import ServerException
from libretranslatepy import LibreTranslateAPI

from tests.service.conftest import Service

ASK = {"q": "red house", "source": "en", "target": "de"}


def assert_error(response: httpx.Response, status: int) -> str:
    """An error in the dialect's own shape; what it says."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    said: str = body["error"]
    assert len(said) < 1000
    return said


def refused(call: Callable[..., Any], *arguments: str) -> str:
    """What the error says that a call of the client meets."""
    with pytest.raises(HTTPError) as caught:
        call(*arguments)
    with caught.value as response:
        assert response.code == 400
        said: str = json.load(response)["error"]
    return said


@pytest.fixture
def client(babel: Service) -> LibreTranslateAPI:
    return LibreTranslateAPI(babel.url)


def test_libretranslatepy_translates(client: LibreTranslateAPI) -> None:
    assert client.translate("red house", "en", "de") == "rot Haus"
    assert client.translate("grün Vogel", source="de", target="en") == "green bird"
    assert client.translate("red house.\n\n  one & two + 100 %", "en", "de").startswith("rot Haus")


def test_libretranslatepy_lists_languages(client: LibreTranslateAPI) -> None:
    assert client.languages() == [
        {"code": "de", "name": "German", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": ["de"]},
    ]


def test_libretranslatepy_detects(client: LibreTranslateAPI) -> None:
    found = client.detect("rot Haus fünf Hund")
    assert found[0]["language"] == "de"
    assert 50 < found[0]["confidence"] <= 100
    assert client.detect("one red house")[0]["language"] == "en"
    assert refused(client.detect, " ") == "text 0 is empty; leave it out"


def test_libretranslatepy_leaves_the_source_to_the_service(client: LibreTranslateAPI) -> None:
    assert client.translate("drei grün Vogel", "auto", "en") == "three green bird"


def test_what_was_detected_is_told(babel: Service) -> None:
    one = babel.post("/translate", {"q": "drei grün Vogel", "source": "auto", "target": "en"}).json()
    assert one["translatedText"] == "three green bird"
    assert one["detectedLanguage"]["language"] == "de"
    assert 50 < one["detectedLanguage"]["confidence"] <= 100
    many = babel.post("/translate", {"q": ["drei grün Vogel", "one red house"], "target": "en"}).json()
    assert many["translatedText"] == ["three green bird", "one red house"]  # the second is English already
    assert [found["language"] for found in many["detectedLanguage"]] == ["de", "en"]


def test_libretranslatepy_meets_an_error(client: LibreTranslateAPI) -> None:
    assert "does not translate en to xx" in refused(client.translate, "red house", "en", "xx")


def test_deep_translator_translates_and_meets_an_error(babel: Service) -> None:
    """It sends a query and no body."""
    translator = LibreTranslator(source="en", target="de", api_key="none", custom_url=f"{babel.url}/")
    assert translator.translate("red house") == "rot Haus"
    assert translator.translate_batch(["dog", "two birds & one dog"])[0] == "Hund"
    with pytest.raises(ServerException):
        LibreTranslator(source="en", target="fr", api_key="none", custom_url=f"{babel.url}/").translate("dog")


@pytest.mark.parametrize("kind", ["json", "urlencoded", "multipart", "query"])
def test_a_body_may_come_in_any_way(babel: Service, kind: str) -> None:
    ways: dict[str, Any] = {
        "json": {"json": ASK}, "urlencoded": {"data": ASK}, "query": {"params": ASK},
        "multipart": {"files": {name: (None, value) for name, value in ASK.items()}},
    }  # fmt: skip
    response = babel.client.post("/translate", **ways[kind])
    assert response.json() == {"translatedText": "rot Haus"}


@pytest.mark.parametrize("kind", ["json", "data", "params"])
def test_a_list_gives_a_list(babel: Service, kind: str) -> None:
    options: dict[str, Any] = {kind: ASK | {"q": ["red house", "", "dog", " \n"]}}
    assert babel.client.post("/translate", **options).json() == {"translatedText": ["rot Haus", "", "Hund", " \n"]}
    assert babel.post("/translate", ASK | {"q": ["dog"]}).json() == {"translatedText": ["Hund"]}


def test_alternatives(babel: Service) -> None:
    one = babel.post("/translate", ASK | {"alternatives": 2}).json()
    assert one["translatedText"] == "rot Haus"
    assert len(one["alternatives"]) == 2
    assert len({one["translatedText"], *one["alternatives"]}) == 3
    many = babel.client.post("/translate", data=ASK | {"q": ["red house", "dog"], "alternatives": "2"}).json()
    assert many["alternatives"][0] == one["alternatives"]
    assert [len(others) for others in many["alternatives"]] == [2, 2]


def test_an_empty_format_is_text(babel: Service) -> None:
    for nothing in (None, ""):
        assert babel.post("/translate", ASK | {"format": nothing}).json() == {"translatedText": "rot Haus"}


def test_a_text_stays_in_its_language(babel: Service) -> None:
    assert babel.post("/translate", ASK | {"target": "en"}).json() == {"translatedText": "red house"}
    assert_error(babel.post("/translate", ASK | {"source": "xx", "target": "xx"}), 400)


def test_html(babel: Service) -> None:
    page = "<ul><li>red house<li>one <a href='/red'>dog</a></ul>"
    found = babel.post("/translate", ASK | {"q": [page, "red < dog"], "format": "html"}).json()["translatedText"]
    assert found[0].startswith("<ul><li>rot Haus<li>")
    assert "<a href='/red'>" in found[0]
    assert sorted(re.sub(r"<[^>]*>", " ", found[0]).split()) == ["Haus", "Hund", "eins", "rot"]
    assert found[0].endswith("</ul>")
    assert found[1].startswith("rot")


def test_what_the_web_page_asks(babel: Service) -> None:
    assert babel.client.get("/health").json() == {"status": "ok"}
    found = babel.client.get("/frontend/settings").json()
    assert found["charLimit"] == 20_000
    assert found["keyRequired"] is False
    assert found["language"]["source"] == {"code": "auto", "name": "Auto Detect"}


@pytest.mark.parametrize(
    "body",
    [
        {"q": "dog"}, {"target": "de"}, ASK | {"q": 5}, ASK | {"q": ["dog", 5]}, ASK | {"q": ""}, ASK | {"q": []},
        ASK | {"format": "pdf"}, ASK | {"alternatives": 16}, ASK | {"alternatives": -1}, ASK | {"alternatives": "1"},
        ASK | {"source": ""}, ASK | {"target": "x" * 36}, [], "text", None, ASK | {"source": "fr"},
    ],
)  # fmt: skip
def test_wrong_bodies(babel: Service, body: Any) -> None:
    assert_error(babel.post("/translate", body), 400)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"q=%ff%fe&source=en&target=de", "application/x-www-form-urlencoded"),
        (b"&".join([b"q=dog"] * 20_000), "application/x-www-form-urlencoded"),
        (b"q=dog", "text/plain"),
        (b"--x\r\n\r\n", "multipart/form-data"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="q"; filename="a.txt"\r\n\r\ndog\r\n--x--\r\n',
         "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data\r\n\r\ndog\r\n--x--\r\n', "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\nxn--\xff\r\n--x--\r\n',
         "multipart/form-data; charset=idna; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n\\ud800\r\n--x--\r\n',
         "multipart/form-data; charset=raw_unicode_escape; boundary=x"),
    ],
)  # fmt: skip
def test_forms_that_cannot_be_read(babel: Service, content: bytes, kind: str) -> None:
    assert_error(babel.client.post("/translate", content=content, headers={"Content-Type": kind}), 400)
