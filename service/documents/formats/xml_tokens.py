"""Read XML into tokens with their positions, so that all of it but the texts can be written again byte for byte.

expat reads. A document type declaration is refused, and with it all entities of a document's own: nothing outside is
loaded, and nothing grows. Names are given with the prefixes of `PREFIXES`, whatever prefixes the document has.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.parsers import expat

from service.errors import InvalidDocument

MAX_DEPTH = 256
PREFIXES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/drawingml/2006/main": "a",
    "http://purl.oclc.org/ooxml/drawingml/main": "a",
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main": "x",
    "http://purl.oclc.org/ooxml/spreadsheetml/main": "x",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.openxmlformats.org/package/2006/content-types": "types",
    "urn:oasis:names:tc:opendocument:xmlns:office:1.0": "office",
    "urn:oasis:names:tc:opendocument:xmlns:text:1.0": "text",
    "urn:oasis:names:tc:opendocument:xmlns:table:1.0": "table",
    "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0": "draw",
    "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0": "manifest",
    "urn:oasis:names:tc:xliff:document:1.2": "xliff1",
    "urn:oasis:names:tc:xliff:document:2.0": "xliff2",
    "http://www.w3.org/XML/1998/namespace": "xml",
}
Namespaces = Mapping[str, str]  # from the prefixes of a document to those of `PREFIXES`, "?" for a namespace not there
NO_NAMESPACES: Namespaces = {"xml": "xml"}
_DECLARATION = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


@dataclass(slots=True)
class XmlToken:
    """A tag, a piece of text, or something else, such as a comment. An empty element is an open and a close tag."""

    kind: Literal["open", "close", "text", "other"]
    start: int  # of its first byte
    end: int
    name: str = ""  # of a tag, with a prefix of `PREFIXES`
    text: str = ""  # unescaped
    attributes: Mapping[str, str] = field(default_factory=dict)
    namespaces: Namespaces = field(default_factory=dict)  # within the element of an open tag


def read_xml(data: bytes, on_token: Callable[[XmlToken], None], namespaces: Namespaces = NO_NAMESPACES) -> None:
    """Call a function with each token of an XML document in UTF-8, or of one element of it.

    Raises:
        InvalidDocument: it is not well-formed, has a document type declaration, or is nested too deeply.
    """
    _XmlReader(on_token, namespaces).read(data)


class _XmlReader:
    """Turns the events of expat into tokens; a token ends where the next event begins."""

    def __init__(self, on_token: Callable[[XmlToken], None], namespaces: Namespaces) -> None:
        self._on_token = on_token
        self._pending: XmlToken | None = None
        self._path: list[tuple[str, Namespaces]] = [("", namespaces)]  # of the open elements
        self._cdata: list[str] | None = None  # the text of the open CDATA section, which is one token
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = False
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._open_cdata
        parser.EndCdataSectionHandler = self._close_cdata
        parser.CommentHandler = self._other
        parser.ProcessingInstructionHandler = lambda target, data: self._other("")
        parser.StartDoctypeDeclHandler = self._doctype

    def read(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise InvalidDocument(f"the XML is broken at line {error.lineno}: {reason}; save the file again") from None
        self._finish(len(data))

    def _finish(self, end: int) -> None:
        if self._pending is not None:
            self._pending.end = end
            self._on_token(self._pending)
            self._pending = None

    def _begin(self, token: XmlToken) -> None:
        token.start = self._parser.CurrentByteIndex
        self._finish(token.start)
        self._pending = token

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) > MAX_DEPTH:
            raise InvalidDocument(f"the XML is nested more than {MAX_DEPTH} elements deep; simplify it")
        namespaces = self._path[-1][1]
        if any(key == "xmlns" or key.startswith("xmlns:") for key in attributes):
            declared = {key[6:]: PREFIXES.get(value, "?") for key, value in attributes.items() if key[:5] == "xmlns"}
            namespaces = {**namespaces, **declared}
        qualified = _qualified(name, namespaces, namespaces.get("", ""))
        given = {_qualified(key, namespaces, ""): value for key, value in attributes.items()}
        self._path.append((qualified, namespaces))
        self._begin(XmlToken("open", 0, 0, qualified, "", given, namespaces))

    def _close(self, name: str) -> None:
        self._begin(XmlToken("close", 0, 0, self._path.pop()[0]))

    def _text(self, text: str) -> None:
        if self._cdata is None:
            self._begin(XmlToken("text", 0, 0, text=text))
        else:
            self._cdata.append(text)

    def _open_cdata(self) -> None:
        self._begin(XmlToken("text", 0, 0))
        self._cdata = []

    def _close_cdata(self) -> None:
        assert self._pending is not None
        self._pending.text, self._cdata = "".join(self._cdata or ()), None

    def _other(self, text: str) -> None:
        self._begin(XmlToken("other", 0, 0))

    def _doctype(self, *_: object) -> None:
        raise InvalidDocument("the XML has a document type declaration, which is not read; save the file without it")


def _qualified(name: str, namespaces: Namespaces, default: str) -> str:
    """Return a name with its prefix of `PREFIXES`; `default` is the one of names without a prefix."""
    prefix, colon, local = name.rpartition(":")
    prefix = namespaces.get(prefix, "?") if colon else default
    return f"{prefix}:{local}" if prefix else local


def decode_xml(content: bytes) -> tuple[bytes, str]:
    """Return an XML document in UTF-8, and the encoding that it has; a byte order mark stays.

    Raises:
        InvalidDocument: it is not in the encoding that it declares.
    """
    declared = _DECLARATION.match(content.removeprefix(codecs.BOM_UTF8))
    encoding = declared[1].decode().lower() if declared else "utf-8"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16-le" if content.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    try:
        text = content.decode(encoding)
        round_trip = text.encode(encoding) == content
    except (LookupError, UnicodeError, ValueError):
        raise InvalidDocument(f"the XML is not in {encoding.upper()}, which it declares; save it in UTF-8") from None
    if not round_trip:
        raise InvalidDocument(f"the XML is in {encoding.upper()}, which cannot be written back; save it in UTF-8")
    return (content if encoding == "utf-8" else text.encode()), encoding
