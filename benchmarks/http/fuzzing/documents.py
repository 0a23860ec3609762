"""Uploads of odd documents, and the requests for their translations."""

import io
import json
import random
import zipfile
from typing import Any
from urllib.parse import quote

from benchmarks.http.fuzzing.bodies import form_fields, multipart_case, part_header
from benchmarks.http.fuzzing.requests import JSON, Case, Operations, raw_request
from benchmarks.http.fuzzing.values import as_pairs, mutate_bytes, mutate_json, odd_text, to_json

TEXT_DOCUMENTS = {
    "txt": "Good morning.\n\nThe red house is big.\n",
    "md": "# Title\n\nThe *red* [house](http://a.example) is `big`.\n\n| a | b |\n|---|---|\n| 1 | dog |\n",
    "html": "<!doctype html><html><head><title>A</title></head><body><p>The <b>red</b> house.</p></body></html>",
    "srt": "1\n00:00:01,000 --> 00:00:02,500\n<i>red</i> house\n\n2\n00:00:03,000 --> 00:00:04,000\none dog\n",
    "vtt": "WEBVTT\n\nNOTE x\n\nid\n00:01.000 --> 00:02.000 align:start\n<v A>red house\n",
}
OFFICE = {
    "docx": (
        "word/document.xml",
        "<w:document xmlns:w='w'><w:body><w:p><w:r><w:t>red house</w:t></w:r></w:p></w:body></w:document>",
    ),
    "pptx": ("ppt/slides/slide1.xml", "<p:sld xmlns:p='p' xmlns:a='a'><a:p><a:r><a:t>red</a:t></a:r></a:p></p:sld>"),
    "xlsx": ("xl/sharedStrings.xml", "<sst><si><t>red house</t></si></sst>"),
    "odt": (
        "content.xml",
        "<office:document-content xmlns:office='o' xmlns:text='t'><text:p>red</text:p></office:document-content>",
    ),
    "epub": ("a.xhtml", "<html xmlns='http://www.w3.org/1999/xhtml'><body><p>red house</p></body></html>"),
}
FILENAMES = [
    "a.{e}", "a.b.{e}", ".{e}", "a.{E}", "a", "", "../../a.{e}", "a\u0301.{e}", "a\\b.{e}", "{e}", "a.{e}.exe",
    "é😀.{e}", "a" * 400 + ".{e}", "con.{e}", "a;b.{e}", "a%00.{e}", "a\r\n.{e}",
]  # fmt: skip


def document(known: Operations, rng: random.Random) -> Case:
    operation = rng.choice([one for one in known.with_form if one.path in ("/v2/document", "/translate_file")])
    extension = rng.choice([*TEXT_DOCUMENTS, *OFFICE, "pdf", "exe"])
    content = _document_content(rng, extension)
    name = (FILENAMES[0] if rng.random() < 0.6 else rng.choice(FILENAMES)).replace("{e}", extension)
    name = name.replace("{E}", extension.upper())
    parts = [
        (part_header(rng, field), value.encode()) for field, value in form_fields(rng, operation) if field != "file"
    ]
    if operation.path == "/v2/document":  # its example leaves the language to be detected
        parts.append((part_header(rng, "source_lang"), b"DE"))
    header = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream'
    parts.insert(rng.randrange(len(parts) + 1), (header, content))
    return multipart_case(rng, operation, parts)


def _document_content(rng: random.Random, extension: str) -> bytes:
    if extension in OFFICE:
        content = _zip(rng, extension)
    else:
        text = TEXT_DOCUMENTS.get(extension, "%PDF-1.7\n")
        if rng.random() < 0.5:
            at = rng.randrange(len(text))
            text = text[:at] + odd_text(rng) + text[at:]
        content = text.encode(rng.choice(["utf-8"] * 6 + ["utf-16", "latin-1", "utf-8-sig", "cp1252"]), "replace")
    return mutate_bytes(rng, content, rng.choice([1, 5])) if rng.random() < 0.5 else content


def _zip(rng: random.Random, extension: str) -> bytes:
    name, xml = OFFICE[extension]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        if rng.random() < 0.8:
            archive.writestr(zipfile.ZipInfo("[Content_Types].xml"), "<Types/>")
        changed = xml.encode()
        if rng.random() < 0.5:
            changed = mutate_bytes(rng, changed, 2)
        elif rng.random() < 0.1:
            changed = b"<a>" * rng.choice([100, 5000]) if rng.random() < 0.5 else bytes(3_000_000)
        archive.writestr(zipfile.ZipInfo(name if rng.random() < 0.9 else "../" + name), changed)
    return stream.getvalue()


def document_requests(rng: random.Random, reply: Any) -> list[bytes]:
    """Return the requests for the document of an upload, some of them wrong, from the JSON response to the upload."""
    if not isinstance(reply, dict):
        return []
    if isinstance(url := reply.get("translatedFileUrl"), str):
        path = "/" + url.partition("//")[2].partition("/")[2]
        wrong = mutate_bytes(rng, path.encode(), 1).decode("latin-1")
        return [raw_request("GET", one, [], b"") for one in (quote(wrong, safe="/%."), path)]
    if "document_id" not in reply:
        return []
    path, key = f"/v2/document/{reply['document_id']}", {"document_key": reply["document_key"]}
    wrong_key = to_json(mutate_json(rng, as_pairs(key), ["document_key"])).encode("utf-8", "replace")
    good = json.dumps(key).encode()
    bodies = [(path, wrong_key), (path + "/result", wrong_key), (path, good), (path + "/result", good)]
    return [raw_request("POST", where, [("Content-Type", JSON)], body) for where, body in bodies]
