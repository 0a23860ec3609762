"""Small office files, made of strings, and what must not change in them."""

import io
import zipfile
from collections.abc import Mapping

TYPES_NAME = "[Content_Types].xml"
WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
SLIDES_TYPE = "application/vnd.openxmlformats-officedocument.presentationml"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
COMPATIBILITY = "http://schemas.openxmlformats.org/markup-compatibility/2006"
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ODF = "urn:oasis:names:tc:opendocument:xmlns"
IMAGE = bytes(range(256)) * 8


def packed(members: Mapping[str, bytes | str]) -> bytes:
    """Return a zip container; images are stored, everything else is deflated."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (2020, 2, 3, 4, 5, 6))
            info.compress_type = zipfile.ZIP_STORED if name in {"mimetype", "image.png"} else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return output.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    """Return the members of a container, in order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def word_part(element: str, body: str) -> str:
    """Return a part of a docx file."""
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<w:{element} xmlns:w="{WORD}" xmlns:a="{DRAWING}" '
        f'xmlns:mc="{COMPATIBILITY}" xmlns:m="{MATH}" xmlns:r="{RELATIONS}">{body}</w:{element}>'
    )


def docx(body: str, **parts: str) -> bytes:
    """Return a docx file with the content of its body, and further parts (name=body)."""
    overrides = {"document": "document.main"} | {name: name.rstrip("0123456789") for name in parts}
    types = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{WORD_TYPE}.{kind}+xml"/>'
        for name, kind in overrides.items()
    )
    content_types = f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{types}</Types>'
    files: dict[str, bytes | str] = {
        TYPES_NAME: content_types,
        "_rels/.rels": "<Relationships/>",
        "word/document.xml": word_part("document", f"<w:body>{body}<w:sectPr/></w:body>"),
    }
    files |= {f"word/{name}.xml": word_part(overrides[name], content) for name, content in parts.items()}
    return packed(files | {"word/styles.xml": "<styles>one two</styles>", "image.png": IMAGE})


def pptx(shapes: str) -> bytes:
    """Return a pptx file with one slide."""
    types = (
        f'<Override PartName="/ppt/presentation.xml" ContentType="{SLIDES_TYPE}.presentation.main+xml"/>'
        f'<Override PartName="/ppt/slides/slide1.xml" ContentType="{SLIDES_TYPE}.slide+xml"/>'
    )
    slide = f'<p:sld xmlns:p="x" xmlns:a="{DRAWING}"><p:txBody>{shapes}</p:txBody></p:sld>'
    return packed(
        {
            TYPES_NAME: f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{types}</Types>',
            "ppt/presentation.xml": "<p/>",
            "ppt/slides/slide1.xml": slide,
            "image.png": IMAGE,
        }
    )


def open_document(body: str, styles: str = "", manifest: str = "") -> bytes:
    """Return an odt file."""
    namespaces = " ".join(f'xmlns:{name}="{ODF}:{uri}:1.0"' for name, uri in {
        "office": "office", "text": "text", "table": "table", "draw": "drawing",
    }.items())  # fmt: skip
    return packed(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{ODF}:manifest:1.0">{manifest}'
            "</manifest:manifest>",
            "content.xml": f"<office:document-content {namespaces}><office:text>{body}</office:text>"
            "</office:document-content>",
            "styles.xml": f"<office:document-styles {namespaces}>{styles}</office:document-styles>",
            "meta.xml": "<meta>one two</meta>",
            "image.png": IMAGE,
        }
    )
