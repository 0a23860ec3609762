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
from tests.service.fakes import EchoEngine

BODY = {"q": "red house", "source": "en", "target": "de"}


def assert_error(response: httpx.Response, status: int) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    message: str = body["error"]
    assert len(message) < 1000
    return message


def error_message(call: Callable[..., Any], *arguments: str) -> str:
    """Return the message of the error that a call of the client raises."""
    with pytest.raises(HTTPError) as caught:
        call(*arguments)
    with caught.value as response:
        assert response.code == 400
        message: str = json.load(response)["error"]
    return message


@pytest.fixture
def client(bilingual: Service) -> LibreTranslateAPI:
    return LibreTranslateAPI(bilingual.url)


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
    assert client.detect(" ") == [{"confidence": 0, "language": "en"}]
    assert client.detect("12:30") == [{"confidence": 0, "language": "en"}]
    assert error_message(client.detect, "") == "Invalid request: missing q parameter"


def test_a_list_is_detected_as_a_whole(bilingual: Service) -> None:
    texts = ["one red house", "two dogs", "rot Haus fünf Hund"]
    found = bilingual.post("/detect", {"q": texts}).json()
    alone = [
        {one["language"]: one["confidence"] for one in bilingual.post("/detect", {"q": text}).json()} for text in texts
    ]
    assert {one["language"] for one in found} == {"en", "de"}
    assert found == sorted(found, key=lambda one: -one["confidence"])
    for one in found:
        total = sum(len(text) * ranked.get(one["language"], 0) for text, ranked in zip(texts, alone, strict=True))
        assert one["confidence"] == pytest.approx(total / sum(map(len, texts)), abs=0.1)
    assert bilingual.post("/detect", {"q": ["house"]}).json() == bilingual.post("/detect", {"q": "house"}).json()


def test_libretranslatepy_translates_from_auto(client: LibreTranslateAPI) -> None:
    assert client.translate("drei grün Vogel", "auto", "en") == "three green bird"


def test_detected_language_is_returned(bilingual: Service) -> None:
    one = bilingual.post("/translate", {"q": "drei grün Vogel", "source": "auto", "target": "en"}).json()
    assert one["translatedText"] == "three green bird"
    assert one["detectedLanguage"]["language"] == "de"
    assert 50 < one["detectedLanguage"]["confidence"] <= 100
    many = bilingual.post("/translate", {"q": ["drei grün Vogel", "one red house"], "target": "en"}).json()
    assert many["translatedText"] == ["three green bird", "one red house"]  # the second is English already
    assert [found["language"] for found in many["detectedLanguage"]] == ["de", "en"]


def test_libretranslatepy_raises_errors(client: LibreTranslateAPI) -> None:
    assert error_message(client.translate, "red house", "en", "xx") == "xx is not supported"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "zz"}, "zz is not supported"),
        ({"source": "FR"}, "fr is not supported"),
        ({"source": "x" * 50_000}, f"{'x' * 40} is not supported"),
        ({"q": None}, "Invalid request: missing q parameter"),
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"q": []}, "Invalid request: missing q parameter"),
        ({"source": None}, "Invalid request: missing source parameter"),
        ({"target": ""}, "Invalid request: missing target parameter"),
        ({"format": "pdf"}, "pdf format is not supported"),
        ({"alternatives": 16}, "Invalid request: alternatives parameter must be <= 15"),
        ({"alternatives": "many"}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "x" * 20_001}, "Invalid request: request (20001) exceeds text limit (20000)"),
        ({"q": ["dog"] * 257}, "Invalid request: request (257) exceeds text limit (256)"),
    ],
)
def test_errors_have_the_words_of_the_original(bilingual: Service, changes: dict[str, Any], message: str) -> None:
    """Applications compare them: Dialect knows an error by a part of its text."""
    assert assert_error(bilingual.post("/translate", BODY | changes), 400) == message
    form = {name: value for name, value in (BODY | changes).items() if value is not None}
    if form.keys() >= {"q", "source", "target"} and form["q"] != []:
        assert assert_error(bilingual.client.post("/translate", data=form), 400) == message


def test_a_missing_direction_has_the_words_of_the_original(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine())  # between "a" and "b" only
    languages = service.registry._languages
    for name, found in languages.items():
        pairs = [pair for pair in found.pairs if pair[0] == "a"]
        languages[name] = found._replace(pairs=pairs)
    message = assert_error(service.post("/translate", {"q": "dog", "source": "b", "target": "a"}), 400)
    assert message == "a (a) is not available as a target language from b (b)"


