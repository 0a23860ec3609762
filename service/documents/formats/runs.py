"""Paragraphs of Office Open XML, whose text is in runs, each with a format of its own.

`<w:r>{plain}<w:t>one </w:t></w:r><w:r>{bold}<w:t>two</w:t></w:r>` is the text "one two" with an element over "two": of
each paragraph, and of each link in it, the format of most characters is the base, and text in another one is an
element, as <b> in HTML. Formats that differ only in the language or in marks of the spelling checker are one. Runs are
written again in a paragraph whose text has changed, and only there.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from service.documents.formats.xml_text import XmlPiece
from service.text.markup.blocks import OBJECT, Block, Escaping, MarkupItem, read_blocks

# In a rendered block: the number of a token. The characters are not allowed in XML.
TOKEN = re.compile("\x03([0-9]+)\x04")
NOT_IN_XML = {chr(i): "" for i in range(32) if chr(i) not in "\t\n\r"} | {"\ufffe": "", "\uffff": ""}
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | NOT_IN_XML
SPACES = " \t\n\r\f"
MAX_NESTING = 20  # of links and the like; deeper ones end a block
# What says nothing about the look of a run.
_INVISIBLE = re.compile(
    r"<\w+:(?:lang|noProof)(?:\s[^<>]*)?/>|\s(?:lang|altLang|dirty|err|noProof|smtClean|smtId|bmk)=(?:\"[^\"]*\"|'[^']*')"
)
_EMPTY = re.compile(r"\A<[^<>/\s]+\s*(?:/>|></[^<>]+>)\Z")
_TAG_NAME = re.compile(r"</?([^\s/>]+)")
_TAG = re.compile(r"<[^<>]*>")

BOUNDARIES = {"w:tab", "w:ptab", "w:pPr", "a:pPr", "a:endParaRPr"}
BREAKS = {"w:br", "w:cr", "a:br"}
PHONETIC = {"x:rPh", "x:phoneticPr"}  # how a text is read aloud, behind it; it goes where the text changes
DROPPED = {"w:softHyphen", "w:lastRenderedPageBreak", "w:proofErr"}  # from a paragraph whose text changes
OBJECTS = {"w:sym", "w:ruby", "w:pgNum", "w:fldSimple", "a:fld", "m:oMath", "m:oMathPara"}
# The properties of a wrapper belong to its tag.
WRAPPER_PROPERTIES = {"w:sdtPr", "w:sdtEndPr", "w:smartTagPr", "w:customXmlPr"}
RANGE_STARTS = {"w:bookmarkStart": "w:bookmarkEnd", "w:commentRangeStart": "w:commentRangeEnd"}
MARKUP_KINDS: dict[str, Literal["object", "void", "hidden"]] = {"object": "object", "break": "void", "mark": "hidden"}
RANGE_ENDS = {end: start for start, end in RANGE_STARTS.items()}


class RunFormat(NamedTuple):
    """The properties of a run; two with the same key look alike."""

    key: str
    raw: str


class Leaf(NamedTuple):
    """What is written as it is, within a run of a format, or outside runs if it has none."""

    raw: str
    format: RunFormat | None


@dataclass
class RunItem:
    """A piece of a paragraph: its source, and what to write for it where the paragraph changes."""

    kind: Literal["text", "object", "mark", "break", "boundary", "open", "close", "field", "instruction"]
    raw: str
    leaves: list[Leaf] = field(default_factory=list)
    text: str = ""  # of a text or an instruction; the type of a field's character; what pairs the ends of a range
    after: RunFormat | None = None  # the format of the run that is open after it
    name: str = ""

    @property
    def format(self) -> RunFormat | None:
        """The format of a text."""
        return self.leaves[0].format


class RunTags(NamedTuple):
    """The tags that a format writes runs and their texts with."""

    run: str = "w:r"
    text: str = "w:t"
    text_attribute: str = ""  # in documents and sheets, spaces at the ends of a text count only where that is declared

    @property
    def text_opening(self) -> str:
        """The tag before a text."""
        return f"<{self.text}{self.text_attribute}>"


def paragraph_parts(pieces: Sequence[XmlPiece]) -> list[str | Block]:
    """Return the blocks of a paragraph, and the markup around them."""
    reader = _ItemReader()
    for piece in pieces:
        reader.add(piece)
    items = _merge_fields(reader.finish())
    _pair_ranges(items)
    _resolve_breaks(items)
    _break_wrappers(items)
    parts: list[str | Block] = []
    before: RunFormat | None = None
    start = 0
    for end in [i for i, item in enumerate(items) if item.kind == "boundary"] + [len(items)]:
        parts += _group_parts(items[start:end], before, reader.tags)
        if end < len(items):
            parts.append(items[end].raw)
            before = items[end].after
        start = end + 1
    return [part for part in parts if part]


class _ItemReader:
    """Reads the pieces of a paragraph into items; the tags of a run belong to the items beside them."""

    def __init__(self) -> None:
        self.tags = RunTags()
        self._items: list[RunItem] = []
        self._raw = ""  # of tags that belong to the next item
        self._format: RunFormat | None = None  # of the open run
        self._text: list[str] | None = None  # of the open text element
        self._text_raw = ""

    def add(self, piece: XmlPiece) -> None:
        """Take the next piece."""
        local = piece.name.rpartition(":")[2]
        if self._text is not None:
            self._text_raw += piece.raw
            self._text.append(piece.text)
            if piece.kind == "close":
                self._end_text()
        elif piece.kind == "text":
            self._raw += piece.raw  # white space between elements
        elif local == "r":
            self._run_tag(piece)
        elif local == "t":
            attribute = ' xml:space="preserve"' if piece.name.startswith(("w:", "x:")) else ""
            self.tags = self.tags._replace(text=_tag_name(piece.raw), text_attribute=attribute)
            self._text, self._text_raw = [], piece.raw
        elif piece.kind in {"open", "close"}:
            self._append(RunItem("open" if piece.kind == "open" else "close", piece.raw, name=piece.name), None)
        elif local == "rPr" and self._format is not None:
            self._raw += piece.raw
            self._format = RunFormat(_EMPTY.sub("", _INVISIBLE.sub("", piece.raw)), piece.raw)
        elif piece.name in PHONETIC and self._items and not self._raw:
            self._items[-1].raw += piece.raw
        elif piece.name in WRAPPER_PROPERTIES and self._items and not self._raw:
            wrapper = self._items[-1]
            wrapper.raw += piece.raw
            wrapper.leaves[-1] = Leaf(wrapper.leaves[-1].raw + piece.raw, wrapper.leaves[-1].format)
        else:
            self._append(_leaf_item(piece), self._format)

    def finish(self) -> list[RunItem]:
        """Return all items."""
        if self._raw:
            self._items.append(RunItem("boundary", self._raw))
        return self._items

    def _run_tag(self, piece: XmlPiece) -> None:
        if piece.kind == "open":
            self.tags = self.tags._replace(run=_tag_name(piece.raw))
            self._raw += piece.raw
            self._format = RunFormat("", "")
        elif self._raw or not self._items:
            self._raw += piece.raw
            self._format = None
        else:
            self._items[-1].raw += piece.raw
            self._items[-1].after = self._format = None

    def _end_text(self) -> None:
        text = "".join(self._text or ())
        kind: Literal["object", "text"] = "object" if OBJECT in text else "text"
        self._append(RunItem(kind, self._text_raw, text=text), self._format)
        self._text = None

    def _append(self, item: RunItem, leaf_format: RunFormat | None) -> None:
        item.leaves.append(Leaf(item.raw, leaf_format))
        item.raw, item.after = self._raw + item.raw, self._format
        self._raw = ""
        self._items.append(item)


def _tag_name(raw: str) -> str:
    match = _TAG_NAME.match(raw)
    assert match is not None
    return match[1]


def _leaf_item(piece: XmlPiece) -> RunItem:
    """Return the item of an element that is kept as a whole."""
    name, raw = piece.name, piece.raw
    if name in DROPPED:
        return RunItem("text", raw)
    if name == "w:noBreakHyphen":
        return RunItem("text", raw, text="\u2011")
    if name in BREAKS and piece.attributes.get("w:type", "textWrapping") == "textWrapping":
        return RunItem("break", raw)
    if name in BOUNDARIES or name in BREAKS:
        return RunItem("boundary", raw)
    if name == "w:fldChar":
        return RunItem("field", raw, text=piece.attributes.get("w:fldCharType", ""))
    if name == "w:instrText":
        return RunItem("instruction", raw, text=_TAG.sub("", raw))
    if name in RANGE_STARTS or name in RANGE_ENDS:
        start = RANGE_ENDS.get(name, name)
        return RunItem("mark", raw, text=f"{start} {piece.attributes.get('w:id', '')}", name=name)
    return RunItem("object" if name in OBJECTS else "mark", raw)


def _joined(kind: Literal["object", "open", "close"], items: Sequence[RunItem], name: str = "") -> RunItem:
    leaves = [leaf for item in items for leaf in item.leaves]
    return RunItem(kind, "".join(item.raw for item in items), leaves, after=items[-1].after, name=name)


def _merge_fields(items: list[RunItem]) -> list[RunItem]:
    """Make one object of each field, such as a page number, and a wrapper of a link's field.

    The ends of a field that begins or ends in another paragraph are boundaries.
    """
    merged: list[RunItem] = []
    starts: list[tuple[int, int]] = []  # of each open field: where it begins, and where its result begins, in `merged`
    for item in items:
        merged.append(item)
        if item.kind != "field":
            continue
        if item.text == "begin":
            starts.append((len(merged) - 1, -1))
        elif item.text == "separate" and starts:
            starts[-1] = (starts[-1][0], len(merged))
        elif item.text == "end" and starts:
            begin, result = starts.pop()
            if len(starts) >= MAX_NESTING:
                continue
            merged[begin:] = _merge_field(merged[begin:], result - begin)
    for item in merged:
        if item.kind in {"field", "instruction"}:
            item.kind = "boundary"
    return merged


def _merge_field(items: list[RunItem], result: int) -> list[RunItem]:
    """Return what a field becomes; its result begins at an index, which is negative if it has none."""
    instruction = "".join(item.text for item in items[: max(0, result)] if item.kind == "instruction")
    if instruction.strip().upper().startswith("HYPERLINK") and result > 0:
        head, body, tail = items[:result], items[result:-1], items[-1:]
        if _is_balanced(head) and _is_balanced(body):
            return [_joined("open", head, "field"), *body, _joined("close", tail, "field")]
    return [_joined("object", items)] if _is_balanced(items) else items


def _is_balanced(items: Iterable[RunItem]) -> bool:
    """Return whether every tag of a wrapper has its partner among the items."""
    depth = 0
    for item in items:
        depth += (item.kind == "open") - (item.kind == "close")
        if depth < 0:
            return False
    return depth == 0


def _pair_ranges(items: list[RunItem]) -> None:
    """Make wrappers of the ranges, such as bookmarks, that begin and end here and are nested with everything else."""
    path: list[tuple[str, int]] = []  # of open wrappers and ranges: the key of a range, and the index
    for i, item in enumerate(items):
        if item.kind == "open":
            path.append(("", i))
        elif item.kind == "close":
            while path and path.pop()[0]:
                pass
        elif item.name in RANGE_STARTS:
            path.append((item.text, i))
        elif item.name in RANGE_ENDS and path and path[-1][0] == item.text:
            start = items[path.pop()[1]]
            start.kind, item.kind = "open", "close"
            start.name = item.name = item.text


def _resolve_breaks(items: list[RunItem]) -> None:
    """Make a line break a boundary, unless the text after it begins with a small letter and continues the sentence."""
    following = ""
    for item in reversed(items):
        if item.kind == "text":
            following = item.text.lstrip()[:1] or following
        elif item.kind == "break":
            if not following.islower():
                item.kind = "boundary"
            following = ""


def _break_wrappers(items: list[RunItem]) -> None:
    """Make boundaries of the tags of wrappers that a boundary is in, and of those that are nested too deeply."""
    path: list[int] = []
    broken: set[int] = set()
    intact = 0  # the wrappers of the path from here on have no boundary in them yet
    for i, item in enumerate(items):
        if item.kind == "open":
            path.append(i)
            if len(path) > MAX_NESTING:
                broken.update(path[intact:])
                intact = len(path)
        elif item.kind == "close":
            if not path or path[-1] in broken:
                broken.add(i)
            if path:
                path.pop()
            intact = min(intact, len(path))
        elif item.kind == "boundary":
            broken.update(path[intact:])
            intact = len(path)
    for i in broken | set(path):
        items[i].kind = "boundary"


def _group_parts(items: list[RunItem], before: RunFormat | None, tags: RunTags) -> list[str | Block]:
    """Return the block of the items between two boundaries; `before` is the format of the run that is open there."""
    if not any(item.kind == "text" and any(map(str.isalpha, item.text)) for item in items):
        return ["".join(item.raw for item in items)]
    start, end = _content_range(items)
    content = items[start:end]
    writer = _GroupWriter(content, items[start - 1].after if start else before, tags)
    return [
        "".join(item.raw for item in items[:start]),
        *read_blocks(writer.markup_items(), writer.escaping),
        "".join(item.raw for item in items[end:]),
    ]


def _content_range(items: list[RunItem]) -> tuple[int, int]:
    """Return the range of items without what is wholly before, after or around the text."""
    contents = [
        i for i, item in enumerate(items) if item.kind == "object" or (item.kind == "text" and item.text.strip(SPACES))
    ]
    first, last = contents[0], contents[-1]
    partners: dict[int, int] = {}
    path: list[int] = []
    for i, item in enumerate(items):
        if item.kind == "open":
            path.append(i)
        elif item.kind == "close" and path:
            partners[i] = path.pop()
            partners[partners[i]] = i
    start, end = 0, len(items)
    while start < first and not first < partners.get(start, -1) < last:
        start += 1
    while end - 1 > last and not start <= partners.get(end - 1, len(items)) < last:
        end -= 1
    return start, end


class _Token(NamedTuple):
    """What a token of a rendered block means: leaves to write, and the format of the text after it."""

    leaves: Sequence[Leaf]
    kind: Literal["push", "pop", "stay"]
    format: RunFormat | None = None


class _GroupWriter:
    """Turns the items of one block into markup items, and the rendered block into runs."""

    def __init__(self, items: list[RunItem], before: RunFormat | None, tags: RunTags) -> None:
        self._items = items
        self._tokens: list[_Token] = []
        self._bases = _base_formats(items)
        text = "".join(
            OBJECT if item.kind == "object" else item.text for item in items if item.kind in {"text", "object"}
        )
        edges = text[: len(text) - len(text.lstrip(SPACES))], text[len(text.rstrip(SPACES)) :]
        self.escaping = _RunEscaping(self._tokens, tags, (before, items[-1].after), self._bases[-1], edges)

    def markup_items(self) -> list[MarkupItem]:
        """Return the markup items, whose raw texts joined are the source."""
        written: list[MarkupItem] = []
        path = [-1]  # the open wrappers
        span: RunFormat | None = None  # the format that is open as an element

        def end_span() -> None:
            nonlocal span
            if span is not None:
                written.append(self._item("close", "", _Token((), "pop"), "format"))
                span = None

        for i, item in enumerate(self._items):
            base = self._bases[path[-1]]
            if item.kind == "text":
                if item.text.strip(SPACES) and not _alike(item.format, span or base):
                    end_span()
                    if not _alike(item.format, base):
                        span = item.format
                        token = _Token((), "push", span)
                        written.append(self._item("open", "", token, "format", optional=True))
                written.append(MarkupItem("text", item.raw, item.text))
            elif item.kind == "open":
                end_span()
                path.append(i)
                written.append(self._item("open", item.raw, _Token(item.leaves, "push", self._bases[i]), item.name))
            elif item.kind == "close":
                end_span()
                path.pop()
                written.append(self._item("close", item.raw, _Token(item.leaves, "pop"), item.name))
            else:
                written.append(self._item(MARKUP_KINDS[item.kind], item.raw, _Token(item.leaves, "stay")))
        end_span()
        return written

    def _item(
        self,
        kind: Literal["object", "void", "hidden", "open", "close"],
        raw: str,
        token: _Token,
        name: str = "",
        optional: bool = False,
    ) -> MarkupItem:
        self._tokens.append(token)
        return MarkupItem(kind, raw, name, f"\x03{len(self._tokens) - 1}\x04", optional)


def _alike(one: RunFormat | None, other: RunFormat | None) -> bool:
    """Return whether two formats look alike; being in no run is like no format."""
    return (one and one.key) == (other and other.key)


def _base_formats(items: Sequence[RunItem]) -> dict[int, RunFormat | None]:
    """Return the format of most characters in each wrapper, by its index, and outside all of them, as -1."""
    counts: dict[int, Counter[RunFormat | None]] = {-1: Counter()}
    parents: dict[int, int] = {}
    firsts: dict[str, RunFormat] = {}
    path = [-1]
    for i, item in enumerate(items):
        if item.kind == "open":
            parents[i] = path[-1]
            counts[i] = Counter()
            path.append(i)
        elif item.kind == "close":
            path.pop()
        elif item.kind == "text" and item.text:
            found = item.format
            counts[path[-1]][found and firsts.setdefault(found.key, found)] += len(item.text)
    fallback = next(iter(firsts.values()), None)
    bases: dict[int, RunFormat | None] = {}
    for i, counted in counts.items():  # a wrapper comes after the one around it
        bases[i] = max(counted, key=counted.__getitem__) if counted else bases.get(parents.get(i, -1), fallback)
    return bases


class _RunEscaping(Escaping):
    """Writes a rendered block as runs."""

    def __init__(
        self,
        tokens: Sequence[_Token],
        tags: RunTags,
        states: tuple[RunFormat | None, RunFormat | None],
        base: RunFormat | None,
        edges: tuple[str, str],
    ) -> None:
        """`states` are the formats of the runs that are open before and after the block, `edges` the spaces there."""
        super().__init__(ESCAPES)
        self._tokens, self._tags, self._states, self._base, self._edges = tokens, tags, states, base, edges

    def complete(self, rendered: str) -> str:
        """Put each text into a run of its format."""
        before, after = self._states
        output = _RunOutput(self._tags, before)
        formats = [self._base]
        for i, piece in enumerate(TOKEN.split(f"{self._edges[0]}{rendered}{self._edges[1]}")):
            if i % 2 == 0:
                if piece:
                    output.write(f"{self._tags.text_opening}{piece}</{self._tags.text}>", formats[-1])
                continue
            token = self._tokens[int(piece)]
            for leaf in token.leaves:
                output.write(*leaf)
            if token.kind == "push":
                formats.append(token.format)
            elif token.kind == "pop":
                formats.pop()
        output.write("", after)
        return "".join(output.pieces)


class _RunOutput:
    """Writes content in runs; consecutive content of one format shares a run."""

    def __init__(self, tags: RunTags, state: RunFormat | None) -> None:
        self.pieces: list[str] = []
        self._tags, self._state = tags, state

    def write(self, raw: str, wanted: RunFormat | None) -> None:
        """Write content in a run of a format, or outside runs without one."""
        if not _alike(self._state, wanted):
            if self._state is not None:
                self.pieces.append(f"</{self._tags.run}>")
            if wanted is not None:
                self.pieces.append(f"<{self._tags.run}>{wanted.raw}")
            self._state = wanted
        self.pieces.append(raw)
