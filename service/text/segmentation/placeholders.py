"""Protect the spans of a text that must come through a translation unchanged, and check that no number gets lost.

`find_protected_spans` finds URLs, e-mail addresses, template variables, code and tags. The model reads a placeholder in
place of each: "Dear {name}," becomes "Dear 2013,", and `find_placeholders` finds 2013 again in the translation, where
the unit puts {name} back.

The placeholders are years because a small model has never seen an artificial symbol and does not copy it: of symbols
such as `{0}`, `XQZ` or `[1]` the shipped models reproduce fewer than one in a hundred, but of the years in
PLACEHOLDERS, which are frequent in news, 80 to 96 %. Only years that the text does not contain are used, and a span is
put back only if its placeholder occurs exactly once in the translation. Otherwise the text is split around its spans,
and the parts are translated one by one.
"""

import re
import unicodedata
from collections.abc import Sequence

from service.text.alignment import Span

PLACEHOLDERS = ("2013", "2003", "2018", "2012", "2019", "2016", "2014", "1990")
# Numbers up to this one may be written as words in a translation: "12 eggs" may become "a dozen".
MAX_SPELLED_OUT = 12

# Every repetition is bounded or cannot backtrack, so that the search takes linear time on any text.
_PROTECTED = re.compile(
    r"""
    `{1,3}[^`\n]{1,500}`{1,3}                                                   # `code`
  | (?<![A-Za-z0-9])(?:(?i:https?|ftp|file)://|(?i:www)\.)[^URL_END]+           # https://example.org/path
  | (?<![\w.+-])(?:[\w.+-]|(?<=\w)['’](?=\w)){1,64}+
    @(?:[\w-]{1,63}+\.){1,5}[A-Za-z]{2,24}(?![\w@])                             # name@example.org
  | (?<![\w.@-])(?:[A-Za-z0-9-]{1,63}+\.){1,5}(?:com|org|net|edu|gov|info|io|dev|app|eu|de|fr|es|it|nl|pl|ch|at|uk|us)
    (?![\w@-])(?!\.\w)(?:/[^URL_END]*)?                                         # example.org/path
  | \{\{[^{}\n]{0,200}\}\} | \$?\{[^{}\n]{0,200}\}                              # {{name}} {name} ${name}
  | %\([\w.]{1,60}\)[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?[a-zA-Z]                    # %(name)s
  | (?<![\d%])%(?:\d{1,2}\$)?[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?
    (?:ll|l|h|z)?[sdifuxXoeEgGcpr@](?![A-Za-z])                                 # %s %1$s %.2f
  | <[/|!]?[A-Za-z0-9][\w|:.-]{0,60}(?:\s[^<>\n]{0,300}=[^<>\n]{0,300})?\s?[/|]?>  # <b> </s> <2de> <|end|> <a href="">
  | &(?:[A-Za-z][A-Za-z0-9]{1,10}|\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6});         # &nbsp;
  | [\ufffc\ufffd]                                                              # object replacement, replacement
    """.replace("URL_END", r'\s\u200b\ufeff<>"`{}|\\^\u3001\u3002\uff0c\uff01\uff1f'),
    re.VERBOSE,
)
# One group of digits, or two with a decimal point or comma: the whole number must be in the translation.
_SIMPLE_NUMBER = re.compile(r"[^\W\d]*\d+(?:[.,]\d+)?[^\W\d]*")
_THOUSANDS_SPACE = re.compile(r"(?<=\d)\s(?=\d{3}(?!\d))")
# 5, 3rd, 10am: may be written as a word if it is small.
_SHORT_NUMBER = re.compile(r"\d{1,2}[a-z]{0,3}")
# 2020-05-01, or digits and letters with separators between the digits: 1,000.50, 2:30, x86, 13kg.
# At most 9 groups joined by hyphens, so that a run of them without a word's end after it takes linear time.
_NUMBER = re.compile(r"\d++(?:-\d++){2,8}+(?!\w)|\w+(?:(?<=\d)[.,:/'’\u00a0\u202f](?=\d)\w+)*+")


