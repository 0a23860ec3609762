"""Parse Markdown (CommonMark, with the tables and strikethrough of GitHub) into blocks of text to translate.

Paragraphs, headings, list items and table cells are blocks. Emphasis, links and the descriptions of images are elements
within them, like <b> and <a> of HTML: `one **two** three` has the text "one two three". Code, addresses and inline HTML
keep their places; fenced and indented code, link definitions, front matter and all marks of structure stay byte for
byte. The texts of HTML blocks are translated as HTML.

markdown-it-py parses. It gives each block its lines, but an inline token no position, so `_PositionedInline` records
the span of what each inline rule takes. Inline text between these spans is literal.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from service.text.markup import document as html_document
from service.text.markup.blocks import OBJECT, Block, Escaping, MarkupItem, read_blocks
from service.text.markup.document import Document
from service.text.markup.tokenizer import tokenise

_LINE_END = re.compile(r"\r\n?|\n")
_FRONT_MATTER = re.compile(r"---[ \t]*(?:\r\n?|\n)(?:[^\r\n]*(?:\r\n?|\n))*?(?:---|\.\.\.)[ \t]*(?:\r\n?|\n|\Z)")
# Signs of extensions within literal text: footnotes, the kind of an alert, and the object character itself.
_SIGN = re.compile(rf"\[\^[^\]\s\[]{{1,80}}\]:?|\[!(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]|{OBJECT}")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPECIAL = frozenset("\\`*_[]<~&")  # characters that may begin markup in the middle of a line
_BLOCK_START = re.compile(r"(?:[-+*>]|#{1,6})(?=\s|$)|[=-]+\s*$|(\d{1,9})(?=[.)](?:\s|$))")
_UNTRANSLATED_ELEMENTS = frozenset({"code", "kbd", "samp", "var"})


class _InlineSpan(NamedTuple):
    """What an inline rule took: the characters start..end of a block's content, and the token made of them."""

    start: int
    end: int
    token: Token


class _PositionedInline(ParserInline):
    """An inline parser that records the spans of the last content that it parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[_InlineSpan] = []  # in order
        self._in_image = False
        rules = zip(self.ruler.get_all_rules(), self.ruler.getRules(""), strict=True)
        for name, rule in list(rules):
            if name != "text":
                self.ruler.at(name, self._recorded(name, rule))

    def parse(self, src: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:
        if self._in_image:  # the description of an image is literal text here
            return tokens
        self.spans = []
        return super().parse(src, md, env, tokens)

    def _recorded(self, name: str, rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
        """Return a rule that also records what it takes."""

        def apply(state: StateInline, silent: bool) -> bool:
            start, tokens, spans, in_image = state.pos, len(state.tokens), len(self.spans), self._in_image
            self._in_image = in_image or name == "image"
            matched = rule(state, silent)
            self._in_image = in_image
            if matched and not silent:
                self._record(state, start, state.tokens[tokens:], spans)
            return matched

        return apply

    def _record(self, state: StateInline, start: int, pushed: list[Token], spans: int) -> None:
        """Record the tokens that a rule pushed, perhaps after a token of the literal text before them.

        `spans` is the number of spans that had been recorded before the rule began.
        """
        special = next((token for token in pushed if token.type != "text"), None)
        if special is None:  # marks that may turn out to be emphasis
            end = state.pos
            for token in reversed(pushed):
                if end > start:
                    self.spans.insert(spans, _InlineSpan(end - len(token.content), end, token))
                    end -= len(token.content)
        elif special.type == "link_open" and special.markup != "autolink":
            # What is within the link has been recorded already.
            label_end = self._label_end(state, start)
            self.spans.insert(spans, _InlineSpan(start, start + 1, special))
            self.spans.append(_InlineSpan(label_end, state.pos, pushed[-1]))
        else:
            self.spans.append(_InlineSpan(start, state.pos, special))

    @staticmethod
    def _label_end(state: StateInline, start: int) -> int:
        """Return the position of the bracket that ends the label of a link."""
        end, state.pos = state.pos, start
        label_end: int = state.md.helpers.parseLinkLabel(state, start, True)
        state.pos = end
        return label_end


class MarkdownEscaping(Escaping):
    """Writes text such that no mark arises that the original does not have."""

    def __init__(self, literals: set[str], kind: str) -> None:
        """`literals` are the special characters that the block has unescaped; `kind` is the token around the block."""
        special = _SPECIAL | ({"|"} if kind in {"th_open", "td_open"} else set())
        super().__init__({c: f"\\{c}" for c in special - literals})
        self._is_paragraph = kind == "paragraph_open"

    def complete(self, rendered: str) -> str:
        """Escape what would begin a list, a heading or a quotation at the start of a line."""
        match = _BLOCK_START.match(rendered) if self._is_paragraph else None
        if match is None:
            return rendered
        position = match.end(1) if match[1] else 0
        return f"{rendered[:position]}\\{rendered[position:]}"


class _SourceMap:
    """Maps positions of a block's content to positions of the source."""

    def __init__(self, segments: list[tuple[int, int]]) -> None:
        """Take the starts of the segments (position in the content, position in the source), in order."""
        self._segments = segments

    def __call__(self, position: int) -> int:
        k = max(0, bisect_right(self._segments, position, key=lambda segment: segment[0]) - 1)
        start, source_start = self._segments[k]
        return source_start + max(0, position - start)


