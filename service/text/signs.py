"""Compare the signs of a text with those of its translation: brackets, quotation marks, dashes, symbols.

All double quotation marks count as the same, because each language has its own. A dash between spaces may become
another kind of dash, but not nothing.
"""

import re

from service.text.alignment import Span

_SYMBOLS = "()[]{}<>&*_~#@$€£%°§|\\^=+/±×÷\ufffd"
_SYMBOL_SET = frozenset(_SYMBOLS)
QUOTES = '"„“”«»'  # double ones
_ANY = re.compile(f"[{re.escape(_SYMBOLS)}{QUOTES}–—'’‘‚‹›…-]")
DASH = re.compile(r"(?<=\s)[-–—]{1,2}(?=\s)|(?<=\w)—(?=\w)")
# Single quotation marks around words, unlike apostrophes.
_SINGLE_QUOTES = re.compile(r"(?<![\w'’])['‘‚‹](?=\w)[^'‘’‚‹›\n]{1,80}(?<=[\w.!?,])['’‘›](?!\w)")
# What a text can be split around: brackets and double quotation marks, dashes and slashes between words.
_SPLITTING = re.compile(rf"[()\[\]{{}}{QUOTES}]|{DASH.pattern}|(?<=\w)/(?=\w)")
# A dash that begins a sentence, as of a speaker in a dialogue.
LEADING_DASH = re.compile(r"[-–—]\s+(?=\S)")
_ANY_DASH = re.compile(r"[-–—]")
_RUN = re.compile(r"[.!?…]{2,}|…")


def has_changed_signs(source: str, target: str) -> bool:
    """Return whether a translation lacks signs of its source, or has others."""
    if len(_RUN.findall(source)) != len(_RUN.findall(target)):
        return True
    if not (_ANY.search(source) or _ANY.search(target)):
        return False
    if any(source.count(sign) != target.count(sign) for sign in _SYMBOL_SET.intersection(source + target)):
        return True
    if sum(map(source.count, QUOTES)) != sum(map(target.count, QUOTES)):
        return True
    if _lost_single_quotes(source, target):
        return True
    if LEADING_DASH.match(target) and not LEADING_DASH.match(source):
        return True
    dashes = len(DASH.findall(source))
    return dashes > 0 and len(_ANY_DASH.findall(target)) < dashes


def find_dashes(text: str) -> list[Span]:
    """Return the spans of the dashes between words."""
    return [match.span() for match in DASH.finditer(text)]


def find_single_quotes(text: str) -> list[Span]:
    """Return the spans of words in single quotation marks, the marks included."""
    return [match.span() for match in _SINGLE_QUOTES.finditer(text)]


def _lost_single_quotes(source: str, target: str) -> bool:
    quoted = len(find_single_quotes(source))
    return quoted > 0 and len(find_single_quotes(target)) < quoted


def find_splitting_signs(text: str) -> list[Span]:
    """Return the spans of brackets, quotation marks, dashes and slashes, around which a sentence can be split."""
    return [match.span() for match in _SPLITTING.finditer(text)]
