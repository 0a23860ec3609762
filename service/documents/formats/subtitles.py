"""Subtitles: SubRip (srt) and WebVTT (vtt). Numbers, times, settings, notes and styles stay byte for byte.

A cue is one unit: its lines are one text to translate, and the translation is wrapped into as many lines again. Where
each line is the turn of another speaker ("- Yes. / - No."), every line is a unit of its own.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from service.documents.formats.document import DocumentFormat, ReadOptions, check_count, decode_text
from service.errors import InvalidDocument
from service.text.markup.blocks import OBJECT, Escaping, MarkupItem, read_blocks
from service.text.markup.document import Document

_TIME = r"(?:\d{1,4}:)?\d{1,3}:\d{2}[,.]\d{1,3}"
TIMING = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*\n?")
LINE = re.compile(r"[^\n]*\n|[^\n]+")
# Tags of subtitles: <i>, </c.loud>, <v Bob>; times within a WebVTT cue; {\an8} of SubStation Alpha.
TAG = re.compile(r"<(/?)([A-Za-z][^\s<>/.]*)[^<>]*>|<[0-9:.]+>|\{\\[^{}]*\}|" + OBJECT)
SPEAKER = re.compile(r"\s*(?:<[^<>]*>)*\s*[-\u2010-\u2015]")
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
TAG_OR_WORD = re.compile(r"<[^<>]*>|\{\\[^{}]*\}|[^\s<{]+|[<{]|\s+")


class SubtitleDocument:
    """A subtitle file: strings that stay, and units."""

    def __init__(self, parts: "list[str | CueText]", encoding: str) -> None:
        self._parts, self._encoding = parts, encoding
        self.units = [part.document for part in parts if isinstance(part, CueText)]

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        remaining = iter(translations)
        rendered = [part if isinstance(part, str) else part.wrapped(next(remaining)) for part in self._parts]
        return "".join(rendered).encode(self._encoding)


class CueText:
    """The text of a cue, or of one speaker in it."""

    def __init__(self, raw: str, escaped: bool) -> None:
        """Parse the text; it is `escaped` if it has entities, as in WebVTT."""
        self.raw = raw
        entities: dict[str, str] = ESCAPES if escaped else {}
        items = list(_items(raw, html.unescape if escaped else str))
        self.document = Document(read_blocks(items, Escaping(entities)))

    def wrapped(self, translation: str) -> str:
        """Return the translation in as many lines as the original has."""
        line_ends = re.findall(r"\r?\n", self.raw)
        if translation == self.raw or not line_ends:
            return translation
        return wrap(" ".join(translation.split()), line_ends)


def _items(raw: str, unescape: Callable[[str], str]) -> Iterator[MarkupItem]:
    start = 0
    for match in TAG.finditer(raw):
        if start < match.start():
            yield MarkupItem("text", raw[start : match.start()], unescape(raw[start : match.start()]))
        start = match.end()
        if match[2]:
            yield MarkupItem("close" if match[1] else "open", match[0], match[2])
        else:
            yield MarkupItem("object" if match[0] == OBJECT else "hidden", match[0])
    if start < len(raw):
        yield MarkupItem("text", raw[start:], unescape(raw[start:]))


def wrap(text: str, line_ends: Sequence[str]) -> str:
    """Break a text at spaces outside tags into at most one line more than `line_ends`, as even as possible."""
    spaces = [match.start() for match in TAG_OR_WORD.finditer(text) if match[0].isspace()]
    pieces, previous, first = list[str](), 0, 0
    for k, line_end in enumerate(line_ends):
        if first == len(spaces):
            break
        lines_left = len(line_ends) + 1 - k
        ideal = previous + (len(text) - previous) / lines_left
        last = max(first, len(spaces) - lines_left + 1)  # so that a space is left for each further line
        i = bisect_left(spaces, ideal, lo=first, hi=last)
        nearest = min({max(first, i - 1), i}, key=lambda j: abs(spaces[j] - ideal))
        pieces += [text[previous : spaces[nearest]], line_end]
        previous, first = spaces[nearest] + 1, nearest + 1
    return "".join([*pieces, text[previous:]])


def read_subtitles(content: bytes, options: ReadOptions, *, vtt: bool) -> SubtitleDocument:
    """Read a subtitle file.

    Raises:
        InvalidDocument: it has no cue, or is neither UTF-8 nor UTF-16.
    """
    text, encoding = decode_text(content, "subtitle")
    parts: list[str | CueText] = []
    lines = [match[0] for match in LINE.finditer(text)]
    position = cues = 0
    while position < len(lines):
        timed = TIMING.fullmatch(lines[position]) is not None
        parts.append(lines[position])
        position += 1
        if not timed:
            continue
        cues += 1
        end = position
        while end < len(lines) and lines[end].strip():
            end += 1
        parts += _cue(lines[position:end], vtt)
        position = end
    if not cues and text.strip("\ufeff \t\r\n"):
        name, example = ("vtt", "00:01.000 --> 00:02.000") if vtt else ("srt", "00:00:01,000 --> 00:00:02,000")
        raise InvalidDocument(f"the {name} file has no cue; a cue begins with a line such as {example!r}")
    return SubtitleDocument(parts, encoding)


def _cue(lines: list[str], escaped: bool) -> Iterator[str | CueText]:
    """Yield the texts of a cue, and the line ends after them."""
    speakers = len(lines) > 1 and all(map(SPEAKER.match, lines))
    for text in lines if speakers else ["".join(lines)]:
        stripped = text.rstrip("\r\n")
        if stripped:
            yield CueText(stripped, escaped)
        yield text[len(stripped) :]


SRT = DocumentFormat(("srt",), "application/x-subrip", partial(read_subtitles, vtt=False))
VTT = DocumentFormat(("vtt",), "text/vtt", partial(read_subtitles, vtt=True))
