"""Find the sentences of a text, as spans.

A model reads only what is inside a span. Line ends, tabs, bullets, numbering, emoji, the space around sentences and
lines without a letter are outside all spans, so the model cannot lose them: "1. Go!  It is late. 😀" has the sentences
"Go!" and "It is late.".

The text is first split at separators, and then by `sentencex`. Borders of sentencex inside a protected span, after an
abbreviation or after an ordinal number are ignored.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import sentencex

from service.text.alignment import Span

# sentencex takes quadratic time for unclosed quotation marks, so it reads windows of this many characters.
WINDOW = 4096
# sentencex never ends a sentence within quotation marks, closed or not. From this length on, such a sentence is split
# again with its quotation marks removed.
LONG_QUOTATION = 160

_PICTOGRAPH = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\ue000-\uf8ff\U0001f000-\U0001faff"
_PICTOGRAPH_MODIFIER = "\ufe0e\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_SEPARATOR = re.compile(
    rf"""
    [\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]   # line and column separators
  | \s{{3,}}                                # columns aligned with spaces
  | [|\u2022\u2023\u2043]                   # table columns and bullets
  | [0-9#*]\ufe0f?\u20e3                    # keycaps
  | [{_PICTOGRAPH}][{_PICTOGRAPH_MODIFIER}]*+  # emoji, arrows, boxes, icons
    """,
    re.VERBOSE,
)
_LINE_PREFIX = re.compile(
    r"""(?:
    \s | [*+>\#\u2013\u2014-]{1,6}(?=\s) | \[[ xX]\](?=\s)                              # bullets, quotes, headings
  | \(?\d{1,3}(?:\.\d{1,3}){0,5}[.)](?=\s) | \(?[a-zA-Z]\)(?=\s) | \([ivx]{1,5}\)(?=\s)  # numbering
    )*+""",
    re.VERBOSE,
)
# Words of Latin letters, commas and apostrophes, and at most one sign that ends a sentence, at the end: one sentence.
_PLAIN_SENTENCE = re.compile("[A-Za-zÀ-ÖØ-öø-ÿ](?:[ ,'’]{0,2}[A-Za-zÀ-ÖØ-öø-ÿ])*+[.!?]?")
# sentencex panics on some of these characters. Each is replaced by one space, so that positions stay the same.
_UNSAFE = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_INITIAL = re.compile(r"(?:^|\s)[^\W\d_]\.\s*$")
_ORDINAL = re.compile(r"(?:^|\s)\d{1,2}\.\s*$")
_ORDINAL_LANGUAGES = {
    "bs", "cs", "da", "de", "et", "fi", "fo", "hr", "hu", "is", "lb",
    "lv", "nb", "nn", "no", "pl", "sk", "sl", "sr", "tr",
}  # fmt: skip
_MONTHS = re.compile(
    r"(?:januar|jänner|februar|feber|märz|marts|mars|april|mai|maj|juni|juli|august|september|oktober|november"
    r"|de[zsc]ember)\b|(?:jan|feb|apr|aug|sept|okt|nov|dez|des|dec)\.",
    re.IGNORECASE,
)
# Abbreviations that sentencex takes for the last word of a sentence.
_ABBREVIATIONS = {
    "en": "Ms approx est Vol Ph.D M.D ed eds Figs Eq max incl",
    "de": "inkl zzgl geb Okt Dez Abb Kap Bd Abs Tel Fa Dipl max Prof",
    "fr": "Dr Pr Mme Mlle Mgr St Ste janv févr oct nov déc Prof Cie J.-C env Env",
    "es": "aprox Cnel Dña Cía ene feb Prof",
}
_ABBREVIATION_SETS = {language: frozenset(words.split()) for language, words in _ABBREVIATIONS.items()}
# Units of measurement count as abbreviations only if the next word is in lower case.
_UNITS = frozenset({"cm", "ft", "hr", "hrs", "kg", "km", "lb", "lbs", "mm", "oz"})
_LAST_WORD = re.compile(r"([^\s(\[\"“„«']+)\.\s*$")
_LOOKBACK = 16  # characters before a border; no abbreviation is longer
_QUOTE = re.compile(r"[\"“”„«»]")
_OPENING_QUOTE = re.compile(r"(?<=\s)(?:[\"“„»]+|«\s?)$")
# Full stops of Chinese and Japanese, which no space follows.
_FULL_WIDTH_END = re.compile(r"[。！？．｡][」』）”’]*$")


def is_plain_sentence(text: str) -> bool:
    """Return whether a text is one sentence of Latin letters, spaces, commas and apostrophes, as most are."""
    return _PLAIN_SENTENCE.fullmatch(text) is not None


def find_sentences(text: str, language: str, protected: Sequence[Span] = ()) -> list[Span]:
    """Return the spans of the sentences, in order; none begins or ends inside a protected span.

    The protected spans must be in order.
    """
    if not protected and is_plain_sentence(text):
        return [(0, len(text))]
    sentences = []
    for start, end in _spans_between_separators(text, protected):
        prefix = _LINE_PREFIX.match(text, start, end)
        start = _prefix_end(text, start, prefix.end(), language) if prefix else start
        inside = spans_within(protected, start, end)
        for span in _split(text, start, end, language, inside):
            first, last = trim_span(text, *span)
            if has_letters(text, first, last, spans_within(inside, first, last)):
                sentences.append((first, last))
    return sentences


def _prefix_end(text: str, start: int, end: int, language: str) -> int:
    """Return the end of the bullets and numbering before a line; the day in "3. Mai" is not numbering."""
    day = language in _ORDINAL_LANGUAGES and _MONTHS.match(text, end) and _ORDINAL.search(text[start:end])
    return start + day.start() if day else end


def spans_within(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Return the spans, which must be in order, that begin in start..end."""
    return spans[bisect_left(spans, (start, start)) : bisect_left(spans, (end, end))] if spans else spans


def has_letters(text: str, start: int, end: int, protected: Sequence[Span] = ()) -> bool:
    """Return whether there is a letter in start..end, outside the protected spans in it."""
    if not protected:
        return start < end and (text[start].isalpha() or any(map(str.isalpha, text[start:end])))
    borders = [start, *(border for span in protected for border in span), end]
    return any(c.isalpha() for a, b in zip(borders[::2], borders[1::2], strict=True) for c in text[a:b])


def trim_span(text: str, start: int, end: int) -> Span:
    """Return the span without white space and invisible characters at its ends."""
    while start < end and _is_invisible(text[start]):
        start += 1
    while start < end and _is_invisible(text[end - 1]):
        end -= 1
    return start, end


def _is_invisible(character: str) -> bool:
    if "!" <= character <= "~":
        return False
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def _spans_between_separators(text: str, protected: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans between separators; a separator that touches a protected span is ignored."""
    start, k = 0, 0
    for separator in _SEPARATOR.finditer(text):
        while k < len(protected) and protected[k][1] <= separator.start():
            k += 1
        if k < len(protected) and protected[k][0] < separator.end():
            continue
        yield start, separator.start()
        start = separator.end()
    yield start, len(text)


def _split(text: str, start: int, end: int, language: str, protected: Sequence[Span]) -> Iterator[Span]:
    """Split start..end at the borders of sentencex, without those that do not end a sentence."""
    first, k = start, 0
    for border in _sentencex_borders(text[start:end], language):
        at = start + border
        before = text[max(first, at - _LOOKBACK) : at]
        is_spaced = before[-1:].isspace() or text[at : at + 1].isspace()
        while k < len(protected) and protected[k][1] <= at:
            k += 1
        is_protected = k < len(protected) and protected[k][0] < at
        if is_protected or not (is_spaced or _FULL_WIDTH_END.search(before)):
            continue
        if _ends_with_abbreviation(before, text[at : at + 2], language):
            continue
        yield first, at
        first = at
    yield first, end


def _ends_with_abbreviation(before: str, after: str, language: str) -> bool:
    """Return whether the full stop before a border belongs to an initial, an abbreviation or an ordinal number.

    In doubt it does: to join two sentences costs less than to cut one.
    """
    if _INITIAL.search(before):
        return True
    last = _LAST_WORD.search(before)
    if last and last[1] in _ABBREVIATION_SETS.get(language, ()):
        return True
    if last and last[1] in _UNITS and after.strip()[:1].islower():
        return True
    return language in _ORDINAL_LANGUAGES and _ORDINAL.search(before) is not None


def _sentencex_borders(text: str, language: str) -> Iterator[int]:
    """Yield the ends of the sentences that sentencex finds, window by window."""
    start = 0
    while start < len(text):
        window = text[start : start + WINDOW]
        sentences = list(_split_window(_UNSAFE.sub(" ", window), language))
        if start + len(window) < len(text) and len(sentences) > 1:
            sentences.pop()  # the window may have cut it; the next window begins with it
        for sentence in sentences:
            start += len(sentence)
            yield start


def _split_window(window: str, language: str) -> Iterator[str]:
    """Yield the sentences of a window, long quotations split too."""
    for sentence in _sentencex(window, language):
        if len(sentence) < LONG_QUOTATION or not _QUOTE.search(sentence):
            yield sentence
            continue
        start = end = 0
        is_lower = _next_is_lower(sentence)
        for part in _sentencex(_QUOTE.sub(" ", sentence), language):
            end += len(part)
            opening_quote = _OPENING_QUOTE.search(sentence, max(start, end - 8), end)
            border = opening_quote.start() if opening_quote else end
            if border > start and not is_lower[border]:
                yield sentence[start:border]
                start = border
        if start < len(sentence):
            yield sentence[start:]


def _next_is_lower(text: str) -> list[bool]:
    """Return for each position, the end included, whether the next letter or digit is a small letter."""
    is_lower = [False] * (len(text) + 1)
    for i in range(len(text) - 1, -1, -1):
        is_lower[i] = text[i].islower() if text[i].isalnum() else is_lower[i + 1]
    return is_lower


def _sentencex(window: str, language: str) -> list[str]:
    """Return the sentences that sentencex finds, or the whole text if it fails or loses some of it."""
    try:
        sentences: list[str] = sentencex.segment(language, window)
    except BaseException as failure:
        # A panic in the library's native code is a BaseException of a class that it does not export.
        if type(failure).__name__ != "PanicException":
            raise
        return [window]
    return sentences if "".join(sentences) == window else [window]
