"""OpenDocument: odt, odp and ods. Paragraphs, headings, tables, notes, comments, headers and footers are translated."""

from collections.abc import Iterator, Sequence
from functools import partial

from service.documents.formats.container import Container
from service.documents.formats.document import DocumentFormat, ReadOptions
from service.documents.formats.office import OfficeDocument, read_member
from service.documents.formats.runs import ESCAPES
from service.documents.formats.xml_text import XmlPiece
from service.documents.formats.xml_tokens import XmlToken
from service.errors import InvalidDocument
from service.text.markup.blocks import OBJECT, Block, Escaping, MarkupItem, read_blocks

MANIFEST = "META-INF/manifest.xml"
CONTENT = "content.xml"
TEXT_MEMBERS = (CONTENT, "styles.xml")  # styles.xml has the headers and footers
MEDIA_TYPE = "application/vnd.oasis.opendocument"
PARAGRAPHS = frozenset({"text:p", "text:h"})
TRANSPARENT = frozenset({"text:span", "text:a", "text:meta", "text:meta-field"})
SKIPPED = frozenset({"text:tracked-changes", "office:scripts"})
# Elements without text, which have a place but are no part of a sentence. All that are not named here are fields and
# the like, whose content is computed.
MARKS = frozenset({
    "text:note", "office:annotation", "office:annotation-end", "text:bookmark", "text:bookmark-start",
    "text:bookmark-end", "text:reference-mark", "text:reference-mark-start", "text:reference-mark-end",
    "text:change", "text:change-start", "text:change-end", "text:soft-page-break", "text:toc-mark",
    "text:toc-mark-start", "text:toc-mark-end", "text:alphabetical-index-mark", "text:alphabetical-index-mark-start",
    "text:alphabetical-index-mark-end", "text:user-index-mark", "text:user-index-mark-start",
    "text:user-index-mark-end", "",
})  # fmt: skip


class OpenDocumentSchema:
    """The elements of OpenDocument."""

    def is_paragraph(self, name: str) -> bool:
        return name in PARAGRAPHS

    def is_skipped(self, token: XmlToken) -> bool:
        """Return whether a text is computed: that of a cell with a number or a formula, or a deleted one."""
        is_computed = "table:formula" in token.attributes or token.attributes.get("office:value-type") not in {
            None,
            "string",
        }
        return token.name in SKIPPED or (token.name == "table:table-cell" and is_computed)

    def is_transparent(self, token: XmlToken) -> bool:
        return token.name in TRANSPARENT

    def parts(self, pieces: Sequence[XmlPiece]) -> list[str | Block]:
        return read_blocks(list(_items(pieces)), Escaping(ESCAPES))


def _items(pieces: Sequence[XmlPiece]) -> Iterator[MarkupItem]:
    for i, piece in enumerate(pieces):
        if piece.kind == "text":
            yield MarkupItem("object" if OBJECT in piece.text else "text", piece.raw, piece.text)
        elif piece.kind != "leaf":
            yield MarkupItem("open" if piece.kind == "open" else "close", piece.raw, piece.name)
        elif piece.name == "text:s":
            yield MarkupItem("text", piece.raw, " ")
        elif piece.name == "text:tab":
            yield MarkupItem("boundary", piece.raw)
        elif piece.name == "text:line-break":
            following = next((one.text.lstrip()[:1] for one in pieces[i + 1 : i + 10] if one.text.strip()), "")
            yield MarkupItem("void" if following.islower() else "boundary", piece.raw)
        elif piece.name in MARKS or piece.name.startswith("draw:"):
            yield MarkupItem("hidden", piece.raw)
        else:
            yield MarkupItem("object", piece.raw)


def read_open_document(content: bytes, options: ReadOptions, *, kind: str) -> OfficeDocument:
    """Read an OpenDocument file.

    Raises:
        InvalidDocument: it is encrypted or broken.
        TooLarge: it unpacks to too much.
    """
    container = Container(content, kind, options.max_unpacked_bytes)
    if MANIFEST in container.names:
        read_member(container, MANIFEST, _refuse_encryption)
    names = [name for name in TEXT_MEMBERS if name == CONTENT or name in container.names]
    return OfficeDocument(container, dict.fromkeys(names, OpenDocumentSchema()))


def _refuse_encryption(token: XmlToken) -> None:
    if token.name == "manifest:encryption-data":
        raise InvalidDocument("the file is encrypted; save it without a password")


ODT = DocumentFormat(("odt",), f"{MEDIA_TYPE}.text", partial(read_open_document, kind="odt"))
ODP = DocumentFormat(("odp",), f"{MEDIA_TYPE}.presentation", partial(read_open_document, kind="odp"))
ODS = DocumentFormat(("ods",), f"{MEDIA_TYPE}.spreadsheet", partial(read_open_document, kind="ods"))
