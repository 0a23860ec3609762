"""Placeholders: what a model reads in place of a span that must come through a translation unchanged.

A model may have learnt placeholder tokens, which its manifest declares; they are taken first. Where there are none, or
not enough of them, years are.

The model reads "Dear {name}," as "Dear 2013,", and `find_placeholders` finds 2013 again in the translation, where the
unit puts {name} back. The decoder writes each placeholder exactly once, see `DecodingOptions.required`.

They are years because a small model that was not trained on placeholders has never seen an artificial symbol and does
not copy it: of symbols such as `{0}`, `XQZ` or `[1]` the shipped models reproduce fewer than one in a hundred on their
own, but of the years in PLACEHOLDERS, which are frequent in news, 80 to 96 %. So a year mostly comes where it belongs,
and only the others are put where the decoder can. Only years that the text does not contain are used, and a span is
put back only if its placeholder occurs exactly once in the translation. Otherwise the text is split around its spans,
and the parts are translated one by one.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from service.text.alignment import Span

PLACEHOLDERS = (
    "2013", "2003", "2018", "2012", "2019", "2016", "2014", "1990", "2008", "1996", "2005", "1985", "2017", "1998",
    "2006", "1975",
)  # fmt: skip

# What a model reads in place of "&".
_AND = {"en": "and", "de": "und", "fr": "et", "es": "y"}


class Placeholder(NamedTuple):
    """What the model reads in place of a span, and what it writes."""

    source: str
    target: str


def text_outside(text: str, spans: Sequence[Span]) -> str:
    """Return the text without the spans, with a space in place of each."""
    if not spans:
        return text
    borders = [0, *(border for span in spans for border in span), len(text)]
    return " ".join(text[a:b] for a, b in zip(borders[::2], borders[1::2], strict=True))


def choose_placeholders(
    text: str, spans: Sequence[Span], languages: tuple[str, str], tokens: Sequence[str] = ()
) -> list[Placeholder] | None:
    """Return a placeholder for each span, the model's placeholder tokens first, or None if the model would lose one.

    That is so if there are more spans than placeholders that the text does not contain, or if a span touches a word.
    """
    if not spans:
        return []
    if any(touches_word(text, span) for span in spans):
        return None
    unused = [one for one in (*tokens, *PLACEHOLDERS) if one not in text]
    placeholders = []
    for start, end in spans:
        conjunctions = _conjunctions(text, languages) if text[start:end] == "&" and text.count("&") == 1 else None
        if conjunctions:
            placeholders.append(conjunctions)
        elif unused:
            placeholders.append(Placeholder(unused[0], unused.pop(0)))
        else:
            return None
    return placeholders


def _conjunctions(text: str, languages: tuple[str, str]) -> Placeholder | None:
    """Return the word "and" in both languages, if they are known and the text does not have it."""
    source, target = map(_AND.get, languages)
    if source is None or target is None or re.search(rf"\b{source}\b", text):
        return None
    return Placeholder(source, target)


def touches_word(text: str, span: Span) -> bool:
    """Return whether a letter or digit is next to the span, so that a placeholder would merge with it into one word."""
    start, end = span
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def find_placeholders(text: str, expected: list[str]) -> list[Span] | None:
    """Return the span of each placeholder in a translation, or None unless each occurs exactly once as a whole word."""
    spans = []
    for placeholder in expected:
        if placeholder.isdecimal() or not placeholder.isalnum():
            found = [text.find(placeholder)] if text.count(placeholder) == 1 else []
        else:
            found = [match.start() for match in re.finditer(rf"\b{placeholder}\b", text)]
        if len(found) != 1:
            return None
        start = found[0]
        end = start + len(placeholder)
        if touches_word(text, (start, end)) or _is_part_of_number(text, start, end):
            return None
        spans.append((start, end))
    return spans


def _is_part_of_number(text: str, start: int, end: int) -> bool:
    """Return whether a separator joins the span to more digits, as in 2013,5 and 1.2013."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return re.match(r"[.,]\d", after) is not None or re.fullmatch(r"\d[.,]", before) is not None