def find_protected_spans(text: str) -> list[Span]:
    """Return the spans that a translation must not change, in order; adjacent spans are merged."""
    spans: list[Span] = []
    for match in _PROTECTED.finditer(text):
        start, end = match.span()
        if text[start].isalnum():
            end = _strip_punctuation(text, start, end)
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _strip_punctuation(text: str, start: int, end: int) -> int:
    """Return the end of a URL or address without the punctuation that belongs to the sentence around it.

    A closing parenthesis stays if it was opened in the URL.
    """
    unopened = text.count(")", start, end) - text.count("(", start, end)
    while text[end - 1] in ".,;:!?'\"*_])»”’…":
        if text[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return end


def text_outside(text: str, spans: Sequence[Span]) -> str:
    """Return the text without the spans, with a space in place of each."""
    borders = [0, *(border for span in spans for border in span), len(text)]
    return " ".join(text[a:b] for a, b in zip(borders[::2], borders[1::2], strict=True))


def find_numbers(text: str) -> list[Span]:
    """Return the spans of the numbers that every language writes in digits, with adjacent letters, as in "13kg"."""
    return [(start, end) for start, end in _number_spans(text) if _is_always_in_digits(text[start:end])]


def has_lost_numbers(source: str, target: str) -> bool:
    """Return whether a number of the source is missing in the target.

    1,000, 1.000, 1 000 and 1000 are equal, so are 1.5 and 1,5, but not 15. A number of several groups may be written
    differently as long as all groups are there: 12:30 may be "12 Uhr 30".
    """
    numbers = [source[start:end] for start, end in find_numbers(source)]
    if not numbers:
        return False
    target_numbers = [
        text[start:end] for text in {target, _THOUSANDS_SPACE.sub("", target)} for start, end in _number_spans(text)
    ]
    target_values = set(map(_normalised, target_numbers))
    target_groups = {group.lstrip("0") for group in _digit_groups(target)}
    return any(
        _normalised(number) not in target_values
        and (
            _SIMPLE_NUMBER.fullmatch(number) is not None
            or not target_groups.issuperset(group.lstrip("0") for group in _digit_groups(number))
        )
        for number in numbers
    )


def _number_spans(text: str) -> list[Span]:
    if not any(map(str.isdecimal, text)):
        return []
    return [match.span() for match in _NUMBER.finditer(text) if any(map(str.isdecimal, match[0]))]


def _is_always_in_digits(number: str) -> bool:
    return _SHORT_NUMBER.fullmatch(number) is None or int(_ascii_digits(number)) > MAX_SPELLED_OUT


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
    return [_ascii_digits(group) for group in re.findall(r"\d+", text)]


def choose_placeholders(text: str, spans: Sequence[Span]) -> list[str] | None:
    """Return a placeholder for each span, or None if the model would lose one.

    That is so if there are more spans than placeholders that the text does not contain, or if a span touches a word.
    """
    unused = [year for year in PLACEHOLDERS if year not in text]
    if len(spans) > len(unused) or any(touches_word(text, span) for span in spans):
        return None
    return unused[: len(spans)]


def touches_word(text: str, span: Span) -> bool:
    """Return whether a letter or digit is next to the span, so that a placeholder would merge with it into one word."""
    start, end = span
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def find_placeholders(text: str, expected: list[str]) -> list[Span] | None:
    """Return the span of each placeholder in a translation, or None unless each occurs exactly once as a whole word."""
    spans = []
    for year in expected:
        if text.count(year) != 1:
            return None
        start = text.index(year)
        end = start + len(year)
        if touches_word(text, (start, end)) or _is_part_of_number(text, start, end):
            return None
        spans.append((start, end))
    return spans


def _is_part_of_number(text: str, start: int, end: int) -> bool:
    """Return whether a separator joins the span to more digits, as in 2013,5 and 1.2013."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return re.match(r"[.,]\d", after) is not None or re.fullmatch(r"\d[.,]", before) is not None