@pytest.mark.parametrize(
    ("source", "target"), [("EN", "DE"), ("en-US", "de_AT"), ("Auto", "DE"), ("AUTO", "deu"), ("eng", "de-CH")]
)
def test_language_codes_may_be_tags_in_any_case(bilingual: Service, source: str, target: str) -> None:
    """Rebased sends the source in capitals."""
    found = bilingual.post("/translate", BODY | {"source": source, "target": target}).json()
    assert found["translatedText"] == "rot Haus"
    assert found.get("detectedLanguage", {}).get("language", "en") == "en"
    assert ("detectedLanguage" in found) == (source.lower() == "auto")


@pytest.mark.parametrize("q", ["  ", "\n", "\u200b"])
def test_a_blank_text_is_returned(bilingual: Service, q: str) -> None:
    assert bilingual.post("/translate", BODY | {"q": q}).json() == {"translatedText": q}
    assert bilingual.client.post("/translate", data=BODY | {"q": q}).json() == {"translatedText": q}
    detected = bilingual.post("/translate", BODY | {"q": q, "source": "auto"}).json()["detectedLanguage"]
    assert detected["confidence"] == 0


def test_suggestions_are_refused_as_where_they_are_switched_off(bilingual: Service) -> None:
    suggestion = {"q": "house", "s": "Haus", "source": "en", "target": "de"}
    for options in ({"json": suggestion}, {"data": suggestion}):
        response = bilingual.client.post("/suggest", **options)  # type: ignore[arg-type]
        assert assert_error(response, 403) == "Suggestions are disabled on this server."
    assert bilingual.client.get("/frontend/settings").json()["suggestions"] is False


def test_specification_names_libretranslate(bilingual: Service) -> None:
    """Dialect accepts only servers whose specification has this title."""
    found = bilingual.client.get("/spec").json()
    assert (found["swagger"], found["info"]["title"]) == ("2.0", "LibreTranslate")
    served = bilingual.client.get("/openapi.json").json()["paths"]
    for path, operations in found["paths"].items():
        assert operations.keys() == served[path].keys()
    assert_error(bilingual.client.post("/spec"), 405)


