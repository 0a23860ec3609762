"""Translations of documents without a model: the same text, and the text in capitals."""

from collections.abc import Callable

from service.documents.formats.document import DocumentUnit, ReadOptions, TranslatableDocument
from service.text.alignment import AlignedText
from service.text.markup.document import Document
from tests.service.text.markup.helpers import upper, word_links

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


def round_trip(read: Read, content: bytes, translate: Callable[[DocumentUnit], str] = unchanged) -> bytes:
    """Read a document and write it with the translations of its units."""
    document = read(content, OPTIONS)
    return document.render([translate(unit) for unit in document.units])
