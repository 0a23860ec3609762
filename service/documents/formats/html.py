"""HTML: every block of text is a unit; tags, attributes, scripts and comments stay as they are."""

import codecs
import re
from collections.abc import Sequence

from service.documents.formats.document import DocumentFormat, ReadOptions, check_count, decode_text
from service.errors import InvalidDocument
from service.text.markup.document import Document, parse

# The declaration must be in the first 1024 bytes (HTML, "Specifying the document's character encoding").
DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
DECLARATION_BYTES = 1024


class HtmlDocument:
    """An HTML file, in units of one block."""

    def __init__(self, document: Document, encoding: str) -> None:
        self._document, self._encoding = document, encoding
        self.units = document.split()

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        # A character that the encoding does not have is written as a numeric reference.
        return "".join([*translations, self._document.end]).encode(self._encoding, "xmlcharrefreplace")


def read_html(content: bytes, options: ReadOptions) -> HtmlDocument:
    """Read an HTML file in the encoding that it declares, or else UTF-8.

    Raises:
        InvalidDocument: it is not in that encoding.
    """
    declared = DECLARED.search(content[:DECLARATION_BYTES])
    if declared is None or content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text, encoding = decode_text(content, "HTML")
    else:
        text, encoding = _decode_declared(content, declared[1].decode())
    return HtmlDocument(parse(text, "html"), encoding)


def _decode_declared(content: bytes, name: str) -> tuple[str, str]:
    # Browsers read ISO 8859-1 as Windows-1252 (WHATWG Encoding Standard), and so do the authors of such pages.
    encoding = "windows-1252" if name.lower() in {"iso-8859-1", "latin1", "ascii", "us-ascii"} else name
    try:
        text = content.decode(encoding)
        round_trip = text.encode(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise InvalidDocument(f"the HTML file is not in {name}, which it declares; save it in UTF-8") from None
    if round_trip != content:
        raise InvalidDocument(f"the HTML file declares {name}, which cannot be written back; save it in UTF-8")
    return text, encoding


FORMAT = DocumentFormat(("html", "htm", "xhtml"), "text/html", read_html)
