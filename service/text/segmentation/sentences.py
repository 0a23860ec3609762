"""Where the sentences of a text are. All that is between them stays as it is.

Only the inside of a returned span goes to a model. Line ends, tabs and columns, bullets and numbering, emoji and other
pictures, spaces around sentences and lines without a letter are outside, so they cannot get lost.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import sentencex

from service.text.alignment import Span

# The splitter needs quadratic time for unclosed quotation marks; a sentence is shorter than this.
WINDOW = 4096
# It ends no sentence within quotation marks, nor after one that is never closed: what is longer than this is no quip.
LONG = 160

_PICTURE = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\ue000-\uf8ff\U0001f000-\U0001faff"
_PICTURE_PART = "\ufe0e\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_SEPARATOR = re.compile(
    rf"""
    [\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]   # a line ends, a column ends
  | \s{{3,}}                                # columns made of spaces
  | [|\u2022\u2023\u2043]                   # columns and bullets
  | [0-9#*]\ufe0f?\u20e3                    # keycaps
  | [{_PICTURE}][{_PICTURE_PART}]*+         # emoji, arrows, boxes, icons
    """,
    re.VERBOSE,
)
_LEADING = re.compile(
    r"""(?:
    \s | [*+>\#\u2013\u2014-]{1,6}(?=\s) | \[[ xX]\](?=\s)                              # bullets, quotes, headings
  | \(?\d{1,3}(?:\.\d{1,3}){0,5}[.)](?=\s) | \(?[a-zA-Z]\)(?=\s) | \([ivx]{1,5}\)(?=\s)  # numbering
    )*+""",
    re.VERBOSE,
)
# One for one, so that positions stay: the splitter ends its process' thread at some of these.
_ODD = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
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
# What the splitter takes for a sentence's last word.
_ABBREVIATIONS = {
    "en": "Ms approx est Vol Ph.D M.D ed eds Figs Eq max incl",
    "de": "inkl zzgl geb Okt Dez Abb Kap Bd Abs Tel Fa Dipl max Prof",
    "fr": "Dr Pr Mme Mlle Mgr St Ste janv févr oct nov déc Prof Cie J.-C env Env",
    "es": "aprox Cnel Dña Cía ene feb Prof",
}
_KNOWN = {language: frozenset(words.split()) for language, words in _ABBREVIATIONS.items()}
# Where the sentence goes on in small letters.
_UNITS = frozenset({"cm", "ft", "hr", "hrs", "kg", "km", "lb", "lbs", "mm", "oz"})
_LAST = re.compile(r"([^\s(\[\"“„«']+)\.\s*$")
_BEFORE = 16  # characters that are looked back at; no abbreviation is longer
_QUOTE = re.compile(r"[\"“”„«»]")
_OPENING = re.compile(r"(?<=\s)(?:[\"“„»]+|«\s?)$")
# These end a sentence without a space behind them.
_WIDE_END = re.compile(r"[。！？．｡][」』）”’]*$")


def find_sentences(text: str, language: str, kept: Sequence[Span] = ()) -> list[Span]:
    """Spans of the sentences, in order; no border is inside one of the `kept` spans, which are in order too."""
    found = []
    for start, end in _stretches(text, kept):
        leading = _LEADING.match(text, start, end)
        start = _behind(text, start, leading.end(), language) if leading else start
        inside = spans_within(kept, start, end)
        for span in _split(text, start, end, language, inside):
            first, last = trim_span(text, *span)
            if has_letters(text, first, last, spans_within(inside, first, last)):
                found.append((first, last))
    return found


def _behind(text: str, start: int, end: int, language: str) -> int:
    """Where what leads a line ends; a day before its month is no numbering."""
    day = language in _ORDINAL_LANGUAGES and _MONTHS.match(text, end) and _ORDINAL.search(text[start:end])
    return start + day.start() if day else end


def spans_within(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Those of the spans, which are in order, that begin from start on and before end."""
    return spans[bisect_left(spans, (start, start)) : bisect_left(spans, (end, end))]


def has_letters(text: str, start: int, end: int, kept: Sequence[Span] = ()) -> bool:
    """Whether there is something to translate between start and end, outside the kept spans between them."""
    borders = [start, *(border for span in kept for border in span), end]
    return any(c.isalpha() for a, b in zip(borders[::2], borders[1::2], strict=True) for c in text[a:b])


def trim_span(text: str, start: int, end: int) -> Span:
    """The span without the white space and the invisible characters at its ends."""
    while start < end and _invisible(text[start]):
        start += 1
    while start < end and _invisible(text[end - 1]):
        end -= 1
    return start, end


def _invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def _stretches(text: str, kept: Sequence[Span]) -> Iterator[Span]:
    """What is between the separators; one inside a kept span separates nothing."""
    start, k = 0, 0
    for separator in _SEPARATOR.finditer(text):
        while k < len(kept) and kept[k][1] <= separator.start():
            k += 1
        if k < len(kept) and kept[k][0] < separator.end():
            continue
        yield start, separator.start()
        start = separator.end()
    yield start, len(text)


def _split(text: str, start: int, end: int, language: str, kept: Sequence[Span]) -> Iterator[Span]:
    first, k = start, 0
    for border in _borders(text[start:end], language):
        at = start + border
        before = text[max(first, at - _BEFORE) : at]
        spaced = before[-1:].isspace() or text[at : at + 1].isspace()
        while k < len(kept) and kept[k][1] <= at:
            k += 1
        cuts_kept = k < len(kept) and kept[k][0] < at
        if cuts_kept or not (spaced or _WIDE_END.search(before)) or _abbreviated(before, text[at : at + 2], language):
            continue
        yield first, at
        first = at
    yield first, end


def _abbreviated(before: str, after: str, language: str) -> bool:
    """Whether the point before a border is no sentence's: to join too much costs less than to cut."""
    if _INITIAL.search(before):
        return True
    last = _LAST.search(before)
    if last and (last[1] in _KNOWN.get(language, ()) or (last[1] in _UNITS and after.strip()[:1].islower())):
        return True
    return language in _ORDINAL_LANGUAGES and _ORDINAL.search(before) is not None


def _borders(stretch: str, language: str) -> Iterator[int]:
    """Where the splitter ends sentences, found window by window."""
    start = 0
    while start < len(stretch):
        window = stretch[start : start + WINDOW]
        pieces = list(_pieces(_ODD.sub(" ", window), language))
        if start + len(window) < len(stretch) and len(pieces) > 1:
            pieces.pop()  # its end is the window's, not the sentence's
        for piece in pieces:
            start += len(piece)
            yield start


def _pieces(window: str, language: str) -> Iterator[str]:
    """The splitter's sentences, those apart that it held together for a quotation mark that they have in common."""
    for piece in _segment(window, language):
        if len(piece) < LONG or not _QUOTE.search(piece):
            yield piece
            continue
        start = end = 0
        for part in _segment(_QUOTE.sub(" ", piece), language):
            end += len(part)
            opening = _OPENING.search(piece, max(start, end - 8), end)
            border = opening.start() if opening else end
            following = next((c for c in piece[border:] if c.isalnum()), "A")
            if border > start and not following.islower():
                yield piece[start:border]
                start = border
        if start < len(piece):
            yield piece[start:]


def _segment(window: str, language: str) -> list[str]:
    try:
        pieces: list[str] = sentencex.segment(language, window)
    except BaseException as failure:
        # A fault in the library's native code comes as a BaseException of no public class.
        if type(failure).__name__ != "PanicException":
            raise
        return [window]
    return pieces if "".join(pieces) == window else [window]
