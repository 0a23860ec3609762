"""Office Open XML: docx and pptx. Paragraphs, tables, notes, comments, headers and footers are translated."""

from collections.abc import Sequence
from functools import partial

from service.documents.formats.container import Container
from service.documents.formats.document import DocumentFormat, ReadOptions
from service.documents.formats.office import OfficeDocument, read_member
from service.documents.formats.runs import paragraph_parts
from service.documents.formats.xml_text import XmlPiece
from service.documents.formats.xml_tokens import XmlToken
from service.errors import InvalidDocument
from service.text.markup.blocks import Block

CONTENT_TYPES = "[Content_Types].xml"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_WORD, _SLIDES = f"{_OFFICE}.wordprocessingml", f"{_OFFICE}.presentationml"
DOCX_TYPE, PPTX_TYPE = f"{_WORD}.document", f"{_SLIDES}.presentation"
MAIN_TYPES = {"docx": f"{DOCX_TYPE}.main+xml", "pptx": f"{PPTX_TYPE}.main+xml"}
TEXT_TYPES = {
    *(f"{_WORD}.{name}+xml" for name in ("document.main", "header", "footer", "footnotes", "endnotes", "comments")),
    f"{_SLIDES}.slide+xml",
    f"{_SLIDES}.notesSlide+xml",
    f"{_OFFICE}.drawingml.chart+xml",
    f"{_OFFICE}.drawingml.diagramData+xml",
    "application/vnd.ms-office.drawingml.diagramDrawing+xml",
}
PARAGRAPHS = frozenset({"w:p", "a:p"})
TRANSPARENT = frozenset({
    "w:r", "w:t", "w:hyperlink", "w:ins", "w:moveTo", "w:smartTag", "w:sdt", "w:sdtContent", "w:customXml", "w:dir",
    "w:bdo", "a:r", "a:t",
})  # fmt: skip


class OfficeOpenSchema:
    """The elements of WordprocessingML and DrawingML."""

    def is_paragraph(self, name: str) -> bool:
        return name in PARAGRAPHS

    def is_skipped(self, token: XmlToken) -> bool:
        return False

    def is_transparent(self, token: XmlToken) -> bool:
        return token.name in TRANSPARENT

    def parts(self, pieces: Sequence[XmlPiece]) -> list[str | Block]:
        return paragraph_parts(pieces)


def read_office_open(content: bytes, options: ReadOptions, *, kind: str) -> OfficeDocument:
    """Read a docx or pptx file.

    Raises:
        InvalidDocument: it is encrypted, broken, or of another kind.
        TooLarge: it unpacks to too much.
    """
    container = Container(content, kind, options.max_unpacked_bytes)
    types = read_content_types(container, kind, MAIN_TYPES[kind])
    names = [name for name in container.names if types.get(name.lower()) in TEXT_TYPES]
    return OfficeDocument(container, dict.fromkeys(names, OfficeOpenSchema()))


def read_content_types(container: Container, kind: str, main_type: str) -> dict[str, str]:
    """Return the content type of each part that has one of its own; names are in lower case.

    Raises:
        InvalidDocument: no part is of the main type, that of the document itself.
    """
    types: dict[str, str] = {}

    def on_token(token: XmlToken) -> None:
        if token.name == "types:Override" and token.kind == "open":
            name = token.attributes.get("PartName", "").removeprefix("/").lower()
            types[name] = token.attributes.get("ContentType", "")

    read_member(container, CONTENT_TYPES, on_token)
    if not any(types.get(name.lower()) == main_type for name in container.names):
        raise InvalidDocument(f"the file is no {kind} file, or has macros; save it as {kind}")
    return types


DOCX = DocumentFormat(("docx",), DOCX_TYPE, partial(read_office_open, kind="docx"))
PPTX = DocumentFormat(("pptx",), PPTX_TYPE, partial(read_office_open, kind="pptx"))
