"""What a word is, in every script."""

import unicodedata
from collections.abc import Iterator

# Scripts that put no spaces between words: there, each character is a word of its own.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3040", "\u30ff"),
    ("\u3400", "\u9fff"),
)


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Spans of words, of runs of spaces, and of all other characters one by one."""
    start = 0
    while start < len(text):
        end = start + 1
        if is_word_character(text[start]) and not _unspaced(text[start]):
            while end < len(text) and is_word_character(text[end]) and not _unspaced(text[end]):
                end += 1
        elif text[start].isspace():
            while end < len(text) and text[end].isspace():
                end += 1
        yield start, end
        start = end


def is_word_character(character: str) -> bool:
    """Whether a character belongs to a word."""
    return character.isalnum() or character in "_\u200c\u200d" or unicodedata.category(character)[0] == "M"


def _unspaced(character: str) -> bool:
    return any(first <= character <= last for first, last in _UNSPACED)
