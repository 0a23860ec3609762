"""XLIFF (xlf, xliff), versions 1.x and 2.x: units without a translation get one; all else stays byte for byte.

Versions: OASIS XLIFF 1.2 (trans-unit) and 2.0 to 2.2 (segment). Inline codes are marks in the text, and what a native
code stands for (ph, bpt, ept, it) is not translated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.documents.formats.document import DocumentFormat, DocumentUnit, ReadOptions, check_count
from service.documents.formats.xml_tokens import XmlToken, decode_xml, read_xml
from service.errors import InvalidDocument, TooLarge
from service.text.markup.document import Document, parse

MAX_UNITS = 100_000
UNITS = frozenset({"trans-unit", "segment"})  # of version 1 and of version 2
NATIVE_CODES = ("ph", "bpt", "ept", "it", "ut")
# States of a translation that is still to be made, though the file may have a text in its place.
UNTRANSLATED = frozenset({"new", "needs-translation", "initial"})
LANGUAGE_ATTRIBUTES = {"file": "target-language", "xliff": "trgLang"}  # of version 1 and of version 2
_STATE = re.compile(r"""(\sstate\s*=\s*)("[^"]*"|'[^']*')""")
_PREFIX = re.compile(r"<([^\s/>:]+:)?")


@dataclass
class _Change:
    """Bytes of the file to replace: with a translation between two tags, or with the first of them alone."""

    start: int
    end: int
    before: str
    after: str = ""
    unit: int | None = None  # whose translation


@dataclass
class _OpenUnit:
    """What was read of a unit."""

    open_end: int
    source: tuple[int, int, int, int] | None = None  # of its element and of its content: start, start, end, end
    target: tuple[int, int] | None = None
    target_tag: str = ""
    state: tuple[int, int, str] | None = None  # of a tag with a state: start, end, tag
    is_translated: bool = False


class XliffDocument:
    """An XLIFF file, in units of one source text."""

    def __init__(self, data: bytes, encoding: str, changes: list[_Change], units: list[Document]) -> None:
        self._data, self._encoding, self._changes = data, encoding, changes
        self.units: Sequence[DocumentUnit] = units

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        output, position = list[bytes](), 0
        for change in self._changes:
            translation = "" if change.unit is None else translations[change.unit]
            output += [self._data[position : change.start], f"{change.before}{translation}{change.after}".encode()]
            position = change.end
        rendered = b"".join([*output, self._data[position:]])
        if self._encoding == "utf-8":
            return rendered
        return rendered.decode().encode(self._encoding, "xmlcharrefreplace")


