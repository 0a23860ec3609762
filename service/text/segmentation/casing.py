"""Change the case of sentences in all capitals, which models translate badly.

The model reads such a sentence in lower case, and its translation is written in capitals again: "STOP NOW!" is read as
"Stop now!", and "Halt!" comes back as "HALT!".
"""

import re

_WORD = re.compile(r"[^\W\d_]+")
_SMALL = re.compile("[a-zß-öø-ÿ]")  # enough of the small letters to tell most sentences that are not in capitals
# Languages that have both a dotted letter i (i, İ) and a dotless one (ı, I).
_DOTLESS_I_LANGUAGES = {"tr", "az"}


def is_all_caps(text: str) -> bool:
    """Return whether a sentence is in capitals and is more than one or a few acronyms."""
    if _SMALL.search(text):
        return False
    words = [word for word in _WORD.findall(text) if word.lower() != word.upper()]
    if any(word != word.upper() for word in words):
        return False
    long_words = [word for word in words if len(word) > 1]
    return len(long_words) >= 2 and (len(words) >= 3 or any(len(word) >= 4 for word in long_words))


def lowercase(text: str, language: str, starts_sentence: bool) -> str:
    """Return the text in lower case, with its first letter a capital if it starts a sentence.

    Character positions stay the same: a text whose length would change is returned as it is.
    """
    spelled = text.replace("I", "ı").replace("İ", "i") if language in _DOTLESS_I_LANGUAGES else text
    lower = spelled.lower()
    if len(lower) != len(text):
        return text
    if language == "en":
        lower = re.sub(r"\bi\b", "I", lower)
    first_word = _WORD.search(lower)
    if starts_sentence and first_word is not None:
        start = first_word.start()
        lower = lower[:start] + text[start] + lower[start + 1 :]
    return lower


def uppercase(text: str, language: str) -> str:
    """Return the text in capitals."""
    return (text.replace("i", "İ") if language in _DOTLESS_I_LANGUAGES else text).upper()
