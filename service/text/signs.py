"""Compare the signs of a text with those of its translation: brackets, quotation marks, dashes, symbols.

All double quotation marks count as the same, because each language has its own. A dash between spaces may become
another kind of dash, but not nothing.
"""

import re

_SYMBOLS = "()[]{}<>&*_~#@$€£%°§|\\^=+/"
_QUOTES = '"„“”«»'
_ALL = frozenset(_SYMBOLS + _QUOTES + "–—-")
_DASH = re.compile(r"(?<=\s)[-–—]{1,2}(?=\s)|(?<=\w)—(?=\w)")
_ANY_DASH = re.compile(r"[-–—]")
_RUN = re.compile(r"[.!?]{2,}")


def has_changed_signs(source: str, target: str) -> bool:
    """Return whether a translation lacks signs of its source, or has others."""
    if _RUN.search(target) and not _RUN.search(source):
        return True
    if _ALL.isdisjoint(source) and _ALL.isdisjoint(target):
        return False
    if any(source.count(sign) != target.count(sign) for sign in _SYMBOLS):
        return True
    if sum(map(source.count, _QUOTES)) != sum(map(target.count, _QUOTES)):
        return True
    dashes = len(_DASH.findall(source))
    return dashes > 0 and len(_ANY_DASH.findall(target)) < dashes
