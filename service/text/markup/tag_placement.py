"""Place the inline tags of a block in its translation, guided by alignment links.

"one <b>two</b> three", translated as "drei zwei eins", becomes "drei <b>zwei</b> eins".

Each tag is written exactly once. Writing <b> twice would do no harm, but a second <a href> would be another link, and
a second id is an error; one rule for all elements keeps the number of tags.

1. The translation is cut into cells: words, spaces and single characters. A link projects a cell to the characters of
   the source that it comes from, and the innermost element there owns the cell. Links of punctuation are not trusted,
   unless the source has the same character at that place, because models align punctuation to anything.
2. Spaces and cells without a link belong to the innermost element that both their neighbours are in.
3. Each element, the outer ones first, gets a region: one run of its cells, within the region of its parent. If its
   cells are apart, the run with the most letters wins, and the other cells go to the parent; a single foreign word
   within a run is taken in. An element without cells is empty, at the place where it would be.
4. A void tag or a comment follows the word that it followed in the source. Object characters become their objects.
5. The cells are written in order, with the tags of each region around them.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.text.alignment import AlignedText, AlignmentLink, Span
from service.text.markup.blocks import OBJECT, Block, InlineMarker
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.words import is_word_character, word_spans

MAX_SEARCHED = 1000  # characters of a link's source in which a longer run of signs is looked for


def place_tags(block: Block, translation: AlignedText) -> str:
    """Return the translation of a block as markup; without links, words are linked in proportion to their positions."""
    if not translation.links:
        translation = AlignedText(translation.text, tuple(proportional_links(block.text, translation.text)))
    return block.escaping.complete(TagPlacer(block, translation).render())


def empty_elements(block: Block, translation: AlignedText) -> list[Span]:
    """Return the spans of the innermost elements that have letters, but none in the translation of the block."""
    if not block.elements or translation.text == block.text:
        return []
    if not translation.links:
        translation = AlignedText(translation.text, tuple(proportional_links(block.text, translation.text)))
    return TagPlacer(block, translation).empty_elements()


def proportional_links(source: str, target: str) -> Iterator[AlignmentLink]:
    """Link each word of the target to the source word at the same relative position."""
    sources = [span for span in word_spans(source) if is_word_character(source[span[0]])]
    targets = [span for span in word_spans(target) if is_word_character(target[span[0]])]
    for k, span in enumerate(targets):
        yield AlignmentLink(*sources[k * len(sources) // len(targets)], *span)


def _cell_spans(text: str) -> Iterator[Span]:
    """Yield words, spaces and single characters; a protected span is one cell, because no tag may be put into it."""
    previous_end = 0
    for start, end in [*find_protected_spans(text.replace(OBJECT, " ")), (len(text), len(text))]:
        if OBJECT in text[start:end]:
            continue
        yield from ((previous_end + a, previous_end + b) for a, b in word_spans(text[previous_end:start]))
        if start < end:
            yield start, end
        previous_end = end


@dataclass
class _Cell:
    """A word, a character or a space of the translation; it is never split between elements."""

    text: str
    source_start: int | None = None  # None without a link
    source_end: int = 0
    owner: int | None = None  # index of the innermost element around it, -1 for none, None while it is unknown
    has_word_character: bool = field(init=False)

    def __post_init__(self) -> None:
        self.has_word_character = any(map(is_word_character, self.text))


class _LinkSource:
    """The source of a link, read once for all characters of the translation that the link covers."""

    def __init__(self, link: AlignmentLink, block: Block, translation: str, deepest: int) -> None:
        """`deepest` is the innermost element in the source span."""
        text = block.text[max(0, link.source_start) : link.source_end]
        self.deepest = deepest
        self.is_valid = bool(text) and link.source_start >= 0
        self.is_copied = self.is_valid and text == translation[link.target_start : link.target_end]
        self.offset = link.source_start - link.target_start
        self._characters = frozenset(text)
        self._start = text[:MAX_SEARCHED]

    def contains(self, text: str) -> bool:
        """Return whether the source has a text; a long source is searched in its beginning only."""
        return text in self._characters if len(text) == 1 else text in self._start


class _Content(NamedTuple):
    """An element or a marker directly within an element."""

    position: int  # index of the cell before which it stands
    order: int  # in the source
    node: int | InlineMarker  # index of the element, or the marker


class TagPlacer:
    """Renders one block; see the top of this module for the algorithm."""

    def __init__(self, block: Block, translation: AlignedText) -> None:
        self._block, self._translation, self._escape = block, translation, block.escaping.escape
        self._cells: list[_Cell] = []
        self._regions: list[Span] = []  # first cell of each element, and the one after its last
        self._cell_by_source_end: list[tuple[int, int]] = []  # (source_end, index) of the linked cells, sorted
        self._object_by_cell: dict[int, str] = {}
        self._signs_end: list[int] = []  # for each cell, where the run of signs that begins with it ends
        self._link_sources: dict[AlignmentLink, _LinkSource] = {}
        # The innermost element at each character of the source, and the path of elements down to each element.
        self._innermost = [-1] * len(block.text)
        self._paths: list[tuple[int, ...]] = []
        for k, element in enumerate(block.elements):
            self._innermost[element.start : element.end] = [k] * (element.end - element.start)
            self._paths.append((*(self._paths[element.parent] if element.parent >= 0 else ()), k))
        self._paths.append(())  # of -1: outside all elements

    def render(self) -> str:
        """Return the translation with the block's tags."""
        self._make_cells()
        self._assign_unlinked_cells()
        self._choose_regions()
        unplaced_objects = self._place_objects()
        contents = self._contents([*self._block.markers, *unplaced_objects])
        return "".join(self._write(-1, 0, len(self._cells), contents))

    def empty_elements(self) -> list[Span]:
        """Return the spans of the elements with letters in the source whose region has no word; only the innermost."""
        self._make_cells()
        self._assign_unlinked_cells()
        self._choose_regions()
        parents = {element.parent for element in self._block.elements}
        return [
            (element.start, element.end)
            for k, element in enumerate(self._block.elements)
            if k not in parents
            and any(map(str.isalpha, self._block.text[element.start : element.end]))
            and not any(cell.has_word_character for cell in self._cells[slice(*self._regions[k])])
        ]

    def _make_cells(self) -> None:
        """Cut the translation into cells, and set the source span and the owner of those with a link."""
        text = self._translation.text
        links: list[AlignmentLink | None] = [None] * len(text)
        # In reverse, so that of several links to one character the first counts.
        for link in reversed(self._translation.links):
            start, end = max(0, link.target_start), min(link.target_end, len(text))
            links[start:end] = [link] * (end - start)
        for start, end in _cell_spans(text):
            origins = [self._copied_from(i, links[i]) for i in range(start, end)]
            first = origins[0]
            if first is not None and origins == list(range(first, first + end - start)):
                self._add_copied_word(text[start:end], first)
                continue
            cell = _Cell(text[start:end])
            cell_link = next((link for link in links[start:end] if link is not None), None)
            if cell_link is not None and self._is_trusted(cell.text, cell_link):
                cell.owner = self._source_of(cell_link).deepest
                cell.source_start, cell.source_end = cell_link.source_start, cell_link.source_end
            self._cells.append(cell)
        self._signs_end = list(range(len(self._cells)))
        for i in range(len(self._cells) - 1, -1, -1):
            cell = self._cells[i]
            if not cell.text.isspace() and not cell.has_word_character:
                self._signs_end[i] = self._signs_end[i + 1] if i + 1 < len(self._cells) else i + 1

    def _source_of(self, link: AlignmentLink) -> _LinkSource:
        source = self._link_sources.get(link)
        if source is None:
            elements = self._innermost[max(0, link.source_start) : link.source_end]
            deepest = max(elements, key=lambda k: len(self._paths[k]), default=-1)
            source = _LinkSource(link, self._block, self._translation.text, deepest)
            self._link_sources[link] = source
        return source

    def _copied_from(self, i: int, link: AlignmentLink | None) -> int | None:
        """Return the source position of a character of the translation whose link joins two equal texts, else None."""
        if link is None or not self._source_of(link).is_copied:
            return None
        return self._source_of(link).offset + i

    def _add_copied_word(self, word: str, source_start: int) -> None:
        """Add the cells of a word that is the same in the source; tags inside it stay where they are."""
        start = 0
        for i in range(1, len(word) + 1):
            owner = self._innermost[source_start + start]
            if i == len(word) or self._innermost[source_start + i] != owner:
                self._cells.append(_Cell(word[start:i], source_start + start, source_start + i, owner))
                start = i

    def _is_trusted(self, text: str, link: AlignmentLink) -> bool:
        """Return whether a cell's link counts: that of a word does, that of punctuation only if the source has it."""
        source = self._source_of(link)
        return source.is_valid and not text.isspace() and (is_word_character(text[0]) or source.contains(text))

    def _assign_unlinked_cells(self) -> None:
        """Set the owner of spaces and of cells without a link: the innermost element around both neighbours."""
        for cell in self._cells:
            if cell.text.isspace():
                cell.owner = None
        start = 0
        while start < len(self._cells):
            end = start
            while end < len(self._cells) and self._cells[end].owner is None:
                end += 1
            before = self._cells[start - 1].owner if start else -1
            after = self._cells[end].owner if end < len(self._cells) else -1
            owner = self._innermost_common(before, after)
            for cell in self._cells[start:end]:
                cell.owner = owner
            start = end + 1

    def _innermost_common(self, one: int | None, other: int | None) -> int:
        # Elements are numbered in the order of their start tags: on a path, the innermost has the highest number.
        pairs = zip(self._path(one), self._path(other), strict=False)
        return max((a for a, b in pairs if a == b), default=-1)

    def _path(self, owner: int | None) -> tuple[int, ...]:
        return self._paths[-1 if owner is None else owner]

    def _choose_regions(self) -> None:
        """Choose the region of each element, within that of its parent; it is empty if the element has no cells."""
        self._cell_by_source_end = sorted(
            (cell.source_end, i) for i, cell in enumerate(self._cells) if cell.source_start is not None
        )
        members: list[list[int]] = [[] for _ in self._block.elements]
        for i, cell in enumerate(self._cells):
            for k in self._path(cell.owner):
                members[k].append(i)
        for k, element in enumerate(self._block.elements):
            low, high = self._region(element.parent)
            runs = self._runs([i for i in members[k] if low <= i < high], element.parent)
            if runs:
                first, last = max(runs, key=self._letters)
                for cell in self._cells[first : last + 1]:
                    if cell.owner == element.parent:
                        cell.owner = k
                self._regions.append((first, last + 1))
            else:
                position = self._position(element.start, element.parent)
                self._regions.append((position, position))

    def _runs(self, indices: list[int], parent: int) -> list[tuple[int, int]]:
        """Group cells into runs (first, last); cells of the parent, with at most one word, may be between two cells."""
        runs: list[tuple[int, int]] = []
        for i in indices:
            if runs and self._is_bridgeable(runs[-1][1] + 1, i, parent):
                runs[-1] = (runs[-1][0], i)
            else:
                runs.append((i, i))
        return runs

    def _is_bridgeable(self, first: int, end: int, parent: int) -> bool:
        """Return whether the cells first..end are the parent's, with at most one word; stops at the first that tells.

        Cells of the parent between two of an element are looked at for that element alone, so that all calls for the
        elements of one parent take linear time together.
        """
        words = 0
        for i in range(first, end):
            cell = self._cells[i]
            words += cell.has_word_character
            if words > 1 or cell.owner != parent:
                return False
        return True

    def _letters(self, run: tuple[int, int]) -> int:
        """Return the number of characters in the words of a run."""
        return sum(len(cell.text) for cell in self._cells[run[0] : run[1] + 1] if cell.has_word_character)

    def _region(self, k: int) -> Span:
        return self._regions[k] if k >= 0 else (0, len(self._cells))

    def _position(self, source_position: int, parent: int) -> int:
        """Return before which cell to put what stands at a position of the source.

        This is the cell after the one that comes from the word before that position, within the parent's region.
        """
        text = self._block.text
        low, high = self._region(parent)
        k = bisect_right(self._cell_by_source_end, (source_position, len(self._cells))) - 1
        if k < 0 or (parent >= 0 and self._cell_by_source_end[k][0] <= self._block.elements[parent].start):
            return low
        position = min(max(self._cell_by_source_end[k][1] + 1, low), high)
        # After punctuation in the source: also after the punctuation in the translation.
        before = text[source_position - 1 : source_position]
        if before.strip() and not is_word_character(before) and position < high:
            position = min(self._signs_end[position], high)
        # After a space in the source: also after the space in the translation.
        return position + (before == " " and position < high and self._cells[position].text.isspace())

    def _place_objects(self) -> list[InlineMarker]:
        """Assign the objects to the object characters, by link or else in order; return those that are left over."""
        unplaced = {marker.position: marker for marker in self._block.objects}
        object_cells = [i for i, cell in enumerate(self._cells) if cell.text == OBJECT]
        for i in object_cells:
            source_position = self._cells[i].source_start
            if source_position is not None and source_position in unplaced:
                self._object_by_cell[i] = unplaced.pop(source_position).raw
        left_over = deque(unplaced.values())
        for i in object_cells:
            if i not in self._object_by_cell and left_over:
                self._object_by_cell[i] = left_over.popleft().raw
        return list(left_over)

    def _contents(self, markers: list[InlineMarker]) -> dict[int, list[_Content]]:
        """Return what stands directly within each element (-1: within the block), in the order of writing."""
        contents: dict[int, list[_Content]] = {-1: []}
        for k, element in enumerate(self._block.elements):
            contents[k] = []
            contents[element.parent].append(_Content(self._regions[k][0], element.order, k))
        for marker in markers:
            position = self._position(marker.position, marker.parent)
            contents[marker.parent].append(_Content(position, marker.order, marker))
        for children in contents.values():
            children.sort(key=self._sort_key)
        return contents

    def _sort_key(self, content: _Content) -> tuple[int, bool, int]:
        """Sort by position; at the same one, markers and empty elements come before an element with cells."""
        position, order, node = content
        return position, not isinstance(node, InlineMarker) and self._regions[node][1] > position, order

    def _write(self, owner: int, low: int, high: int, contents: dict[int, list[_Content]]) -> Iterator[str]:
        """Yield the cells low..high of an element, with the tags of all that is in it."""
        written = low
        for position, _, node in contents[owner]:
            yield from self._write_cells(written, position)
            written = max(written, position)
            if isinstance(node, InlineMarker):
                yield node.raw
                written += node.replaces_space and written < high and self._cells[written].text.isspace()
            else:
                element, (first, end) = self._block.elements[node], self._regions[node]
                if element.optional and first == end and not contents[node]:
                    continue
                yield element.opening
                yield from self._write(node, first, end, contents)
                yield element.closing
                written = max(written, end)
        yield from self._write_cells(written, high)

    def _write_cells(self, low: int, high: int) -> Iterator[str]:
        for i in range(low, high):
            text = self._cells[i].text
            yield self._object_by_cell.get(i, "") if text == OBJECT else self._escape(text)
