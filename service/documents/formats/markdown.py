"""Markdown: every paragraph, heading, list item and table cell is a unit; marks, code and links stay as they are."""

from collections.abc import Sequence

from service.documents.formats.document import DocumentFormat, ReadOptions, check_count, decode_text
from service.text.markup.document import Document
from service.text.markup.markdown import parse_markdown


class MarkdownDocument:
    """A Markdown file, in units of one block."""

    def __init__(self, document: Document, encoding: str) -> None:
        self._end, self._encoding = document.end, encoding
        self.units = document.split()

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        return "".join([*translations, self._end]).encode(self._encoding)


def read_markdown(content: bytes, options: ReadOptions) -> MarkdownDocument:
    """Read a Markdown file.

    Raises:
        InvalidDocument: it is neither UTF-8 nor UTF-16.
    """
    text, encoding = decode_text(content, "Markdown")
    return MarkdownDocument(parse_markdown(text), encoding)


FORMAT = DocumentFormat(("md", "markdown"), "text/markdown", read_markdown)
