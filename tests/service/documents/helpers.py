"""Translations of documents without a model: the same text, and the text in capitals."""

from collections.abc import Callable

from service.documents.formats.document import DocumentUnit, ReadOptions, TranslatableDocument
from service.text.alignment import AlignedText, AlignmentLink
from service.text.markup.document import Document
from service.text.words import word_spans

Read = Callable[[bytes, ReadOptions], TranslatableDocument]
OPTIONS = ReadOptions("de")


def unchanged(unit: DocumentUnit) -> str:
    """Translate a unit to itself, as the translator does with a text that a model returns as it was."""
    return unit if isinstance(unit, str) else unit.render([AlignedText(text) for text in unit.block_texts])


def capitals(unit: DocumentUnit) -> str:
    """Translate a unit to capitals, with links from every character to itself."""
    if isinstance(unit, Document):
        return unit.render([AlignedText(upper(text), word_links(text)) for text in unit.block_texts])
    return upper(unit)


def word_links(text: str) -> tuple[AlignmentLink, ...]:
    """Link every word, and every other character, to itself."""
    return tuple(AlignmentLink(start, end, start, end) for start, end in word_spans(text))


def upper(text: str) -> str:
    """Return a text in capitals with the same number of characters: 'ß' stays."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)


def round_trip(read: Read, content: bytes, translate: Callable[[DocumentUnit], str] = unchanged) -> bytes:
    """Read a document and write it with the translations of its units."""
    document = read(content, OPTIONS)
    return document.render([translate(unit) for unit in document.units])
