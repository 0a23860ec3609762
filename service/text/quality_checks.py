"""Detect broken translations by their form: empty, copied, repetitive, too long or too short, in the wrong script.

`find_issues(source, target, language)` returns the codes of the issues, such as `repetition` for "dort dort dort dort".
The thresholds are set for few false alarms: of the human translations in Tatoeba, FLORES-200 and newstest, fewer than
one in a thousand is flagged.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from functools import lru_cache

EMPTY = "empty_output"
COPIED = "copied_source"
REPETITION = "repetition"
LENGTH = "length_ratio"
SCRIPT = "wrong_script"
NUMBER = "number_changed"
SIGN = "sign_changed"

# Names, titles and numbers stay as they are in a translation; a copied text of this many common words is an issue.
MIN_COPIED_WORDS = 4
# The longest accepted ratio of the lengths, after adding the allowance (in letters) to both.
MAX_LENGTH_RATIO = 2.5
LENGTH_ALLOWANCE = 12
# The largest accepted share of letters in a script that the target language does not use.
MAX_WRONG_SCRIPT = 0.5

_LANGUAGES_BY_SCRIPT = {
    "LATIN": """af bs ca cs cy da de en eo es et eu fi fo fr ga gl hr ht hu id is it la lb lg lt lv mg mi ms mt nb nl nn
        no oc om pl pt ro sk sl sn so sq st su sv sw tl tn tr ts vi xh yo zu""",
    "CYRILLIC": "be bg kk ky mk mn ru tg uk",
    "ARABIC": "ar fa ps ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "hi mr ne sa",
    "ETHIOPIC": "am ti",
}
_SCRIPTS: dict[str, tuple[str, ...]] = {
    **{language: (script,) for script, languages in _LANGUAGES_BY_SCRIPT.items() for language in languages.split()},
    "az": ("LATIN", "CYRILLIC"), "sr": ("CYRILLIC", "LATIN"), "uz": ("LATIN", "CYRILLIC"),
    "zh": ("CJK",), "ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "ko": ("HANGUL", "CJK"),
    "el": ("GREEK",), "ka": ("GEORGIAN",), "hy": ("ARMENIAN",), "th": ("THAI",), "lo": ("LAO",), "km": ("KHMER",),
    "my": ("MYANMAR",), "bn": ("BENGALI",), "as": ("BENGALI",), "ta": ("TAMIL",), "te": ("TELUGU",), "kn": ("KANNADA",),
    "ml": ("MALAYALAM",), "gu": ("GUJARATI",), "pa": ("GURMUKHI", "ARABIC"), "si": ("SINHALA",), "or": ("ORIYA",),
    "bo": ("TIBETAN",),
}  # fmt: skip
# How many Latin letters one character of these scripts is worth in length.
_LETTERS_PER_CHARACTER = {"CJK": 3.0, "HIRAGANA": 1.5, "KATAKANA": 1.5, "HANGUL": 2.0}
_WORD = re.compile(r"[^\W\d_]+")
_WHOLE_WORD = re.compile(r"\b[^\W\d_]{2,}\b")  # unlike the letters of 5th and 13kg
# Text without letters other than Latin ones: the checks of script and length need not look at each character then.
_LATIN = re.compile("[ -~¡-©«-±´¶-¸»¿-ɏ\u2010-\u203a€]*")
_NOT_ALPHANUMERIC = bytes(c for c in range(128) if not chr(c).isalnum())
# A substring of 2 to 96 characters four times in a row, or the same letter five times in a row.
_REPETITION = re.compile(r"(\S.{1,95}?)(?:\s?\1){3,}|([^\W\d_])\2{4,}")
_LETTER_RUN = re.compile(r"([^\W\d_])\1{4}")
_MAX_PERIOD = 97  # from the beginning of a repeated substring to the next one


def find_issues(source: str, target: str, target_language: str) -> list[str]:
    """Return the codes of the issues found in a translation, an empty list if there are none.

    The script is checked only if the target language is in _SCRIPTS.
    """
    if not any(map(str.isalpha, source)):
        return []
    if not any(map(str.isalpha, target)) and _lost_its_words(source, target):
        return [EMPTY]
    checks = {
        COPIED: _is_copy(source, target),
        REPETITION: _is_repetitive(target) and not _is_repetitive(source),
        LENGTH: _has_wrong_length(source, target),
        SCRIPT: _has_wrong_script(source, target, target_language),
    }
    return [code for code, found in checks.items() if found]


def _lost_its_words(source: str, target: str) -> bool:
    """Return whether a translation without letters is no translation: numbers may be written in digits, words not."""
    if not any(map(str.isdecimal, target)):
        return True
    return any(map(str.isdecimal, source)) and _WHOLE_WORD.search(source) is not None


def uses_latin_script(language: str) -> bool:
    """Return whether a language is known to be written in the Latin script."""
    return "LATIN" in _SCRIPTS.get(language.split("-")[0].lower(), ())


def _is_copy(source: str, target: str) -> bool:
    first, other = _WORD.search(source), _WORD.search(target)
    if first and other and first[0].casefold() != other[0].casefold():
        return False  # as of nearly all translations
    words = _WORD.findall(source)
    # The first word is capitalised and counts as a common one, hence the -1.
    common_words = sum(word.islower() and len(word) > 1 for word in words[1:])
    same = [word.casefold() for word in words] == [word.casefold() for word in _WORD.findall(target)]
    return same and common_words >= MIN_COPIED_WORDS - 1


def _is_repetitive(text: str) -> bool:
    """Return whether a substring with a letter in it is repeated several times in a row."""
    folded = text.casefold()
    if not (_has_periodic_trigram(folded) and (_LETTER_RUN.search(folded) or _has_repeated_bigram(folded))):
        return False
    return any(any(map(str.isalpha, match[1] or match[2])) for match in _REPETITION.finditer(folded))


def _has_periodic_trigram(text: str) -> bool:
    """Return whether three characters occur three times at equal distances.

    Every repetition of _REPETITION contains such a trigram, few other sentences do, and this test takes a tenth of the
    time of the regular expression.
    """
    counts = Counter(zip(text, text[1:], text[2:], strict=False))
    if len(counts) > len(text) - 4 or max(counts.values()) < 3:
        return False  # none occurs three times: nearly every sentence
    last_position: dict[str, int] = {}
    last_distance: dict[str, int] = {}
    for position in range(len(text) - 2):
        trigram = text[position : position + 3]
        previous = last_position.get(trigram)
        if previous is not None:
            distance = position - previous
            if last_distance.get(trigram) == distance:
                return True
            last_distance[trigram] = distance
        last_position[trigram] = position
    return False


def _has_repeated_bigram(text: str) -> bool:
    """Return whether some substring, which begins with one of the bigrams of the text, occurs four times in a row.

    A substring of _REPETITION has at least two characters, so each of its four beginnings has the same bigram. This
    test takes a fiftieth of the time of the regular expression.
    """
    positions: dict[str, list[int]] = {}
    for position in range(len(text) - 1):
        positions.setdefault(text[position : position + 2], []).append(position)
    return any(
        _occurs_four_times(text, first, second)
        for found in positions.values()
        if len(found) > 3
        for k, first in enumerate(found)
        for second in found[k + 1 : bisect_right(found, first + _MAX_PERIOD)]
    )


def _occurs_four_times(text: str, first: int, second: int) -> bool:
    """Return whether a substring begins at two positions and twice more after them, with one space between or none."""
    return _follows(text, text[first:second], second) or (
        text[second - 1].isspace() and _follows(text, text[first : second - 1], second)
    )


def _follows(text: str, substring: str, at: int) -> bool:
    """Return whether a substring occurs three times from a position on."""
    for _ in range(2):
        if not text.startswith(substring, at):
            return False
        at += len(substring)
        at += text[at : at + 1].isspace()
    return text.startswith(substring, at)


def _has_wrong_length(source: str, target: str) -> bool:
    ratio = (_length(target) + LENGTH_ALLOWANCE) / (_length(source) + LENGTH_ALLOWANCE)
    return not 1 / MAX_LENGTH_RATIO <= ratio <= MAX_LENGTH_RATIO


def _length(text: str) -> float:
    """Return the number of letters and digits; a character of a dense script counts as several."""
    if text.isascii():
        return len(text.encode().translate(None, _NOT_ALPHANUMERIC))
    if _LATIN.fullmatch(text):
        return sum(map(str.isalnum, text))
    return sum(_LETTERS_PER_CHARACTER.get(_script(c), 1.0) * count for c, count in Counter(text).items() if c.isalnum())


def _has_wrong_script(source: str, target: str, language: str) -> bool:
    """Return whether most letters, without the words copied from the source, are in a script of another language."""
    expected = _SCRIPTS.get(language.split("-")[0].lower())
    if expected is None or ("LATIN" in expected and _LATIN.fullmatch(target)):
        return False
    source_words = {word.casefold() for word in _WORD.findall(source)}
    letters = Counter("".join(word for word in _WORD.findall(target) if word.casefold() not in source_words))
    right = sum(count for c, count in letters.items() if _script(c) in expected)
    return right < (1 - MAX_WRONG_SCRIPT) * letters.total()


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Return the first word of the character's Unicode name, which is its script: "LATIN", "CJK", ..."""
    return unicodedata.name(character, "").partition(" ")[0]
