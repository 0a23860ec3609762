"""gettext files (po, pot): messages without a translation get one; every other line stays as it is.

polib reads the messages. Only the lines of the translations that are filled in, and three fields of the header, are
written; comments, flags, contexts, obsolete messages, existing translations and the wrapping of all other lines stay.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polib

from service.documents.formats.document import DocumentFormat, DocumentUnit, ReadOptions, check_count
from service.documents.formats.plural_forms import PluralForms, parse_header, plural_forms
from service.errors import InvalidDocument, TooLarge

MAX_ENTRY_CHARACTERS = 100_000
DEFAULT_WIDTH = 78  # gettext's
_CHARSET = re.compile(rb'"Content-Type:[^"\n]{0,100}charset=([A-Za-z0-9._-]{1,40})', re.IGNORECASE)
_TRANSLATION = re.compile(r'\s*msgstr(?:\[\d+\])?\s*"')
_SOURCE = re.compile(r'\s*(?:msgctxt|msgid|msgid_plural)?\s*"')
_CONTINUATION = re.compile(r'\s*"')
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADER_START = re.compile(r'\s*msgid\s+""\s*')


@dataclass
class _Message:
    """A message to fill in: the lines of its translations, and the units that they come from."""

    start: int  # the first line of the translations, from 0
    end: int
    texts: list[str]  # with the white space at both ends, which gettext wants to be the same in a translation
    forms: list[int] = field(default_factory=list)  # for each plural form, the index of its text; empty: no plural
    existing: dict[int, str] = field(default_factory=dict)  # plural forms that have a translation


class PoDocument:
    """A po file, in units of one message or plural."""

    def __init__(self, lines: list[str], messages: list[_Message], header: "_Header", encoding: str) -> None:
        self._lines, self._messages, self._header, self._encoding = lines, messages, header, encoding
        self._line_end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
        is_unwrapped = any(len(line) > DEFAULT_WIDTH + 8 for line in lines if line.startswith(('"', "msgid")))
        self._width = 1_000_000 if is_unwrapped else DEFAULT_WIDTH
        self.units: list[DocumentUnit] = [text.strip() for message in messages for text in message.texts]

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        remaining = iter(translations)
        output = self._lines[: self._header.start]
        output += self._header.completed(self._lines, self._line_end)
        previous = self._header.end
        for message in self._messages:
            texts = [_with_edges(text, next(remaining)) for text in message.texts]
            output += self._lines[previous : message.start]
            output += self._translation_lines(message, texts)
            previous = message.end
        return self._encoded("".join([*output, *self._lines[previous:]]))

    def _translation_lines(self, message: _Message, texts: Sequence[str]) -> Iterator[str]:
        if not message.forms:
            yield from self._quoted("msgstr", texts[0])
        for form, k in enumerate(message.forms):
            yield from self._quoted(f"msgstr[{form}]", message.existing.get(form) or texts[k])

    def _quoted(self, keyword: str, text: str) -> Iterator[str]:
        """Yield the lines of a translation, wrapped as gettext does."""
        pieces = [polib.escape(line) for line in _LINE.findall(text)]
        if len(pieces) < 2 and len(keyword) + sum(map(len, pieces)) + 3 <= self._width:
            yield f'{keyword} "{"".join(pieces)}"{self._line_end}'
            return
        yield f'{keyword} ""{self._line_end}'
        for piece in pieces:
            wrapper = textwrap.TextWrapper(
                self._width - 2, drop_whitespace=False, break_long_words=False, break_on_hyphens=False,
                expand_tabs=False, replace_whitespace=False,
            )  # fmt: skip
            for line in wrapper.wrap(piece):
                yield f'"{line}"{self._line_end}'

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError:  # the translation has characters that the encoding lacks
            return re.sub(r"charset=[A-Za-z0-9._-]+", "charset=UTF-8", text, count=1).encode()


@dataclass
class _Header:
    """The lines of the header's fields, and what to complete there."""

    start: int
    end: int
    language: str
    forms: PluralForms | None  # None if the file declares them, or needs none

    def completed(self, lines: Sequence[str], line_end: str) -> list[str]:
        """Return the lines of the header with the fields that a template leaves open."""
        output, found = [], set[str]()
        for line in lines[self.start : self.end]:
            name = line.strip().lstrip('"').partition(":")[0].lower()
            found.add(name)
            if name == "language" and re.fullmatch(r'\s*"Language:\s*(\\n)?"\s*', line, re.IGNORECASE):
                line = f'"Language: {self.language}\\n"{line_end}'
            elif name == "plural-forms" and self.forms is not None:
                line = f'"Plural-Forms: {self.forms.header}\\n"{line_end}'
            elif name == "content-type":
                line = line.replace("charset=CHARSET", "charset=UTF-8")
            output.append(line)
        if self.start < self.end and "language" not in found:
            output.append(f'"Language: {self.language}\\n"{line_end}')
        if self.start < self.end and self.forms is not None and "plural-forms" not in found:
            output.append(f'"Plural-Forms: {self.forms.header}\\n"{line_end}')
        return output


