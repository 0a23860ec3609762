"""LibreTranslate's file routes, as its web page and its clients send them."""

import httpx
import pytest

from service.documents.translation import EXTENSIONS
from tests.service.conftest import Service

FIELDS = {"source": "en", "target": "de"}


def upload(service: Service, name: str, content: bytes, **fields: str) -> httpx.Response:
    return service.client.post("/translate_file", data=FIELDS | fields, files={"file": (name, content)})


def test_a_file_is_translated_and_downloaded(bilingual: Service) -> None:
    response = upload(bilingual, "über uns.html", b"<p>one <i>green</i> bird</p>")
    url = response.json()["translatedFileUrl"]
    assert url.startswith(f"{bilingual.url}/download_file/")
    for _ in range(2):  # a browser may ask twice
        found = bilingual.client.get(url)
        assert found.text == "<p>eins <i>grün</i> Vogel</p>"
        assert found.headers["content-type"].startswith("text/html")
        assert "filename*=UTF-8''%C3%BCber%20uns.html" in found.headers["content-disposition"]


def test_the_language_is_detected(bilingual: Service) -> None:
    for content, expected in ((b"drei Vogel", b"three bird"), (b"one red house", b"one red house")):
        url = upload(bilingual, "a.txt", content, source="auto", target="en").json()["translatedFileUrl"]
        assert bilingual.client.get(url).content == expected


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("a.exe", {}, "the file extension 'exe' is not supported"),
        ("a.txt", {"target": "xx"}, "xx is not supported"),
        ("a.txt", {"source": ""}, "Invalid request: missing source parameter"),
        ("a.srt", {}, "the srt file has no cue"),
    ],
)
def test_bad_files_and_fields_are_refused(bilingual: Service, name: str, fields: dict[str, str], message: str) -> None:
    response = upload(bilingual, name, b"red house", **fields)
    assert (response.status_code, response.json().keys()) == (400, {"error"})
    assert message in response.json()["error"]


def test_unknown_files_are_not_found(bilingual: Service) -> None:
    for name in ("x", "..%2f..%2fetc%2fpasswd", f"{'0' * 96}.a.txt"):
        response = bilingual.client.get(f"/download_file/{name}")
        assert (response.status_code, response.json().keys()) == (404, {"error"})


def test_the_settings_name_the_formats(bilingual: Service) -> None:
    found = bilingual.client.get("/frontend/settings").json()
    assert found["filesTranslation"] is True
    assert found["supportedFilesFormat"] == [f".{extension}" for extension in EXTENSIONS]
