"""Office Open XML spreadsheets: xlsx. Texts of cells, comments, text boxes and charts are translated.

Not translated: numbers, formulas and their results, names of sheets, and the headings of tables and pivot tables, which
Excel compares with the names of their columns.
"""

from collections.abc import Sequence
from typing import Literal

from service.documents.formats.container import Container
from service.documents.formats.document import DocumentFormat, ReadOptions
from service.documents.formats.office import OfficeDocument, read_member
from service.documents.formats.office_open import TEXT_TYPES, OfficeOpenSchema, read_content_types
from service.documents.formats.runs import ESCAPES
from service.documents.formats.xml_text import XmlPiece
from service.documents.formats.xml_tokens import XmlToken
from service.text.markup.blocks import OBJECT, Block, Escaping, MarkupItem, read_blocks

OFFICE = "application/vnd.openxmlformats-officedocument"
XLSX_TYPE = f"{OFFICE}.spreadsheetml.sheet"
STRING_TYPES = {f"{OFFICE}.spreadsheetml.{name}+xml" for name in ("sharedStrings", "comments")}
SHEET_TYPE = f"{OFFICE}.spreadsheetml.worksheet+xml"
DRAWING_TYPE = f"{OFFICE}.drawing+xml"
INLINE_STRING = b"inlineStr"  # in a sheet that has texts of its own; large sheets without are not read
# Parts with names of columns, and the elements that have them.
NAME_TYPES = {f"{OFFICE}.spreadsheetml.{name}+xml" for name in ("table", "pivotCacheDefinition")}
NAMED = frozenset({"x:tableColumn", "x:cacheField"})
ESCAPED_LINE_END = "_x000a_"
PARAGRAPHS = frozenset({"x:si", "x:is", "x:text"})
TRANSPARENT = frozenset({"x:r", "x:t"})


class SpreadsheetSchema(OfficeOpenSchema):
    """The elements of SpreadsheetML, and of DrawingML for text boxes and charts."""

    def __init__(self, column_names: frozenset[str]) -> None:
        self._column_names = column_names

    def is_paragraph(self, name: str) -> bool:
        return name in PARAGRAPHS or super().is_paragraph(name)

    def is_transparent(self, token: XmlToken) -> bool:
        return token.name in TRANSPARENT or super().is_transparent(token)

    def parts(self, pieces: Sequence[XmlPiece]) -> list[str | Block]:
        text = "".join(piece.text for piece in pieces if piece.kind == "text")
        if text in self._column_names:
            return ["".join(piece.raw for piece in pieces)]
        if [piece.kind for piece in pieces if piece.kind != "text"] == ["open", "close"] and pieces[0].name == "x:t":
            return [pieces[0].raw, *_lines(pieces[1:-1]), pieces[-1].raw]
        return super().parts(pieces)


def _lines(pieces: Sequence[XmlPiece]) -> list[str | Block]:
    """Return the lines of a text without formats, each a block; the parser gives each line end as a piece."""
    return read_blocks([MarkupItem(_kind(piece.text), piece.raw, piece.text) for piece in pieces], Escaping(ESCAPES))


def _kind(text: str) -> Literal["text", "object", "boundary"]:
    if text == "\n":
        return "boundary"
    return "object" if OBJECT in text else "text"


def read_spreadsheet(content: bytes, options: ReadOptions) -> OfficeDocument:
    """Read an xlsx file.

    Raises:
        InvalidDocument: it is encrypted, broken, or of another kind.
        TooLarge: it unpacks to too much.
    """
    container = Container(content, "xlsx", options.max_unpacked_bytes)
    types = read_content_types(container, "xlsx", f"{XLSX_TYPE}.main+xml")
    column_names: set[str] = set()

    def on_token(token: XmlToken) -> None:
        if token.kind == "open" and token.name in NAMED:
            column_names.add(token.attributes.get("name", "").replace(ESCAPED_LINE_END, "\n"))

    names = []
    for name in container.names:
        kind = types.get(name.lower())
        if kind in NAME_TYPES:
            read_member(container, name, on_token)
        elif kind in STRING_TYPES | TEXT_TYPES | {DRAWING_TYPE} or (
            kind == SHEET_TYPE and INLINE_STRING in container.read(name)
        ):
            names.append(name)
    return OfficeDocument(container, dict.fromkeys(names, SpreadsheetSchema(frozenset(column_names))))


XLSX = DocumentFormat(("xlsx",), XLSX_TYPE, read_spreadsheet)