def _with_edges(source: str, translation: str) -> str:
    """Return a translation with the white space of its source at both ends."""
    start = source[: len(source) - len(source.lstrip())]
    return f"{start}{translation.strip()}{source[len(source.rstrip()) :]}" if source.strip() else source


def read_po(content: bytes, options: ReadOptions) -> PoDocument:
    """Read a po or pot file; its messages are in the source language, their translations in the target language.

    Raises:
        InvalidDocument: it is not a po file, or not in the encoding that it declares.
        TooLarge: a message is too long.
    """
    text, encoding = _decode(content)
    lines = text.splitlines(keepends=True)
    _check_lengths(lines)
    try:
        # polib opens a file if there is one with the name that it is given; no name begins with a line end.
        parsed = polib.pofile(f"\n{text}")
    except (OSError, ValueError) as error:
        number = re.search(r"line (\d+)", str(error))
        at = f" at line {int(number[1]) - 1}" if number else ""
        raise InvalidDocument(f"the po file is broken{at}; check it with msgfmt") from None
    messages_with_plural = any(entry.msgid_plural for entry in parsed)
    declared = parse_header(parsed.metadata.get("Plural-Forms", ""))
    forms = declared or plural_forms(options.target)
    header = _find_header(lines, options.target, forms if messages_with_plural and declared is None else None)
    sources = [0 if form == forms.singular else 1 for form in range(forms.number)]
    messages = [message for entry in parsed if (message := _message(entry, lines, sources))]
    return PoDocument(lines, messages, header, encoding)


def _decode(content: bytes) -> tuple[str, str]:
    declared = _CHARSET.search(content)
    name = declared[1].decode() if declared else "utf-8"
    encoding = "utf-8" if name.upper() in {"CHARSET", "ASCII", "US-ASCII", "UTF-8"} else name
    try:
        return content.decode(encoding), encoding
    except (LookupError, UnicodeError, ValueError):
        raise InvalidDocument(f"the po file is not in {name}, which it declares; save it in UTF-8") from None


def _check_lengths(lines: Sequence[str]) -> None:
    """Check the lengths of messages: polib joins their lines in quadratic time."""
    length = 0
    for number, line in enumerate(lines, 1):
        length = length + len(line) if _CONTINUATION.match(line) else len(line)
        if length > MAX_ENTRY_CHARACTERS:
            raise TooLarge(f"the message at line {number} has more than {MAX_ENTRY_CHARACTERS} characters; split it")


def _find_header(lines: Sequence[str], language: str, forms: PluralForms | None) -> _Header:
    """Return the header: the translation of the first message if that is empty."""
    first = next((k for k, line in enumerate(lines) if line.lstrip().startswith("msgid")), None)
    is_header = first is not None and _HEADER_START.fullmatch(lines[first]) and first + 1 < len(lines)
    if first is None or not is_header or not _TRANSLATION.match(lines[first + 1]):
        return _Header(0, 0, language, forms)
    return _Header(*_translation_range(lines, first, 1), language, forms)


def _translation_range(lines: Sequence[str], first: int, count: int) -> tuple[int, int]:
    """Return the lines of all translations of the message that begins at a line; there are `count` of them.

    Raises:
        InvalidDocument: there are not, or something else is between them.
    """
    start = first
    while start < len(lines) and lines[start].lstrip().startswith("#"):
        start += 1
    while start < len(lines) and _SOURCE.match(lines[start]):
        start += 1
    end = found = 0
    for end in range(start, len(lines) + 1):
        if end == len(lines) or not (_TRANSLATION.match(lines[end]) or (found and _CONTINUATION.match(lines[end]))):
            break
        found += _TRANSLATION.match(lines[end]) is not None
    after = end
    while after < len(lines) and (not lines[after].strip() or lines[after].lstrip().startswith("#")):
        after += 1
    if found != count or (after < len(lines) and _TRANSLATION.match(lines[after])):
        raise InvalidDocument(
            f"the po file is broken: the message at line {first + 1} does not have its translations "
            "directly after it; check it with msgfmt"
        )
    return start, end


def _message(entry: polib.POEntry, lines: Sequence[str], sources: list[int]) -> _Message | None:
    """Return a message if something is to be filled in.

    `sources` has for each plural form whether it comes from the singular (0) or the plural (1).
    """
    if entry.obsolete or not any(map(str.isalpha, entry.msgid)):
        return None
    if not entry.msgid_plural:
        return None if entry.msgstr else _Message(*_lines_of(entry, lines, 1), [entry.msgid])
    existing = {form: text for form, text in entry.msgstr_plural.items() if text}
    if len(existing) >= len(sources):
        return None
    texts = [entry.msgid, entry.msgid_plural]
    return _Message(*_lines_of(entry, lines, len(entry.msgstr_plural)), texts, sources, existing)


def _lines_of(entry: polib.POEntry, lines: Sequence[str], count: int) -> tuple[int, int]:
    # One line was put before the text, and numbers begin with 1.
    return _translation_range(lines, max(0, entry.linenum - 2), count)


FORMAT = DocumentFormat(("po", "pot"), "text/x-gettext-translation", read_po)
