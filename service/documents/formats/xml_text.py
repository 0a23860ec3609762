"""The texts of an XML document: each paragraph is a text to translate, everything else stays byte for byte.

A first pass finds where the paragraphs are; each is parsed when it is asked for, so that memory holds the document once
and not a tree of it. A paragraph may hold others, as in a text box or a footnote. The element with these, a container,
is a mark in the text around it, and its own paragraphs are translated by themselves.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from service.documents.formats.xml_tokens import Namespaces, XmlToken, read_xml
from service.errors import TooLarge
from service.text.markup.blocks import Block
from service.text.markup.document import Document

MAX_PARAGRAPHS = 200_000
MAX_PARAGRAPH_TOKENS = 100_000  # tags and pieces of text
# Stands for a container in the text of a paragraph. The characters are not allowed in XML, not even as references.
CONTAINER = re.compile("\x01([0-9]+)\x02")


class XmlPiece(NamedTuple):
    """A piece of a paragraph: a tag of an element whose content may be text, a text, or a whole other element."""

    kind: Literal["open", "close", "text", "leaf"]
    raw: str
    name: str = ""  # of a tag or a leaf; empty for a comment
    text: str = ""
    attributes: dict[str, str] = {}


class XmlSchema(Protocol):
    """What the elements of a format mean."""

    def is_paragraph(self, name: str) -> bool:
        """Return whether an element is a paragraph."""

    def is_skipped(self, token: XmlToken) -> bool:
        """Return whether no paragraph in an element is translated; `token` is its open tag."""

    def is_transparent(self, token: XmlToken) -> bool:
        """Return whether an element within a paragraph may have text of it; `token` is its open tag."""

    def parts(self, pieces: list[XmlPiece]) -> list[str | Block]:
        """Return the blocks of a paragraph and the markup around them; joined, they are the pieces' `raw`."""


@dataclass(slots=True)
class _Container:
    """An element within a paragraph, with paragraphs of its own."""

    start: int
    end: int
    paragraphs: list[int]


@dataclass(slots=True)
class _Paragraph:
    start: int
    end: int
    namespaces: Namespaces
    containers: list[int]


@dataclass(slots=True)
class _OpenParagraph:
    start: int
    depth: int
    namespaces: Namespaces
    containers: list[int] = field(default_factory=list)
    has_letter: bool = False
    tokens: int = 0
    leaf_start: int = 0
    leaf_depth: int = 0  # 0 outside leaves
    leaf_paragraphs: list[int] = field(default_factory=list)


class XmlText:
    """An XML document as paragraphs."""

    def __init__(self, data: bytes, schema: XmlSchema) -> None:
        """Find the paragraphs of a document in UTF-8.

        Raises:
            InvalidDocument: the XML is broken, or has a document type declaration.
            TooLarge: there are too many paragraphs, or one has too many elements.
        """
        self._data, self._schema = data, schema
        self._scan = _Scan(schema)
        read_xml(data, self._scan.on_token)

    def __len__(self) -> int:
        return len(self._scan.paragraphs)

    def paragraph(self, k: int) -> Document:
        """Return the k-th paragraph."""
        found = self._scan.paragraphs[k]
        reader = _ParagraphReader(self._data[found.start : found.end], self._schema, self._container_marks(found))
        read_xml(reader.data, reader.on_token, found.namespaces)
        first, *inner, last = reader.pieces
        return Document([first.raw, *self._schema.parts(inner), last.raw])

    def render(self, translations: Sequence[str]) -> bytes:
        """Return the document in UTF-8, with a translation for each paragraph."""
        output: list[bytes] = []
        self._write(0, len(self._data), self._scan.outermost, translations, output)
        return b"".join(output)

    def _container_marks(self, paragraph: _Paragraph) -> dict[int, str]:
        """Return what stands for each container, by its position in the paragraph."""
        marks = {}
        for k in paragraph.containers:
            marks[self._scan.containers[k].start - paragraph.start] = f"\x01{k}\x02"
        return marks

    def _write(
        self, start: int, end: int, paragraphs: list[int], translations: Sequence[str], output: list[bytes]
    ) -> None:
        """Add a part of the document to the output; the depth of XML bounds the recursion."""
        for k in paragraphs:
            paragraph = self._scan.paragraphs[k]
            output.append(self._data[start : paragraph.start])
            for i, piece in enumerate(CONTAINER.split(translations[k])):
                if i % 2:
                    inner = self._scan.containers[int(piece)]
                    self._write(inner.start, inner.end, inner.paragraphs, translations, output)
                else:
                    output.append(piece.encode())
            start = paragraph.end
        output.append(self._data[start:end])


