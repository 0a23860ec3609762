"""Translations to capitals, with the links of a perfect aligner."""

from service.text.alignment import AlignmentLink
from service.text.words import word_spans


def word_links(text: str) -> tuple[AlignmentLink, ...]:
    """Link every word, and every other character, to itself."""
    return tuple(AlignmentLink(start, end, start, end) for start, end in word_spans(text))


def upper(text: str) -> str:
    """Return a text in capitals with the same number of characters: 'ß' stays."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)