def parse_markdown(source: str) -> Document:
    """Parse a document; no input is an error."""
    return Document(_Parser(source).parts())


class _Parser:
    """The parser of one document."""

    def __init__(self, source: str) -> None:
        self._source = source
        front_matter = _FRONT_MATTER.match(source, 1 if source.startswith("\ufeff") else 0)
        self._start = front_matter.end() if front_matter else len(source) - len(source.removeprefix("\ufeff"))
        self._lines: list[tuple[int, int]] = []  # start and end of each line, without its line end
        position = self._start
        for match in _LINE_END.finditer(source, self._start):
            self._lines.append((position, match.start()))
            position = match.end()
        self._lines.append((position, len(source)))
        self._md = MarkdownIt("commonmark").enable("table")
        self._inline = self._md.inline = _PositionedInline()
        self._md.core.ruler.enableOnly(["normalize", "block"])

    def parts(self) -> list[str | Block]:
        """Return the blocks, and the source between them."""
        env: dict[str, Any] = {}
        parts: list[str | Block] = []
        cursor, kind = 0, ""
        cells = _CellFinder(self._source)
        for token in self._md.parse(self._source[self._start :], env):
            if token.type == "inline" and token.map and token.content:
                first, last = token.map
                if kind in {"th_open", "td_open"}:
                    to_source = cells.find(token.content, first, self._lines[first])
                else:
                    to_source = self._find_lines(token.content, self._lines[first:last])
                if to_source is not None and to_source(0) >= cursor:
                    parts.append(self._source[cursor : to_source(0)])
                    parts += self._blocks(token.content, env, to_source, kind)
                    cursor = to_source(len(token.content))
            elif token.type == "html_block" and token.map and self._lines[token.map[0]][0] >= cursor:
                start, end = self._lines[token.map[0]][0], self._lines[token.map[1] - 1][1]
                parts += [self._source[cursor:start], *html_document.parse(self._source[start:end], "html").parts]
                cursor = end
            kind = token.type
        return [*parts, self._source[cursor:]]

    def _find_lines(self, content: str, lines: list[tuple[int, int]]) -> _SourceMap | None:
        """Find the lines of a paragraph or heading in those of the source; None if they are not found.

        Each is at the end of its line, but a heading may have number signs after it.
        """
        segments: list[tuple[int, int]] = []
        position = 0
        for text, (start, end) in zip(content.split("\n"), lines, strict=False):
            line = self._source[start:end].replace("\0", "\ufffd").rstrip(" \t")
            wanted = text.strip(" \t")
            if not line.endswith(wanted):
                line = line.rstrip("#").rstrip(" \t")
            if not line.endswith(wanted):
                return None
            indent = len(text) - len(text.lstrip(" \t"))
            segments.append((position + indent, start + len(line) - len(wanted)))
            position += len(text) + 1
        return _SourceMap(segments) if len(segments) == content.count("\n") + 1 else None

    def _blocks(self, content: str, env: dict[str, Any], to_source: _SourceMap, kind: str) -> list[str | Block]:
        self._inline.parse(content, self._md, env, [])
        reader = _InlineReader(content, self._source, to_source)
        items = _join_untranslated(list(reader.items(self._inline.spans)))
        return read_blocks(items, MarkdownEscaping(reader.literals, kind))