class _Scan:
    """Finds the paragraphs of a document; inner ones come before those around them."""

    def __init__(self, schema: XmlSchema) -> None:
        self.paragraphs: list[_Paragraph] = []
        self.containers: list[_Container] = []
        self.outermost: list[int] = []  # the paragraphs that are in no other
        self._schema = schema
        self._depth = 0
        self._skipped_depth = 0  # 0 outside skipped elements
        self._open: list[_OpenParagraph] = []

    def on_token(self, token: XmlToken) -> None:
        """Take note of a token."""
        if token.kind == "open":
            self._depth += 1
            if not self._skipped_depth:
                self._on_open(token)
        elif token.kind == "close":
            if self._skipped_depth == self._depth:
                self._skipped_depth = 0
            if not self._skipped_depth:
                self._on_close(token)
            self._depth -= 1
        elif self._open and not self._open[-1].leaf_depth:
            paragraph = self._open[-1]
            paragraph.has_letter = paragraph.has_letter or any(map(str.isalpha, token.text))
            self._count(paragraph)

    def _on_open(self, token: XmlToken) -> None:
        if self._open and not self._open[-1].leaf_depth:
            self._count(self._open[-1])
            if self._schema.is_transparent(token):
                return
            self._open[-1].leaf_start, self._open[-1].leaf_depth = token.start, self._depth
        if self._schema.is_skipped(token):
            self._skipped_depth = self._depth
        elif self._schema.is_paragraph(token.name):
            self._open.append(_OpenParagraph(token.start, self._depth, token.namespaces))

    def _on_close(self, token: XmlToken) -> None:
        if self._open and self._open[-1].depth == self._depth:
            self._close_paragraph(self._open.pop(), token.end)
        if self._open and self._open[-1].leaf_depth == self._depth:
            self._close_leaf(self._open[-1], token.end)

    def _close_paragraph(self, paragraph: _OpenParagraph, end: int) -> None:
        around = self._open[-1].leaf_paragraphs if self._open else self.outermost
        if not paragraph.has_letter:
            for k in paragraph.containers:
                around += self.containers[k].paragraphs
            return
        if len(self.paragraphs) >= MAX_PARAGRAPHS:
            raise TooLarge(f"the document has more than {MAX_PARAGRAPHS} paragraphs with text; split it")
        around.append(len(self.paragraphs))
        self.paragraphs.append(_Paragraph(paragraph.start, end, paragraph.namespaces, paragraph.containers))

    def _close_leaf(self, paragraph: _OpenParagraph, end: int) -> None:
        if paragraph.leaf_paragraphs:
            paragraph.containers.append(len(self.containers))
            self.containers.append(_Container(paragraph.leaf_start, end, paragraph.leaf_paragraphs))
            paragraph.leaf_paragraphs = []
        paragraph.leaf_depth = 0

    @staticmethod
    def _count(paragraph: _OpenParagraph) -> None:
        paragraph.tokens += 1
        if paragraph.tokens > MAX_PARAGRAPH_TOKENS:
            raise TooLarge(f"a paragraph has more than {MAX_PARAGRAPH_TOKENS} elements; split it")


class _ParagraphReader:
    """Reads one paragraph into pieces."""

    def __init__(self, data: bytes, schema: XmlSchema, container_marks: dict[int, str]) -> None:
        self.data = data
        self.pieces: list[XmlPiece] = []
        self._schema, self._container_marks = schema, container_marks
        self._depth = 0
        self._leaf: XmlToken | None = None
        self._leaf_depth = 0

    def on_token(self, token: XmlToken) -> None:
        """Take note of a token."""
        self._depth += token.kind == "open"
        if self._leaf is None:
            self._on_outer_token(token)
        elif token.kind == "close" and self._depth == self._leaf_depth:
            self._add("leaf", self._leaf, token.end)
            self._leaf = None
        self._depth -= token.kind == "close"

    def _on_outer_token(self, token: XmlToken) -> None:
        if token.kind == "other":
            self._add("leaf", token, token.end)
        elif token.kind != "open" or self._depth == 1 or self._schema.is_transparent(token):
            self._add(token.kind, token, token.end)
        else:
            self._leaf, self._leaf_depth = token, self._depth

    def _add(self, kind: Literal["open", "close", "text", "leaf"], token: XmlToken, end: int) -> None:
        raw = self._container_marks.get(token.start) if kind == "leaf" else None
        if raw is None:
            raw = self.data[token.start : end].decode()
        self.pieces.append(XmlPiece(kind, raw, token.name, token.text, dict(token.attributes)))
