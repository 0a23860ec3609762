"""Protect the spans of a text that must come through a translation unchanged.

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
from collections.abc import Sequence

from service.text.alignment import Span

PLACEHOLDERS = ("2013", "2003", "2018", "2012", "2019", "2016", "2014", "1990")

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
