"""Parse HTML or XML into blocks of text to translate, and render the document with the translations in their places.

All tags and attributes, comments, declarations, scripts, styles, and the contents of `pre`, `code` and of elements with
translate="no" stay as they are, byte for byte. Elements that begin on a new line end a block. Elements within a line
(`b`, `a`, `span`) do not, so that a sentence stays whole; `tag_placement` finds the place of their tags in the
translation. `<p>one <b>two</b></p><p>three</p>` has the blocks "one two" and "three".

An element that begins in one block and ends in another, or whose tags are not properly nested, ends a block at each of
its tags. Every run of white space in a block is one space, as a browser shows it. A block whose translation equals its
text is rendered byte for byte as it was.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from service.text.alignment import AlignedText, Span
from service.text.markup.blocks import OBJECT, Block, Escaping, MarkupItem, read_blocks
from service.text.markup.tag_placement import empty_elements, place_tags
from service.text.markup.tokenizer import MarkupToken, Mode, tokenise

# Elements that begin on a new line, or have a table cell or a box of their own.
_BLOCK_ELEMENTS = {
    "address", "area", "article", "aside", "audio", "base", "blockquote", "body", "button", "canvas", "caption",
    "center", "col", "colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "embed", "fieldset",
    "figcaption", "figure", "footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head",
    "header", "hgroup", "hr", "html", "iframe", "legend", "li", "link", "main", "map", "menu", "meta", "nav",
    "noscript", "object", "ol", "optgroup", "option", "p", "param", "plaintext", "pre", "search", "section",
    "select", "source", "summary", "table", "tbody", "td", "template", "textarea", "tfoot", "th", "thead",
    "title", "tr", "track", "ul", "video", "xmp",
}  # fmt: skip
# Elements whose contents are not translated.
_UNTRANSLATED_ELEMENTS = {"pre", "code", "kbd", "samp", "var", "svg", "math"}
_NO_TRANSLATION = re.compile(
    r"""\s(?:translate\s*=\s*["']?no\b|class\s*=\s*(?:"[^"]*CLASS|'[^']*CLASS|CLASS))""".replace(
        "CLASS", r"(?<![\w-])notranslate(?![\w-])"
    ),
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_OBJECT_OR_ENTITY = re.compile(rf"{OBJECT}|&[A-Za-z][A-Za-z0-9]{{1,31}};|&#(?:[0-9]++|[xX][0-9a-fA-F]++);?")
_LONGEST_REFERENCE = 12  # "&#x0010FFFF;": a longer numeric reference is kept as it is
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Document:
    """A parsed document.

    Attributes:
        block_texts: the text of each block, in order; an object character in it stands for markup that is kept.
        has_inline_tags: whether each block has tags inside, so that alignment links improve its rendering.
    """

    def __init__(self, parts: list[str | Block]) -> None:
        """Hold the blocks and the markup between them."""
        self._blocks = [part for part in parts if isinstance(part, Block)]
        between: list[list[str]] = [[]]
        for part in parts:
            if isinstance(part, Block):
                between.append([])
            else:
                between[-1].append(part)
        self._markup_between = list(map("".join, between))  # before each block, and after the last one
        self.block_texts = [block.text for block in self._blocks]
        self.has_inline_tags = [bool(block.elements or block.markers) for block in self._blocks]

    @property
    def end(self) -> str:
        """The markup after the last block."""
        return self._markup_between[-1]

    @property
    def source(self) -> str:
        """The document as it was parsed."""
        return "".join(part if isinstance(part, str) else part.raw for part in self.parts)

    @property
    def parts(self) -> list[str | Block]:
        """The blocks, and the markup around them."""
        pairs = zip(self._markup_between, self._blocks, strict=False)
        return [part for pair in pairs for part in pair] + [self.end]

    def split(self) -> "list[Document]":
        """Return a document for each block, with the markup before it; the markup after the last block is `end`."""
        parts = zip(self._markup_between, self._blocks, strict=False)
        return [Document([before, block]) for before, block in parts]

    def empty_elements(self, k: int, translation: AlignedText) -> list[Span]:
        """Return the spans of the k-th block's elements that have letters in the text and none in its translation."""
        return empty_elements(self._blocks[k], translation)

    def render_block(self, k: int, translation: AlignedText) -> str:
        """Return the markup before the k-th block, and the block with its translation."""
        block = self._blocks[k]
        is_unchanged = translation.text == block.text
        rendered = block.raw if is_unchanged else place_tags(block, translation)
        return self._markup_between[k] + rendered

    def render(self, translations: Sequence[AlignedText]) -> str:
        """Return the document with a translation for each block.

        Raises:
            ValueError: there are more or fewer translations than blocks.
        """
        if len(translations) != len(self.block_texts):
            raise ValueError(f"{len(translations)} translations for {len(self.block_texts)} blocks")
        return "".join(self.render_block(k, translation) for k, translation in enumerate(translations)) + self.end


def parse(
    markup: str, mode: Mode, splitting: frozenset[str] = frozenset(), ignored: frozenset[str] = frozenset()
) -> Document:
    """Parse a document; no input is an error.

    `splitting` names elements that end a block, and `ignored` those whose contents are not translated, in addition to
    the usual ones.
    """
    tokens = list(tokenise(markup, mode))
    end_tags = _find_end_tags(tokens)
    is_boundary = _xml_boundaries(tokens, splitting) if mode == "xml" else _html_boundaries(tokens, splitting)
    untranslated = ignored | _UNTRANSLATED_ELEMENTS if mode == "html" else ignored
    items: list[MarkupItem] = []
    resume = 0
    for i, token in enumerate(tokens):
        if i < resume:
            continue
        if i in end_tags and (token.name in untranslated or _NO_TRANSLATION.search(token.raw)):
            resume = end_tags[i] + 1
            raw = "".join(inner.raw for inner in tokens[i:resume])
            items.append(MarkupItem("boundary" if is_boundary[i] else "object", raw))
        else:
            items += _items(token, is_boundary[i])
    return Document(read_blocks(items, Escaping(_entities(tokens))))


def _find_end_tags(tokens: list[MarkupToken]) -> dict[int, int]:
    """Return the index of the end tag of each element by that of its start tag; only the tags' names are compared."""
    open_tags: dict[str, list[int]] = {}
    end_tags = {}
    for i, token in enumerate(tokens):
        if token.kind == "open":
            open_tags.setdefault(token.name, []).append(i)
        elif token.kind == "close" and open_tags.get(token.name):
            end_tags[open_tags[token.name].pop()] = i
    return end_tags


def _html_boundaries(tokens: list[MarkupToken], splitting: frozenset[str]) -> list[bool]:
    """Return which tokens of an HTML document end a block.

    A line break does, unless the text after it begins with a small letter and so continues the sentence.
    """
    is_boundary = [False] * len(tokens)
    next_character = ""
    for i in range(len(tokens) - 1, -1, -1):
        token = tokens[i]
        if token.kind == "text":
            next_character = html.unescape(token.raw.lstrip()[:40])[:1] or next_character
        elif token.name == "br":
            is_boundary[i], next_character = not next_character.islower(), ""
        elif token.name in _BLOCK_ELEMENTS or token.name in splitting or "-" in token.name:
            is_boundary[i], next_character = True, ""
    return is_boundary


def _xml_boundaries(tokens: list[MarkupToken], splitting: frozenset[str]) -> list[bool]:
    """Return which tokens of an XML document end a block: tags whose parent element has no text of its own."""
    parents = [0] * len(tokens)
    has_text = [False]
    path: list[tuple[str, int]] = [("", 0)]  # names and indices of the open elements, the innermost last
    open_by_name: Counter[str] = Counter()
    for i, token in enumerate(tokens):
        if token.kind == "close" and open_by_name[token.name]:
            name = ""
            while name != token.name:
                name = path.pop()[0]
                open_by_name[name] -= 1
        parents[i] = path[-1][1]
        if token.kind == "open":
            path.append((token.name, len(has_text)))
            has_text.append(False)
            open_by_name[token.name] += 1
        elif token.kind == "text" and token.raw.strip():
            has_text[path[-1][1]] = True
    return [
        token.name in splitting or (token.kind not in {"text", "raw"} and not has_text[parent])
        for token, parent in zip(tokens, parents, strict=True)
    ]


def _items(token: MarkupToken, is_boundary: bool) -> Iterator[MarkupItem]:
    if is_boundary:
        yield MarkupItem("boundary", token.raw)
    elif token.kind in {"open", "close"}:
        yield MarkupItem(token.kind, token.raw, token.name)
    elif token.kind == "text":
        yield from _text_items(token.raw)
    elif token.raw.startswith("<![CDATA["):
        yield MarkupItem("object", token.raw)
    else:
        yield MarkupItem("void" if token.kind == "void" and token.name != "wbr" else "hidden", token.raw)


def _text_items(raw: str) -> Iterator[MarkupItem]:
    """Yield the unescaped text; object characters, and entities that stand for no character, become objects."""
    start = 0
    for match in _OBJECT_OR_ENTITY.finditer(raw):
        if match[0] != OBJECT and _is_character(match[0]):
            continue
        if start < match.start():
            yield MarkupItem("text", raw[start : match.start()], html.unescape(raw[start : match.start()]))
        yield MarkupItem("object", match[0])
        start = match.end()
    if start < len(raw):
        yield MarkupItem("text", raw[start:], html.unescape(raw[start:]))


def _is_character(entity: str) -> bool:
    """Return whether an entity stands for a character.

    A name may be unknown. A number may be 0, a surrogate, a control character or greater than the last code point;
    `html.unescape` replaces those, and fails for one of thousands of digits.
    """
    is_short = entity[1] != "#" or len(entity) <= _LONGEST_REFERENCE
    return is_short and html.unescape(entity) not in {entity, "", "\ufffd"}


def _entities(tokens: list[MarkupToken]) -> dict[str, str]:
    """Return the characters to write as entities: the special ones of HTML, and those the document always escapes."""
    entities: dict[str, str] = {}
    unescaped: set[str] = set()
    for token in tokens:
        if token.kind == "text":
            for entity in _ENTITY.findall(token.raw):
                if _is_character(entity):
                    entities.setdefault(html.unescape(entity), entity)
            unescaped.update(_ENTITY.sub("", token.raw))
    # An ASCII letter, digit or space that is written as an entity somewhere is not to be written so everywhere.
    always_escaped = {
        c: entity
        for c, entity in entities.items()
        if len(c) == 1 and c not in unescaped and not (c.isascii() and (c.isalnum() or c.isspace()))
    }
    return _ESCAPES | always_escaped
