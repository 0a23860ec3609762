"""Write numbers as the target language does; their value never changes."""

import re

_ORDINAL = {
    "en": re.compile(r"(\d+)(?:st|nd|rd|th)"),
    "fr": re.compile(r"(\d+)(?:ers?|res?|e|es|ème|èmes)"),
    "es": re.compile(r"(\d+)\.?[ºª]"),
}
_ENGLISH_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def localise(text: str, source: str, target: str) -> str:
    """Return a number in the format of the target language; any other text as it is.

    "8th" in English is "8." in German, "8e" in French and "8.º" in Spanish.
    """
    ordinal = _ORDINAL[source].fullmatch(text) if source in _ORDINAL else None
    return _ordinal(int(ordinal[1]), target) or text if ordinal and len(text) < 8 else text


def _ordinal(number: int, language: str) -> str:
    if language == "de":
        return f"{number}."
    if language == "fr":
        return f"{number}{'er' if number == 1 else 'e'}"
    if language == "es":
        return f"{number}.º"
    if language == "en":
        last = number % 10 if number % 100 not in {11, 12, 13} else 0
        return f"{number}{_ENGLISH_ENDINGS.get(last, 'th')}"
    return ""
