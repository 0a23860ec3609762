"""The interface of all file formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.errors import InvalidDocument
from service.text.markup.document import Document

# A text to translate: plain, or parsed markup.
DocumentUnit = str | Document


class TranslatableDocument(Protocol):
    """A document as a sequence of texts to translate, and everything between them, which stays as it is.

    A unit may be parsed again each time that it is asked for, so that memory does not hold all of them.
    """

    @property
    def units(self) -> Sequence[DocumentUnit]:
        """The texts to translate, in order."""

    def render(self, translations: Sequence[str]) -> bytes:
        """Return the document with a translation for each unit.

        Where a translation equals its unit, the bytes are those of the original.
        """


@dataclass(frozen=True)
class ReadOptions:
    """What a format may need to know about the task."""

    target: str  # target language
    max_unpacked_bytes: int = 100_000_000  # of a zip container


@dataclass(frozen=True)
class DocumentFormat:
    """A file format."""

    extensions: tuple[str, ...]  # in lower case, without the dot
    media_type: str
    # Raises `InvalidDocument` if the bytes are not of this format, and `TooLarge` if they unpack to too many.
    read: Callable[[bytes, ReadOptions], TranslatableDocument]


def character_count(unit: DocumentUnit) -> int:
    """Return the number of characters to translate in a unit."""
    return len(unit) if isinstance(unit, str) else sum(map(len, unit.block_texts))


def text_of(unit: DocumentUnit) -> str:
    """Return the text of a unit without its markup."""
    return unit if isinstance(unit, str) else " ".join(unit.block_texts)


def source_text(unit: DocumentUnit) -> str:
    """Return a unit as it is in the document."""
    return unit if isinstance(unit, str) else unit.source


def check_count(units: Sequence[DocumentUnit], translations: Sequence[str]) -> None:
    """Check that there is a translation for each unit.

    Raises:
        ValueError: there is not.
    """
    if len(units) != len(translations):
        raise ValueError(f"{len(translations)} translations for {len(units)} units")


def decode_text(content: bytes, kind: str) -> tuple[str, str]:
    """Return a text file's text and its encoding; a byte order mark stays at the start of the text.

    Raises:
        InvalidDocument: it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"", "utf-8")):
        if content.startswith(mark):
            try:
                return content.decode(encoding), encoding
            except UnicodeDecodeError as error:
                raise InvalidDocument(
                    f"the {kind} file is not valid {encoding.upper()} at byte {error.start}; save it in UTF-8"
                ) from None
    raise AssertionError("every content starts with nothing")
