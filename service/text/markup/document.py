"""HTML and XML: the text blocks in it to translate, and the document again with the translations in their places.

What is kept byte for byte: all tags and their attributes, comments, declarations, scripts, styles, and the contents of
`pre`, `code` and whatever says translate="no". Elements that begin a new line or paragraph end a block; those within a
line (`b`, `a`, `span`) do not, so a sentence stays whole. Where a block's inner tags go, `placing` decides.

An element that begins in one block and ends in another, or whose tags are not properly nested, ends a block wherever
it has a tag. White space inside a block is one space, as a browser shows it. A block whose text comes back unchanged
is written back byte for byte.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from service.text.alignment import AlignedText
from service.text.markup.blocks import OBJECT, Block, Item, read_blocks
from service.text.markup.tag_placement import place_tags
from service.text.markup.tokenizer import MarkupToken, Mode, tokenise

# Elements that begin on a new line, or have a cell or a box of their own.
_BLOCK = {
    "address", "area", "article", "aside", "audio", "base", "blockquote", "body", "button", "canvas", "caption",
    "center", "col", "colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "embed", "fieldset",
    "figcaption", "figure", "footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head",
    "header", "hgroup", "hr", "html", "iframe", "legend", "li", "link", "main", "map", "menu", "meta", "nav",
    "noscript", "object", "ol", "optgroup", "option", "p", "param", "plaintext", "pre", "search", "section",
    "select", "source", "summary", "table", "tbody", "td", "template", "textarea", "tfoot", "th", "thead",
    "title", "tr", "track", "ul", "video", "xmp",
}  # fmt: skip
# Their contents are for machines, or for readers of any language.
_KEPT = {"pre", "code", "kbd", "samp", "var", "svg", "math"}
_NO_TRANSLATION = re.compile(
    r"""\s(?:translate\s*=\s*["']?no\b|class\s*=\s*(?:"[^"]*CLASS|'[^']*CLASS|CLASS))""".replace(
        "CLASS", r"(?<![\w-])notranslate(?![\w-])"
    ),
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_OBJECT = re.compile(rf"{OBJECT}|&[A-Za-z][A-Za-z0-9]{{1,31}};")
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Document:
    """A parsed document.

    `block_texts` are its texts, in order; an object character in one stands for what is kept in it.
    """

    def __init__(self, parts: list[str | Block], spelling: dict[str, str]) -> None:
        self._spelling = spelling
        self._blocks = [part for part in parts if isinstance(part, Block)]
        self._kept = [""]  # before each block, and behind the last
        for part in parts:
            if isinstance(part, Block):
                self._kept.append("")
            else:
                self._kept[-1] += part
        self.block_texts = [block.text for block in self._blocks]
        # Whether a block has tags inside, so that it gains from links in its translation.
        self.has_inline_tags = [bool(block.elements or block.points) for block in self._blocks]

    @property
    def end(self) -> str:
        """What is behind the last block."""
        return self._kept[-1]

    def render_block(self, k: int, translation: AlignedText) -> str:
        """The document from the end of the block before to the end of the k-th, which is translated."""
        block = self._blocks[k]
        same = translation.text == block.text
        return self._kept[k] + (block.raw if same else place_tags(block, translation, self._escaped))

    def render(self, translations: Sequence[AlignedText]) -> str:
        """The document with a translation for each block.

        Raises:
            ValueError: there are more or fewer translations than blocks.
        """
        if len(translations) != len(self.block_texts):
            raise ValueError(f"{len(translations)} translations for {len(self.block_texts)} blocks")
        return "".join(self.render_block(k, one) for k, one in enumerate(translations)) + self.end

    def _escaped(self, text: str) -> str:
        return "".join(self._spelling.get(c, c) for c in text)


def parse(
    markup: str, mode: Mode, splitting: frozenset[str] = frozenset(), ignored: frozenset[str] = frozenset()
) -> Document:
    """Find the blocks of a document; no input is an error.

    `splitting` and `ignored` name elements that end a block, and such whose contents are kept, besides the usual ones.
    """
    row = list(tokenise(markup, mode))
    partners = _partners(row)
    splits = _mixed(row, splitting) if mode == "xml" else _flow(row, splitting)
    kept = ignored | _KEPT if mode == "html" else ignored
    items: list[Item] = []
    resume = 0
    for i, token in enumerate(row):
        if i < resume:
            continue
        if i in partners and (token.name in kept or _NO_TRANSLATION.search(token.raw)):
            resume = partners[i] + 1
            raw = "".join(one.raw for one in row[i:resume])
            items.append(Item("boundary" if splits[i] else "object", raw))
        else:
            items += _items(token, splits[i])
    return Document(read_blocks(items), _spelling(row))


def _partners(row: list[MarkupToken]) -> dict[int, int]:
    """Where the element ends that begins at a token, by its name alone."""
    waiting: dict[str, list[int]] = {}
    found = {}
    for i, token in enumerate(row):
        if token.kind == "open":
            waiting.setdefault(token.name, []).append(i)
        elif token.kind == "close" and waiting.get(token.name):
            found[waiting[token.name].pop()] = i
    return found


def _flow(row: list[MarkupToken], splitting: frozenset[str]) -> list[bool]:
    """Which tokens of HTML end a block: a line break does unless the sentence goes on behind it with a small letter."""
    splits = [False] * len(row)
    after = ""
    for i in range(len(row) - 1, -1, -1):
        token = row[i]
        if token.kind == "text":
            after = html.unescape(token.raw.lstrip()[:40])[:1] or after
        elif token.name == "br":
            splits[i], after = not after.islower(), ""
        elif token.name in _BLOCK or token.name in splitting or "-" in token.name:
            splits[i], after = True, ""
    return splits


def _mixed(row: list[MarkupToken], splitting: frozenset[str]) -> list[bool]:
    """Which tokens of XML end a block: tags of elements that have no text beside them, within their parent."""
    parents = [0] * len(row)
    has_text = [False]
    path: list[tuple[str, int]] = [("", 0)]
    unclosed: Counter[str] = Counter()
    for i, token in enumerate(row):
        if token.kind == "close" and unclosed[token.name]:
            name = ""
            while name != token.name:
                name = path.pop()[0]
                unclosed[name] -= 1
        parents[i] = path[-1][1]
        if token.kind == "open":
            path.append((token.name, len(has_text)))
            has_text.append(False)
            unclosed[token.name] += 1
        elif token.kind == "text" and token.raw.strip():
            has_text[path[-1][1]] = True
    return [
        token.name in splitting or (token.kind not in {"text", "raw"} and not has_text[parent])
        for token, parent in zip(row, parents, strict=True)
    ]


def _items(token: MarkupToken, splits: bool) -> Iterator[Item]:
    if splits:
        yield Item("boundary", token.raw)
    elif token.kind in {"open", "close"}:
        yield Item(token.kind, token.raw, token.name)
    elif token.kind == "text":
        yield from _text_items(token.raw)
    elif token.raw.startswith("<![CDATA["):
        yield Item("object", token.raw)
    else:
        yield Item("void" if token.kind == "void" and token.name != "wbr" else "hidden", token.raw)


def _text_items(raw: str) -> Iterator[Item]:
    """The text in plain characters; an entity that nobody knows is an object, and so is an object character."""
    start = 0
    for found in _OBJECT.finditer(raw):
        if found[0] != OBJECT and html.unescape(found[0]) != found[0]:
            continue
        if start < found.start():
            yield Item("text", raw[start : found.start()], html.unescape(raw[start : found.start()]))
        yield Item("object", found[0])
        start = found.end()
    if start < len(raw):
        yield Item("text", raw[start:], html.unescape(raw[start:]))


def _spelling(row: list[MarkupToken]) -> dict[str, str]:
    """How to write characters: as the document does, if it never writes them otherwise."""
    spelled: dict[str, str] = {}
    plain: set[str] = set()
    for token in row:
        if token.kind == "text":
            for entity in _ENTITY.findall(token.raw):
                spelled.setdefault(html.unescape(entity), entity)
            plain.update(_ENTITY.sub("", token.raw))
    # A letter or a space of ASCII would turn up in places that were never meant.
    own = {
        c: entity
        for c, entity in spelled.items()
        if len(c) == 1 and c not in plain and not (c.isascii() and (c.isalnum() or c.isspace()))
    }
    return _ESCAPED | own
