"""Plain text: the lines are translated, and line ends, indentation and the byte order mark stay as they are."""

import re
from collections.abc import Sequence

from service.documents.formats.document import DocumentFormat, ReadOptions, check_count, decode_text

# A part of the text ends at the first blank line after this many characters, or at the first line end after as many
# as the second number: sentences never go over a line end.
MIN_UNIT_CHARACTERS, MAX_UNIT_CHARACTERS = 500, 4000
LINE = re.compile(r"[^\n]*\n|[^\n]+")


class PlainTextDocument:
    """A text file, in units of whole lines."""

    def __init__(self, units: list[str], encoding: str) -> None:
        self.units, self._encoding = units, encoding

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        return "".join(translations).encode(self._encoding)


def read_plain_text(content: bytes, options: ReadOptions) -> PlainTextDocument:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        InvalidDocument: it is in another encoding.
    """
    text, encoding = decode_text(content, "text")
    return PlainTextDocument(split_at_line_ends(text), encoding)


def split_at_line_ends(text: str) -> list[str]:
    """Split a text into parts of whole lines, preferably at blank lines; joined, they are the text again."""
    parts: list[str] = []
    lines: list[str] = []
    length = 0
    for match in LINE.finditer(text):
        lines.append(match[0])
        length += len(match[0])
        if length >= MAX_UNIT_CHARACTERS or (length >= MIN_UNIT_CHARACTERS and not match[0].strip()):
            parts.append("".join(lines))
            lines, length = [], 0
    return [*parts, "".join(lines)] if lines else parts


FORMAT = DocumentFormat(("txt",), "text/plain", read_plain_text)
