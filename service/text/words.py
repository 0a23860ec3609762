"""Split a text into words, in every script.

`word_spans("Rad 2x!")` yields the spans of "Rad", " ", "2x" and "!"; in "東京" each character is a word.
"""

import re
import unicodedata
from collections.abc import Iterator

# First and last character of the scripts without spaces between words, where each character counts as a word:
# Thai and Lao, Burmese, Khmer, Japanese kana, Chinese characters.
_UNSPACED_SCRIPTS = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3040", "\u30ff"),
    ("\u3400", "\u9fff"),
)
# A text without combining marks, joiners and those scripts, in which a regular expression finds the words.
_SIMPLE = re.compile("[\x00-\u02ff\u2010-\u206f€]*")
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of words, of runs of white space, and of all other characters one by one.

    The spans cover the text without gaps.
    """
    if _SIMPLE.fullmatch(text):
        yield from (match.span() for match in _WORD.finditer(text))
        return
    start = 0
    while start < len(text):
        end = start + 1
        if _is_spaced_word_character(text[start]):
            while end < len(text) and _is_spaced_word_character(text[end]):
                end += 1
        elif text[start].isspace():
            while end < len(text) and text[end].isspace():
                end += 1
        yield start, end
        start = end


def is_word_character(character: str) -> bool:
    """Return whether a character belongs to a word: a letter, a digit, an underscore, a joiner or a combining mark."""
    return character.isalnum() or character in "_\u200c\u200d" or unicodedata.category(character)[0] == "M"


def _is_spaced_word_character(character: str) -> bool:
    return is_word_character(character) and not any(first <= character <= last for first, last in _UNSPACED_SCRIPTS)