class _CellFinder:
    """Finds the cells of table rows in the source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._row = -1  # the line whose cells are being found
        self._cells: list[tuple[int, int]] = []  # those of the row that are left, in reverse order

    def find(self, content: str, row: int, line: tuple[int, int]) -> _SourceMap | None:
        """Return where the next cell with this content is in the row; None if it is not found."""
        if row != self._row:
            self._row, self._cells = row, list(self._split(*line))[::-1]
        while self._cells:
            start, end = self._cells.pop()
            raw = self._source[start:end].rstrip(" \t")
            wanted = content.replace("|", "\\|")
            if raw.endswith(wanted):
                return self._map(content, start + len(raw) - len(wanted))
        return None

    def _split(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the spans between the unescaped pipes of a line."""
        escaped, previous = False, start
        for i in range(start, end):
            if self._source[i] == "|" and not escaped:
                yield previous, i
                previous = i + 1
            escaped = self._source[i] == "\\"
        yield previous, end

    @staticmethod
    def _map(content: str, start: int) -> _SourceMap:
        """Map a cell's content, in which each pipe has a backslash before it in the source."""
        segments = [(0, start)]
        for count, match in enumerate(re.finditer(r"\|", content)):
            position = match.start() + start + count
            segments += [(match.start(), position), (match.end(), position + 2)]
        return _SourceMap(segments)


class _InlineReader:
    """Turns the spans of one block's content into markup items."""

    def __init__(self, content: str, source: str, to_source: _SourceMap) -> None:
        self._literals: set[str] = set()  # special characters that are not escaped somewhere
        self._escaped: set[str] = set()  # those that are, somewhere
        self._content, self._source, self._to_source = content, source, to_source

    @property
    def literals(self) -> set[str]:
        """The special characters that need no escape: an escaped one, bare in another place, might begin a mark."""
        return self._literals - self._escaped

    def items(self, spans: list[_InlineSpan]) -> Iterator[MarkupItem]:
        """Yield the items, whose raw texts joined are the source of the block."""
        position = 0
        spans = _merge_strong(spans)
        partners = _link_ends(spans)
        for k, span in enumerate(spans):
            if span.token.type == "text" or span.start < position:
                continue
            start = span.start
            if span.token.type == "hardbreak":  # the spaces before it belong to it
                start = max(position, len(self._content[:start].rstrip(" ")))
            yield from self._literal(position, start)
            yield from self._special(span._replace(start=start), spans[partners[k]] if k in partners else span)
            position = span.end
        yield from self._literal(position, len(self._content))

    def _raw(self, start: int, end: int) -> str:
        return self._source[self._to_source(start) : self._to_source(end)]

    def _literal(self, start: int, end: int) -> Iterator[MarkupItem]:
        """Yield literal text, with the signs of extensions as objects."""
        text = self._content[start:end]
        self._literals |= _SPECIAL.intersection(_SIGN.sub("", text))
        previous = 0
        for match in _SIGN.finditer(text):
            if previous < match.start():
                yield self._text(start + previous, start + match.start())
            yield MarkupItem(_sign_kind(match[0]), self._raw(start + match.start(), start + match.end()))
            previous = match.end()
        if previous < len(text):
            yield self._text(start + previous, end)

    def _text(self, start: int, end: int) -> MarkupItem:
        return MarkupItem("text", self._raw(start, end), self._content[start:end])

    def _special(self, span: _InlineSpan, partner: _InlineSpan) -> Iterator[MarkupItem]:
        """Yield the items of a span that is no literal text; `partner` is the other end of a link."""
        start, end, token = span
        raw = self._raw(start, end)
        match token.type:
            case "softbreak":
                yield MarkupItem("text", raw, " ")
            case "hardbreak":
                yield self._line_break(raw, end)
            case "text_special":
                self._escaped |= {token.content} if raw.startswith("\\") else set()
                yield MarkupItem("object", raw) if token.content == OBJECT else MarkupItem("text", raw, token.content)
            case "html_inline":
                yield from self._html(raw, end)
            case "image":
                yield from self._image(span)
            case "link_open" if token.markup != "autolink":
                written = None if self._reference(start + 1, partner.start, partner.end) is None else raw
                yield MarkupItem("open", raw, "[", written)
            case "link_close":
                yield MarkupItem("close", raw, "[", self._reference(partner.start + 1, start, end))
            case _ if token.nesting:
                yield MarkupItem("open" if token.nesting > 0 else "close", raw, token.markup, optional=True)
            case _:  # code, an address
                yield MarkupItem("object", raw)

    def _line_break(self, raw: str, end: int) -> MarkupItem:
        """Return a forced line break, which ends a block unless the text after it continues the sentence."""
        continues = self._content[end:].lstrip()[:1].islower()
        return MarkupItem("void" if continues else "boundary", raw)

    def _html(self, raw: str, end: int) -> Iterator[MarkupItem]:
        for token in tokenise(raw, "html"):
            if token.name == "br":
                yield self._line_break(token.raw, end)
            elif token.kind in {"open", "close"}:
                yield MarkupItem("open" if token.kind == "open" else "close", token.raw, f"<{token.name}")
            else:
                yield MarkupItem("void" if token.kind == "void" and token.name != "wbr" else "hidden", token.raw)

    def _image(self, span: _InlineSpan) -> Iterator[MarkupItem]:
        """Yield an image as an element around its description, or without one as a whole."""
        start, end = span.start + 2, span.start + 2 + len(span.token.content)
        if not any(map(str.isalpha, self._content[start:end])):
            yield MarkupItem("void", self._raw(span.start, span.end))
            return
        reference = self._reference(start, end, span.end)
        opening = self._raw(span.start, start)
        yield MarkupItem("open", opening, "![", None if reference is None else opening)
        description = _ESCAPED.sub(_unescape, self._content[start:end])
        yield MarkupItem("text", self._raw(start, end), description)
        yield MarkupItem("close", self._raw(end, span.end), "![", reference)

    def _reference(self, label_start: int, label_end: int, end: int) -> str | None:
        """Return the end of a link whose text is also its label with the label repeated; None for other links."""
        if self._content[label_end:end] not in {"]", "][]"}:
            return None
        return f"][{' '.join(self._content[label_start:label_end].split())}]"