@dataclass
class _Reader:
    """Finds what to fill in."""

    data: bytes
    language: str
    changes: list[_Change] = field(default_factory=list)
    units: list[Document] = field(default_factory=list)
    _path: list[tuple[str, XmlToken, bool]] = field(default_factory=list)  # name, tag, whether it is translated
    _unit: _OpenUnit | None = None
    _language_tag: str = "file"  # where the file says its target language

    def on_token(self, token: XmlToken) -> None:
        """Take note of a token."""
        if token.kind == "open":
            self._on_open(token, token.name.rpartition(":")[2])
        elif token.kind == "close":
            self._on_close(token, *self._path.pop()[:2])

    def _on_open(self, token: XmlToken, name: str) -> None:
        if not self._path:
            if name != "xliff":
                raise InvalidDocument(f"the file is no XLIFF: it begins with {ascii(name[:40])}; export it as XLIFF")
            if token.attributes.get("version", "").startswith("2"):
                self._language_tag = "xliff"
        inherited = self._path[-1][2] if self._path else True
        translate = token.attributes.get("translate", "yes" if inherited else "no") != "no"
        self._path.append((name, token, translate))
        if name in UNITS and translate:
            self._unit = _OpenUnit(token.end)
            self._note_state(token)
        if name == self._language_tag:
            self._set_language(token, LANGUAGE_ATTRIBUTES[name])

    def _note_state(self, token: XmlToken) -> None:
        state = token.attributes.get("state", "")
        if self._unit is not None and state in UNTRANSLATED:
            self._unit.state = token.start, token.end, self._raw(token.start, token.end)

    def _on_close(self, token: XmlToken, name: str, opened: XmlToken) -> None:
        unit = self._unit
        if unit is None:
            return
        is_part = bool(self._path) and self._path[-1][0] in UNITS  # else it is one of an alternative or a note
        if name == "source" and is_part:
            unit.source = opened.start, opened.end, token.start, token.end
        elif name == "target" and is_part:
            unit.target, unit.target_tag = (opened.start, token.end), self._raw(opened.start, opened.end)
            unit.is_translated = bool(self.data[opened.end : token.start].strip())
            self._note_state(opened)
        elif name in UNITS:
            self._unit = None
            if unit.source and not (unit.is_translated and unit.state is None):
                self._fill(unit, unit.source)

    def _fill(self, unit: _OpenUnit, source: tuple[int, int, int, int]) -> None:
        """Have a unit's source translated, unless it has nothing to translate."""
        start, content_start, content_end, end = source
        matched = _PREFIX.match(self._raw(start, content_start))
        prefix = (matched[1] or "") if matched else ""
        codes = frozenset(prefix + code for code in NATIVE_CODES)
        document = parse(self._raw(content_start, content_end), "xml", ignored=codes)
        if not any(character.isalpha() for text in document.block_texts for character in text):
            return
        if len(self.units) >= MAX_UNITS:
            raise TooLarge(f"the file has more than {MAX_UNITS} texts to translate; split it")
        if unit.state and unit.state[1] <= start:  # of a segment
            self.changes.append(_Change(*unit.state[:2], _STATE.sub(r'\1"translated"', unit.state[2])))
        if unit.target:
            tag = _STATE.sub(r'\1"translated"', unit.target_tag) if unit.state else unit.target_tag
            before, replaced = f"{tag.removesuffix('/>').removesuffix('>').rstrip()}>", unit.target
        else:
            space = self._raw(unit.open_end, start)
            before, replaced = f"{'' if space.strip() else space}<{prefix}target>", (end, end)
        self.changes.append(_Change(*replaced, before, f"</{prefix}target>", len(self.units)))
        self.units.append(document)

    def _set_language(self, token: XmlToken, attribute: str) -> None:
        """Have the file say in which language its translations are, unless it does."""
        given = token.attributes.get(attribute, "")
        if given.partition("-")[0].lower() == self.language.partition("-")[0].lower():
            return
        tag = self._raw(token.start, token.end)
        if given:
            pattern = rf"""(\s{attribute}\s*=\s*)("[^"]*"|'[^']*')"""
            tag = re.sub(pattern, rf'\g<1>"{self.language}"', tag)
        else:
            tag = re.sub(r"\s*(/?>)\Z", rf' {attribute}="{self.language}"\1', tag)
        self.changes.append(_Change(token.start, token.end, tag))

    def _raw(self, start: int, end: int) -> str:
        return self.data[start:end].decode()


def read_xliff(content: bytes, options: ReadOptions) -> XliffDocument:
    """Read an XLIFF file; its sources are in the source language, its targets in the target language.

    Raises:
        InvalidDocument: it is not XLIFF, or not well-formed.
        TooLarge: it has too many texts.
    """
    data, encoding = decode_xml(content)
    reader = _Reader(data, options.target)
    read_xml(data, reader.on_token)
    changes = sorted(reader.changes, key=lambda change: change.start)
    if not reader.units:
        changes = []  # nothing to translate: the file stays as it is
    return XliffDocument(data, encoding, changes, reader.units)


FORMAT = DocumentFormat(("xlf", "xliff"), "application/xliff+xml", read_xliff)
