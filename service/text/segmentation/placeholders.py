"""What a translation must not touch: addresses, placeholders, code, control tags, and numbers that must not get lost.

A small model never saw a placeholder, and copies none: of artificial marks such as `{0}`, `XQZ` or `[1]` the shipped
models bring back not one in a hundred. What they do copy are the years that news and dates are full of: 80 to 96 % of
those in STAND_INS. So a protected span goes to the model as a year that the text does not have, and is put back where
that year comes out, provided that it comes out exactly once. What did not is translated in parts, around its spans.
"""

import re
import unicodedata
from collections.abc import Sequence

from service.text.alignment import Span

PLACEHOLDERS = ("2013", "2003", "2018", "2012", "2019", "2016", "2014", "1990")
# Up to twelve, languages prefer words to digits: "12 eggs" may well become "a dozen".
SPELLED_OUT = 12

# Every repetition is bounded or cannot fail, so the search takes time in proportion to the text, whatever the text.
_PROTECTED = re.compile(
    r"""
    `{1,3}[^`\n]{1,500}`{1,3}                                                   # `code`
  | (?<![A-Za-z0-9])(?:(?i:https?|ftp|file)://|(?i:www)\.)[^URL_END]+                 # https://example.org/path
  | (?<![\w.+-])(?:[\w.+-]|(?<=\w)['’](?=\w)){1,64}+
    @(?:[\w-]{1,63}+\.){1,5}[A-Za-z]{2,24}(?![\w@])                              # name@example.org
  | (?<![\w.@-])(?:[A-Za-z0-9-]{1,63}+\.){1,5}(?:com|org|net|edu|gov|info|io|dev|app|eu|de|fr|es|it|nl|pl|ch|at|uk|us)
    (?![\w@-])(?!\.\w)(?:/[^URL_END]*)?                                               # example.org/path
  | \{\{[^{}\n]{0,200}\}\} | \$?\{[^{}\n]{0,200}\}                              # {{name}} {name} ${name}
  | %\([\w.]{1,60}\)[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?[a-zA-Z]                    # %(name)s
  | (?<![\d%])%(?:\d{1,2}\$)?[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?
    (?:ll|l|h|z)?[sdifuxXoeEgGcpr@](?![A-Za-z])                                 # %s %1$s %.2f
  | <[/|!]?[A-Za-z0-9][\w|:.-]{0,60}(?:\s[^<>\n]{0,300}=[^<>\n]{0,300})?\s?[/|]?>   # <b> </s> <2de> <|end|> <a href="">
  | &(?:[A-Za-z][A-Za-z0-9]{1,10}|\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6});         # &nbsp;
  | [\ufffc\ufffd]                                                              # stands for an object
    """.replace("URL_END", r'\s\u200b\ufeff<>"`{}|\\^\u3001\u3002\uff0c\uff01\uff1f'),
    re.VERBOSE,
)
# 5, 3rd, 10am: with a word's letters or without, it may be written as a word.
# A number of one group, or of two that only a point or a comma parts: nothing of it may be missing.
_ONE = re.compile(r"[^\W\d]*\d+(?:[.,]\d+)?[^\W\d]*")
_SPACED = re.compile(r"(?<=\d)\s(?=\d{3}(?!\d))")
_SMALL = re.compile(r"\d{1,2}[a-z]{0,3}")
_NUMBER = re.compile(r"\d++(?:-\d++){2,}+(?!\w)|\w+(?:(?<=\d)[.,:/'’\u00a0\u202f](?=\d)\w+)*+")


def find_protected_spans(text: str) -> list[Span]:
    """Spans that must come through a translation unchanged, in order and apart from each other."""
    spans: list[Span] = []
    for found in _PROTECTED.finditer(text):
        start, end = found.span()
        if text[start].isalnum():
            end = _without_punctuation(text, start, end)
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _without_punctuation(text: str, start: int, end: int) -> int:
    """Where an address ends whose last characters may belong to the sentence around it."""
    unopened = text.count(")", start, end) - text.count("(", start, end)
    while text[end - 1] in ".,;:!?'\"*_])»”’…":
        if text[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return end


def text_outside(text: str, spans: Sequence[Span]) -> str:
    """What is between the spans, with spaces in their places."""
    borders = [0, *(border for span in spans for border in span), len(text)]
    return " ".join(text[a:b] for a, b in zip(borders[::2], borders[1::2], strict=True))


def find_numbers(text: str) -> list[Span]:
    """Spans of the numbers that no language spells out, each with the letters that it hangs together with."""
    return [(start, end) for start, end in _every_number(text) if _telling(text[start:end])]


def has_lost_numbers(source: str, target: str) -> bool:
    """Whether a number of the source is missing in the target.

    1,000 and 1.000 and 1 000 and 1000 are the same, 1.5 and 1,5 are, and 15 is another; 12:30 may be 12 Uhr 30.
    """
    telling = [source[start:end] for start, end in find_numbers(source)]
    if not telling:
        return False
    written = [text[start:end] for text in {target, _SPACED.sub("", target)} for start, end in _every_number(text)]
    values, groups = set(map(_value, written)), {group.lstrip("0") for group in _groups(target)}
    return any(
        _value(number) not in values
        and (_ONE.fullmatch(number) is not None or not groups.issuperset(g.lstrip("0") for g in _groups(number)))
        for number in telling
    )


def _every_number(text: str) -> list[Span]:
    if not any(map(str.isdecimal, text)):
        return []
    return [found.span() for found in _NUMBER.finditer(text) if any(map(str.isdecimal, found[0]))]


def _telling(number: str) -> bool:
    return _SMALL.fullmatch(number) is None or int(_digits(number)) > SPELLED_OUT


def _digits(number: str) -> str:
    return "".join(str(unicodedata.decimal(c)) for c in number if c.isdecimal())


def _value(number: str) -> str:
    """A number without what groups its thousands, a point between all other parts."""
    first, *rest = _groups(number)
    if len(first) <= 3 and first[0] != "0":
        while rest and len(rest[0]) == 3:
            first += rest.pop(0)
    return ".".join([first.lstrip("0") or "0", *rest])


def _groups(text: str) -> list[str]:
    return [_digits(group) for group in re.findall(r"\d+", text)]


def choose_placeholders(text: str, spans: Sequence[Span]) -> list[str] | None:
    """What the model reads in place of each span; None if there is nothing that it would bring back."""
    free = [year for year in PLACEHOLDERS if year not in text]
    if len(spans) > len(free) or any(touches_word(text, span) for span in spans):
        return None
    return free[: len(spans)]


def touches_word(text: str, span: Span) -> bool:
    """Whether the span touches a letter or a digit: with a stand-in, the model would read one word."""
    start, end = span
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def find_placeholders(text: str, expected: list[str]) -> list[Span] | None:
    """Where each stand-in is in a translation; None unless every one is there exactly once, as a word of its own."""
    places = []
    for year in expected:
        if text.count(year) != 1:
            return None
        start = text.index(year)
        end = start + len(year)
        if touches_word(text, (start, end)) or re.match(r"[.,]\d", text[end : end + 2]) or _joined(text, start):
            return None
        places.append((start, end))
    return places


def _joined(text: str, start: int) -> bool:
    return re.fullmatch(r"\d[.,]", text[max(0, start - 2) : start]) is not None
