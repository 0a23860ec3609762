"""What looks wrong with a translation, whatever it says.

The thresholds leave human translations alone: of those in Tatoeba, FLORES-200 and newstest, less than one in a thousand
is flagged.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

EMPTY = "empty_output"
COPIED = "copied_source"
REPETITION = "repetition"
LENGTH = "length_ratio"
SCRIPT = "wrong_script"

# Names, titles and numbers are rightly copied; of this many words that are no names, hardly ever all.
COPIED_WORDS = 4
# How many times longer or shorter than its source, when both have this many letters more than they have.
LENGTH_FACTOR = 2.5
LENGTH_ALLOWANCE = 12
WRONG_LETTERS = 0.5

_LANGUAGES = {
    "LATIN": """af bs ca cs cy da de en eo es et eu fi fo fr ga gl hr ht hu id is it la lb lg lt lv mg mi ms mt nb nl nn
        no oc om pl pt ro sk sl sn so sq st su sv sw tl tn tr ts vi xh yo zu""",
    "CYRILLIC": "be bg kk ky mk mn ru tg uk",
    "ARABIC": "ar fa ps ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "hi mr ne sa",
    "ETHIOPIC": "am ti",
}
_SCRIPTS: dict[str, tuple[str, ...]] = {
    **{language: (script,) for script, languages in _LANGUAGES.items() for language in languages.split()},
    "az": ("LATIN", "CYRILLIC"), "sr": ("CYRILLIC", "LATIN"), "uz": ("LATIN", "CYRILLIC"),
    "zh": ("CJK",), "ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "ko": ("HANGUL", "CJK"),
    "el": ("GREEK",), "ka": ("GEORGIAN",), "hy": ("ARMENIAN",), "th": ("THAI",), "lo": ("LAO",), "km": ("KHMER",),
    "my": ("MYANMAR",), "bn": ("BENGALI",), "as": ("BENGALI",), "ta": ("TAMIL",), "te": ("TELUGU",), "kn": ("KANNADA",),
    "ml": ("MALAYALAM",), "gu": ("GUJARATI",), "pa": ("GURMUKHI", "ARABIC"), "si": ("SINHALA",), "or": ("ORIYA",),
    "bo": ("TIBETAN",),
}  # fmt: skip
# One character of these says as much as several letters.
_DENSE = {"CJK": 3.0, "HIRAGANA": 1.5, "KATAKANA": 1.5, "HANGUL": 2.0}
_WORD = re.compile(r"[^\W\d_]+")
# A part that comes four times, one right after the other, or a letter that comes five times.
_LOOP = re.compile(r"(\S.{1,95}?)(?:\s?\1){3,}|([^\W\d_])\2{4,}")


def find_issues(source: str, target: str, target_language: str) -> list[str]:
    """The codes of all that looks wrong with a translation, none as a rule.

    Which script is right is known for the languages of _SCRIPTS only.
    """
    if not any(map(str.isalpha, source)):
        return []
    if not any(map(str.isalnum, target)):
        return [EMPTY]
    checks = {
        COPIED: _copied(source, target),
        REPETITION: _loops(target) and not _loops(source),
        LENGTH: _lengthened(source, target),
        SCRIPT: _foreign(source, target, target_language),
    }
    return [code for code, found in checks.items() if found]


def _copied(source: str, target: str) -> bool:
    words = _WORD.findall(source)
    common = sum(word.islower() and len(word) > 1 for word in words[1:])
    same = [word.casefold() for word in words] == [word.casefold() for word in _WORD.findall(target)]
    return same and common >= COPIED_WORDS - 1


def _loops(text: str) -> bool:
    """Whether a part with a letter in it comes again and again."""
    folded = text.casefold()
    if not _evenly_spaced(folded):
        return False
    return any(any(map(str.isalpha, loop[1] or loop[2])) for loop in _LOOP.finditer(folded))


def _evenly_spaced(text: str) -> bool:
    """Whether three characters come three times at equal distances, as in whatever comes four times in a row.

    Hardly a sentence has that, and it is found out in a tenth of the time that a regular expression takes.
    """
    seen: dict[str, int] = {}
    distances: dict[str, int] = {}
    for place in range(len(text) - 2):
        triple = text[place : place + 3]
        before = seen.get(triple)
        if before is not None:
            distance = place - before
            if distances.get(triple) == distance:
                return True
            distances[triple] = distance
        seen[triple] = place
    return False


def _lengthened(source: str, target: str) -> bool:
    before, after = _weight(source) + LENGTH_ALLOWANCE, _weight(target) + LENGTH_ALLOWANCE
    return not 1 / LENGTH_FACTOR <= after / before <= LENGTH_FACTOR


def _weight(text: str) -> float:
    if text.isascii():
        return sum(map(str.isalnum, text))
    return sum(_DENSE.get(_script(c), 1.0) * count for c, count in Counter(text).items() if c.isalnum())


def _foreign(source: str, target: str, language: str) -> bool:
    """Whether most letters are of no script of the language, but for words that the source has too."""
    expected = _SCRIPTS.get(language.split("-")[0].lower())
    if expected is None or (target.isascii() and "LATIN" in expected):
        return False
    own = {word.casefold() for word in _WORD.findall(source)}
    characters = Counter("".join(word for word in _WORD.findall(target) if word.casefold() not in own))
    right = sum(count for c, count in characters.items() if _script(c) in expected)
    return right < (1 - WRONG_LETTERS) * characters.total()


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
