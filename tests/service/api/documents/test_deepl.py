"""DeepL's document routes: the official client against a running service."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import deepl
import httpx
import pytest
from deepl import DeepLClient, DocumentHandle

from tests.service.conftest import Service, eventually
from tests.service.documents.formats import office_files

SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>red</i> house\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\none dog\r\n"
NO_ID, NO_KEY = "12AB" * 8, "CD34" * 16


@pytest.fixture
def client(bilingual: Service) -> Iterator[DeepLClient]:
    with closing(DeepLClient("none", server_url=bilingual.url)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("a.txt", "\ufeffred house\r\n\r\none dog\r\n", "\ufeffrot Haus\r\n\r\neins Hund\r\n"),
        ("a.html", "<p>red <b>house</b>\n<!-- x --></p>", "<p>rot <b>Haus</b>\n<!-- x --></p>"),
        ("a.SRT", SRT, SRT.replace("red", "rot").replace("house", "Haus").replace("one dog", "eins Hund")),
    ],
)
def test_the_client_translates_documents(client: DeepLClient, name: str, source: str, expected: str) -> None:
    files = {"file": (name, source.encode())}
    handle = upload(client, files)
    wait(client, handle)
    output = io.BytesIO()
    client.translate_document_download(handle, output)
    assert output.getvalue().decode() == expected


@pytest.mark.parametrize("name", ["a.docx", "a.odt"])
def test_the_client_translates_office_files(client: DeepLClient, name: str) -> None:
    if name == "a.docx":
        bold = "<w:r><w:rPr><w:b/></w:rPr><w:t>red</w:t></w:r>"
        content = office_files.docx(f"<w:p>{bold}<w:r><w:t> house</w:t></w:r></w:p>")
        member, expected = "word/document.xml", '<w:rPr><w:b/></w:rPr><w:t xml:space="preserve">rot</w:t>'
    else:
        content = office_files.open_document("<text:p><text:span>red</text:span> house</text:p>")
        member, expected = "content.xml", "<text:p><text:span>rot</text:span> Haus</text:p>"
    handle = upload(client, {"file": (name, content)})
    wait(client, handle)
    output = io.BytesIO()
    client.translate_document_download(handle, output)
    assert expected in office_files.members(output.getvalue())[member].decode()


def upload(client: DeepLClient, files: dict[str, tuple[str, bytes]], target: str = "DE") -> DocumentHandle:
    [(name, content)] = files.values()
    return client.translate_document_upload(content, source_lang="EN", target_lang=target, filename=name)


def wait(client: DeepLClient, handle: DocumentHandle) -> None:
    """Poll until the document is done, faster than the client does."""
    eventually(lambda: client.translate_document_get_status(handle).done)


def test_the_client_translates_a_file(client: DeepLClient, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("red house\n", "utf-8")
    status = client.translate_document_from_filepath(tmp_path / "in.txt", tmp_path / "out.txt", target_lang="DE")
    assert status.billed_characters == len("red house\n")
    assert (tmp_path / "out.txt").read_text("utf-8") == "rot Haus\n"


def test_a_result_is_downloaded_once(client: DeepLClient) -> None:
    handle = upload(client, {"file": ("übersetzt.txt", b"dog")})
    wait(client, handle)
    response = client.translate_document_download(handle)
    assert response is not None
    assert response.content == b"Hund"
    assert response.headers["content-disposition"].endswith("filename*=UTF-8''%C3%BCbersetzt.txt")
    with pytest.raises(deepl.DeepLException, match="Not found"):
        client.translate_document_download(handle)


def test_a_document_is_unknown_without_its_key(client: DeepLClient) -> None:
    handle = upload(client, {"file": ("a.txt", b"dog")})
    for document_id, key in ((NO_ID, NO_KEY), (handle.document_id, NO_KEY), (NO_ID, handle.document_key)):
        with pytest.raises(deepl.DeepLException, match="Not found"):
            client.translate_document_get_status(DocumentHandle(document_id, key))


def test_equal_languages_are_an_error(client: DeepLClient) -> None:
    content = "rot Haus fünf Hund\n".encode()
    handle = client.translate_document_upload(content, target_lang="DE", filename="in.txt")
    eventually(lambda: not client.translate_document_get_status(handle).ok)
    status = client.translate_document_get_status(handle)
    assert str(status.error_message) == "Source and target language are equal."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.invalid", b"red house", "a.invalid: the file extension 'invalid' is not supported; send one of .*txt"),
        ("noname", b"red house", "the file extension '' is not supported"),
        ("a.txt", b"", "a.txt is empty"),
    ],
)
def test_an_upload_that_cannot_be_translated_is_refused(
    client: DeepLClient, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(deepl.DeepLException, match=message) as caught:
        upload(client, {"file": (name, content)})
    assert caught.value.http_status_code == 400


def test_an_error_while_reading_is_in_the_status(client: DeepLClient) -> None:
    handle = upload(client, {"file": ("a.txt", b"caf\xe9")})
    eventually(lambda: not client.translate_document_get_status(handle).ok)
    status = client.translate_document_get_status(handle)
    assert str(status.error_message) == "the text file is not valid UTF-8 at byte 3; save it in UTF-8"
    with pytest.raises(deepl.DeepLException, match="Bad request"):
        client.translate_document_download(handle)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "target_lang: Field required"),
        ({"target_lang": "XX"}, "Value for 'target_lang' not supported: 'XX'"),
        ({"target_lang": "DE", "glossary_id": "1"}, "glossary requires the source_lang parameter"),
        ({"target_lang": "DE", "output_format": "pdf"}, "output_format not supported: 'pdf'"),
        ({"target_lang": "DE", "source_lang": "DE"}, "Source and target language are equal."),
    ],
)
def test_fields_are_checked(bilingual: Service, fields: dict[str, str], message: str) -> None:
    response = bilingual.client.post("/v2/document", data=fields, files={"file": ("a.txt", b"dog")})
    assert (response.status_code, response.json().keys()) == (400, {"message"})
    assert message in response.json()["message"]


def test_an_upload_without_a_file_is_refused(bilingual: Service) -> None:
    bodies: list[dict[str, object]] = [
        {"json": {"target_lang": "DE"}},
        {"files": {"target_lang": (None, "DE")}},
        {"files": [("file", ("a.txt", b"dog")), ("file", ("b.txt", b"dog")), ("target_lang", (None, "DE"))]},
    ]
    for body in bodies:
        response: httpx.Response = bilingual.client.post("/v2/document", **body)  # type: ignore[arg-type]
        assert response.status_code == 400
        assert "file" in response.json()["message"]
