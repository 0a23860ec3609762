"""Compare the numbers of a text with those of its translation: none may be lost, changed or invented.

A number may be written in digits or as a word, and in the format of its language: 3.500,50 = 3,500.50 = 3 500,50. A
time may lose its separator: "12:30" may be "12 Uhr 30". The value must stay.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from service.text.alignment import Span
from service.text.number_words import LANGUAGES, MAX_SPELLED_OUT, NumberWord, find_number_words, has_cardinal

# 2020-05-01, or digits and letters with separators between the digits: 1,000.50, 2:30, x86, 13kg.
# At most 9 groups joined by hyphens, so that a run of them without a word's end after it takes linear time.
_NUMBER = re.compile(r"\d++(?:-\d++){2,8}+(?!\w)|\w+(?:(?<=\d)[.,:/'’\u00a0\u202f](?=\d)\w+)*+")
# One group of digits, or two with a decimal point or comma: the whole number must be in the translation.
_SIMPLE = re.compile(r"[^\W\d]*\d+(?:[.,]\d+)?[^\W\d]*")
_THOUSANDS_SPACE = re.compile(r"(?<=\d)\s(?=\d{3}(?!\d))")
_GROUP = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
# 5, 3rd, 10am: may be written as a word if it is small.
_SHORT = re.compile(r"\d{1,2}[a-z]{0,3}")
# What stands before or after the hour of a time, or within it.
_BEFORE_HOUR = re.compile(r"\b(?:at|um|gegen|vers|à|a las?|las?)\s$", re.IGNORECASE)
_AFTER_HOUR = re.compile(
    r"\s?(?:uhr|h|heures?|o['’]?\s?clock|[ap]\.?\s?m\.?|horas?|de la (?:mañana|tarde|noche)|du (?:matin|soir))(?!\w)",
    re.IGNORECASE,
)
_HOUR = re.compile(r"\d{1,2}(?:[:h]\d\d.*|h|[ap]m)", re.IGNORECASE)
# 2 million, 3,5 Millionen. Only the first digit of a run begins a match, so that a run takes linear time.
_SCALED = re.compile(r"(?<!\d)(\d++(?:[.,]\d++)?)\s(?i:(thousand|tausend|mille|mil)|(mill?i[oó]n\w*))\b")


class NumberDifferences(NamedTuple):
    """What is wrong with the numbers of a translation."""

    lost: list[Span]  # of the source
    invented: list[Span]  # of the translation


def number_spans(text: str) -> list[Span]:
    """Return the spans of all numbers in digits, with adjacent letters, as in "13kg"."""
    if not _DIGIT.search(text):
        return []
    return [match.span() for match in _NUMBER.finditer(text) if _DIGIT.search(match[0])]


def find_numbers(text: str) -> list[Span]:
    """Return the spans of the numbers that every language writes in digits, with adjacent letters, as in "13kg"."""
    return [(start, end) for start, end in number_spans(text) if not may_be_spelled_out(text[start:end])]


def compare_numbers(source: str, target: str, source_language: str, target_language: str) -> NumberDifferences:
    """Return the numbers of the source that the target lacks, and those of the target that the source does not have.

    Number words are compared only if the number words of both languages are known.
    """
    source_digits, target_digits = number_spans(source), number_spans(target)
    knows_words = {source_language, target_language} <= LANGUAGES
    has_words = knows_words and (has_cardinal(source, source_language) or has_cardinal(target, target_language))
    if not source_digits and not target_digits and not has_words:
        return NumberDifferences([], [])
    source_words, target_words = (
        find_number_words(text, language) if knows_words else []
        for text, language in ((source, source_language), (target, target_language))
    )
    source_digits, target_digits = (
        _with_thousands(source, source_digits, target, target_digits),
        _with_thousands(target, target_digits, source, source_digits),
    )
    sides = _Side(source, source_digits, source_words), _Side(target, target_digits, target_words)
    return NumberDifferences(_unmatched(*sides, knows_words), _unmatched(*sides[::-1], knows_words))


def _with_thousands(text: str, spans: Sequence[Span], other: str, other_spans: Sequence[Span]) -> list[Span]:
    """Return the spans of numbers; those of 5 000 are one if the other text has this number."""
    if len(spans) < 2 or _THOUSANDS_SPACE.search(text) is None:
        return list(spans)
    values = {_normalised(other[start:end]) for start, end in other_spans}
    found: list[Span] = []
    for start, end in spans:
        joined = (found[-1][0], end) if found and _THOUSANDS_SPACE.match(text, found[-1][1]) else None
        if (
            joined
            and found[-1][1] + 1 == start
            and _normalised(_THOUSANDS_SPACE.sub("", text[slice(*joined)])) in values
        ):
            found[-1] = joined
        else:
            found.append((start, end))
    return found


class _Side:
    """The numbers of a text or of its translation."""

    def __init__(self, text: str, digits: Sequence[Span], words: Sequence[NumberWord]) -> None:
        self.text, self.digits, self.words = text, digits, words
        # How often each value is there, in digits or as a word.
        self.counts = Counter(self.value(*span) for span in digits)
        self.counts.update(str(word.value) for word in words)
        self.words_values = {str(word.value) for word in words}
        self.groups = Counter(group.lstrip("0") for start, end in digits for group in _digit_groups(text[start:end]))
        self.parts = {
            group.lstrip("0")
            for start, end in digits
            if _SIMPLE.fullmatch(text[start:end]) is None
            for group in _digit_groups(text[start:end])
        }  # of times, dates and ranges
        # The hours of its times by the other clock.
        self.hours = {
            str((int(group) + 12) % 24)
            for start, end in digits
            if self.is_time(start, end)
            for group in _digit_groups(text[start:end])[:1]
            if len(group) < 3
        }
        self.scaled: dict[int, str] = {}  # the values of 2 million and 3,5 Millionen, by the start of the number
        for match in _SCALED.finditer(text) if digits else ():
            value = float(_normalised(match[1])) * (1000 if match[2] else 10**6)
            if math.isfinite(value):  # hundreds of digits are not
                self.scaled[match.start()] = f"{value:.10g}" if value < 1e10 else str(int(value))
        self.scaled_values = set(self.scaled.values())

    def value(self, start: int, end: int) -> str:
        """Return a number in digits, normalised, with the letters that stand before its digits."""
        number = _THOUSANDS_SPACE.sub("", self.text[start:end])
        first = _GROUP.search(number)
        return (number[: first.start()].casefold() if first else "") + _normalised(number)

    def is_time(self, start: int, end: int) -> bool:
        """Return whether a number is a time, or its hour."""
        if _HOUR.fullmatch(self.text, start, end) or _AFTER_HOUR.match(self.text, end):
            return True
        return _BEFORE_HOUR.search(self.text, max(0, start - 8), start) is not None

    def contains(self, number: str, is_time: bool, knows_words: bool) -> bool:
        """Return whether a number in digits is here in another spelling, in several groups, or by the other clock."""
        hours = self.hours if is_time else set[str]()
        value = _normalised(number)
        if value in self.scaled_values:
            return True
        groups = Counter(group.lstrip("0") for group in _digit_groups(number))
        if _SIMPLE.fullmatch(number) is None and all(
            not group or group in hours or self.groups[group] + (group in self.words_values) >= count
            for group, count in groups.items()
        ):
            return True
        if value in self.parts:  # 12 of 12:30
            return True
        if not knows_words and may_be_spelled_out(number):
            return True
        return value in hours


def _unmatched(side: _Side, other: _Side, knows_words: bool) -> list[Span]:
    """Return the numbers of one side that the other side lacks, or has less often."""
    found = []
    left = Counter(other.counts)
    for start, end in side.digits:
        value, scaled = side.value(start, end), side.scaled.get(start, "")
        if left[value] > 0:
            left[value] -= 1
        elif scaled and (left[scaled] > 0 or scaled in other.scaled_values):
            left[scaled] -= 1
        elif not other.contains(side.text[start:end], side.is_time(start, end), knows_words):
            found.append((start, end))
    for word in side.words:
        value = str(word.value)
        if not word.cardinal:
            continue
        if left[value] > 0:
            left[value] -= 1
        elif value not in other.parts and value not in other.scaled_values:
            found.append((word.start, word.end))
    return sorted(found)


def may_be_spelled_out(number: str) -> bool:
    """Return whether a translation may have a word for a number in digits, in any language."""
    return _SHORT.fullmatch(number) is not None and int(_ascii_digits(number)) <= MAX_SPELLED_OUT


def _ascii_digits(number: str) -> str:
    return "".join(str(unicodedata.decimal(c)) for c in number if c.isdecimal())


def _normalised(number: str) -> str:
    """Return a number without thousands separators and with a point between its other groups: 1,234.56 as 1234.56."""
    groups = _digit_groups(number)
    whole = 1  # groups before the decimal point
    if len(groups[0]) <= 3 and groups[0][0] != "0":
        while whole < len(groups) and len(groups[whole]) == 3:
            whole += 1
    return ".".join(["".join(groups[:whole]).lstrip("0") or "0", *groups[whole:]])


def _digit_groups(text: str) -> list[str]:
    return [_ascii_digits(group) for group in _GROUP.findall(text)]