def _merge_strong(spans: list[_InlineSpan]) -> list[_InlineSpan]:
    """Return the spans with each mark of strong emphasis as one; the parser makes a token of its inner half."""
    merged: list[_InlineSpan] = []
    skip = False
    for span in spans:
        if skip:
            merged[-1] = merged[-1]._replace(end=span.end)
            skip = False
            continue
        if span.token.type == "strong_open" and merged:
            span = span._replace(start=merged.pop().start)
        skip = span.token.type == "strong_close"
        merged.append(span)
    return merged


def _link_ends(spans: list[_InlineSpan]) -> dict[int, int]:
    """Return the index of the other end of each link."""
    partners: dict[int, int] = {}
    path: list[int] = []
    for k, span in enumerate(spans):
        if span.token.type == "link_open" and span.token.markup != "autolink":
            path.append(k)
        elif span.token.type == "link_close" and path:
            opening = path.pop()
            partners |= {opening: k, k: opening}
    return partners


def _sign_kind(sign: str) -> Literal["object", "hidden", "boundary"]:
    """Return what a sign is: the kind of an alert and the head of a footnote stand before their text."""
    if sign == OBJECT:
        return "object"
    return "boundary" if sign.startswith("[!") or sign.endswith(":") else "hidden"


def _unescape(match: re.Match[str]) -> str:
    return match[1] or html.unescape(match[0])


def _join_untranslated(items: list[MarkupItem]) -> list[MarkupItem]:
    """Join inline HTML elements whose contents are not translated to objects."""
    ends: dict[str, list[int]] = {}
    for i in range(len(items) - 1, -1, -1):
        if items[i].kind == "close" and items[i].text[1:] in _UNTRANSLATED_ELEMENTS:
            ends.setdefault(items[i].text, []).append(i)
    joined: list[MarkupItem] = []
    resume = 0
    for i, item in enumerate(items):
        if i < resume:
            continue
        closing = ends.get(item.text, []) if item.kind == "open" else []
        while closing and closing[-1] < i:
            closing.pop()
        if closing:
            resume = closing.pop() + 1
            joined.append(MarkupItem("object", "".join(inner.raw for inner in items[i:resume])))
        else:
            joined.append(item)
    return joined
