"""Text in capitals: models read it badly, so they get it in lower case, and what comes back is raised again."""

import re

_WORD = re.compile(r"[^\W\d_]+")
# Languages whose small i keeps its dot in capitals, and whose I has none in small letters.
_DOTTED = {"tr", "az"}


def is_all_caps(text: str) -> bool:
    """Whether a sentence is all capitals, and more than an acronym or a few."""
    words = [word for word in _WORD.findall(text) if word.lower() != word.upper()]
    if any(word != word.upper() for word in words):
        return False
    long = [word for word in words if len(word) > 1]
    return len(long) >= 2 and (len(words) >= 3 or any(len(word) >= 4 for word in long))


def lowercase(text: str, language: str, opening: bool) -> str:
    """The text in small letters, with a capital in front if it opens a sentence.

    Positions stay: a text that would change its length comes back as it was.
    """
    spelled = text.replace("I", "ı").replace("İ", "i") if language in _DOTTED else text
    small = spelled.lower()
    if len(small) != len(text):
        return text
    if language == "en":
        small = re.sub(r"\bi\b", "I", small)
    first = _WORD.search(small)
    if opening and first is not None:
        small = small[: first.start()] + text[first.start()] + small[first.start() + 1 :]
    return small


def uppercase(text: str, language: str) -> str:
    """The text in capitals."""
    return (text.replace("i", "İ") if language in _DOTTED else text).upper()