def test_pages_of_any_origin_may_use_it(bilingual: Service) -> None:
    origin = {"Origin": "https://page.example"}
    asks = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in ("/translate", "/detect", "/languages", "/frontend/settings", "/translate_file", "/spec"):
        assert bilingual.client.options(path, headers=asks).headers["access-control-allow-origin"] == "*"
    answer = bilingual.post("/translate", BODY, headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    rejected = bilingual.post("/translate", {}, headers=origin)
    assert (rejected.status_code, rejected.headers["access-control-allow-origin"]) == (400, "*")
    for path in ("/v1/translate", "/v2/translate", "/translated", "/"):
        assert "access-control-allow-origin" not in bilingual.client.options(path, headers=asks).headers


def test_deep_translator_translates_and_raises_errors(bilingual: Service) -> None:
    """This client sends a query string and no body."""
    translator = LibreTranslator(source="en", target="de", api_key="none", custom_url=f"{bilingual.url}/")
    assert translator.translate("red house") == "rot Haus"
    assert translator.translate_batch(["dog", "two birds & one dog"])[0] == "Hund"
    with pytest.raises(ServerException):
        LibreTranslator(source="en", target="fr", api_key="none", custom_url=f"{bilingual.url}/").translate("dog")


@pytest.mark.parametrize("kind", ["json", "urlencoded", "multipart", "query"])
def test_fields_may_be_json_form_or_query(bilingual: Service, kind: str) -> None:
    options_of: dict[str, Any] = {
        "json": {"json": BODY}, "urlencoded": {"data": BODY}, "query": {"params": BODY},
        "multipart": {"files": {name: (None, value) for name, value in BODY.items()}},
    }  # fmt: skip
    response = bilingual.client.post("/translate", **options_of[kind])
    assert response.json() == {"translatedText": "rot Haus"}


@pytest.mark.parametrize("kind", ["json", "data", "params"])
def test_list_of_texts_returns_lists(bilingual: Service, kind: str) -> None:
    options: dict[str, Any] = {kind: BODY | {"q": ["red house", "", "dog", " \n"]}}
    assert bilingual.client.post("/translate", **options).json() == {"translatedText": ["rot Haus", "", "Hund", " \n"]}
    assert bilingual.post("/translate", BODY | {"q": ["dog"]}).json() == {"translatedText": ["Hund"]}


def test_alternatives_are_returned(bilingual: Service) -> None:
    one = bilingual.post("/translate", BODY | {"alternatives": 2}).json()
    assert one["translatedText"] == "rot Haus"
    assert len(one["alternatives"]) == 2
    assert len({one["translatedText"], *one["alternatives"]}) == 3
    many = bilingual.client.post("/translate", data=BODY | {"q": ["red house", "dog"], "alternatives": "2"}).json()
    assert many["alternatives"][0] == one["alternatives"]
    assert [len(others) for others in many["alternatives"]] == [2, 2]
    assert bilingual.post("/translate", BODY | {"alternatives": "2"}).json() == one
    for none in (0, -1, "-3"):
        assert bilingual.post("/translate", BODY | {"alternatives": none}).json() == {"translatedText": "rot Haus"}


def test_empty_format_means_text(bilingual: Service) -> None:
    for nothing in (None, ""):
        assert bilingual.post("/translate", BODY | {"format": nothing}).json() == {"translatedText": "rot Haus"}


def test_text_in_the_target_language_is_unchanged(bilingual: Service) -> None:
    assert bilingual.post("/translate", BODY | {"target": "en"}).json() == {"translatedText": "red house"}
    assert_error(bilingual.post("/translate", BODY | {"source": "xx", "target": "xx"}), 400)


def test_errors_of_bodies_and_paths_have_the_words_of_the_original(bilingual: Service) -> None:
    bodies: list[Any] = [[], "text", 5]
    for body in bodies:
        assert assert_error(bilingual.post("/translate", body), 400) == "Invalid JSON format"
    files = {"file": ("a.pdf", b"dog")}
    response = bilingual.client.post("/translate_file", data={"source": "en", "target": "de"}, files=files)
    assert "Invalid request: file format not supported" in assert_error(response, 400)
    for path in ("/translate/", "/frontend/nothing"):
        assert_error(bilingual.client.get(path), 404)
    # "/" has the format of another dialect, but is not the beginning of every path
    assert bilingual.client.get("/nothing").json()["code"] == "not_found"


def test_html_markup_is_preserved(bilingual: Service) -> None:
    page = "<ul><li>red house<li>one <a href='/red'>dog</a></ul>"
    found = bilingual.post("/translate", BODY | {"q": [page, "red < dog"], "format": "html"}).json()["translatedText"]
    assert found[0].startswith("<ul><li>rot Haus<li>")
    assert "<a href='/red'>" in found[0]
    assert sorted(re.sub(r"<[^>]*>", " ", found[0]).split()) == ["Haus", "Hund", "eins", "rot"]
    assert found[0].endswith("</ul>")
    assert found[1].startswith("rot")


def test_web_page_reads_health_and_settings(bilingual: Service) -> None:
    assert bilingual.client.get("/health").json() == {"status": "ok"}
    found = bilingual.client.get("/frontend/settings").json()
    assert found["charLimit"] == 20_000
    assert found["keyRequired"] is False
    assert found["language"]["source"] == {"code": "auto", "name": "Auto Detect"}


@pytest.mark.parametrize(
    "body",
    [
        {"q": "dog"}, {"target": "de"}, BODY | {"q": 5}, BODY | {"q": ["dog", 5]}, BODY | {"format": 5},
        BODY | {"alternatives": 1.5}, BODY | {"alternatives": "9" * 5000}, BODY | {"alternatives": True},
        BODY | {"source": ""}, BODY | {"target": "x" * 36}, [], "text", None, BODY | {"source": "fr"},
    ],
)  # fmt: skip
def test_invalid_bodies_are_rejected(bilingual: Service, body: Any) -> None:
    assert_error(bilingual.post("/translate", body), 400)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"q=%ff%fe&source=en&target=de", "application/x-www-form-urlencoded"),
        (b"&".join([b"q=dog"] * 20_000), "application/x-www-form-urlencoded"),
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
def test_invalid_forms_are_rejected(bilingual: Service, content: bytes, kind: str) -> None:
    assert_error(bilingual.client.post("/translate", content=content, headers={"Content-Type": kind}), 400)


def test_body_that_is_neither_json_nor_a_form_is_rejected(bilingual: Service) -> None:
    response = bilingual.client.post("/translate", content=b"q=dog", headers={"Content-Type": "text/plain"})
    assert_error(response, 415)
