"""Puts a block's inner tags back into its translation.

Every word of the translation belongs into the elements of the word that it came from. Each element is written exactly
once, with its tags as they were: an element whose words got apart keeps the longest run of them, and one whose words
are gone is written empty, as near as can be to where it would be. (Repeating `<b>` would serve both runs; repeating
`<a href>` would make two links, and two ids are an error. One rule for all keeps every count of tags.) A tag without
contents follows the word that it followed.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service.text.alignment import AlignedText, AlignmentLink, Span
from service.text.markup.blocks import OBJECT, Block, Point
from service.text.segmentation.placeholders import find_protected_spans
from service.text.words import is_word_character, word_spans


def place_tags(block: Block, translation: AlignedText, escape: Callable[[str], str]) -> str:
    """The translation of a block as markup; without any links, its words are taken to be in the source's order."""
    if not translation.links:
        translation = AlignedText(translation.text, tuple(proportional_links(block.text, translation.text)))
    return TagPlacer(block, translation, escape).written()


def proportional_links(source: str, target: str) -> Iterator[AlignmentLink]:
    """Links between words that are equally far from the beginning."""
    sources = [span for span in word_spans(source) if is_word_character(source[span[0]])]
    targets = [span for span in word_spans(target) if is_word_character(target[span[0]])]
    for k, span in enumerate(targets):
        yield AlignmentLink(*sources[k * len(sources) // len(targets)], *span)


def whole_words(text: str) -> Iterator[Span]:
    """Words, signs and spaces; what a translation must not touch is one word, for no tag may be put into it."""
    read = 0
    for start, end in [*find_protected_spans(text.replace(OBJECT, " ")), (len(text), len(text))]:
        yield from ((read + a, read + b) for a, b in word_spans(text[read:start]))
        if start < end:
            yield start, end
        read = end


@dataclass
class _Cell:
    """A word, a character or a space of the translation, which is in one element as a whole."""

    text: str
    at: int | None = None  # where in the source it came from, if that is known
    end: int = 0
    owner: int | None = None  # the innermost element that it belongs to, -1 for none

    @property
    def says(self) -> bool:
        """Whether it is more than signs and spaces."""
        return any(map(is_word_character, self.text))


@dataclass
class TagPlacer:
    block: Block
    translation: AlignedText
    escape: Callable[[str], str]
    cells: list[_Cell] = field(default_factory=list)
    regions: list[tuple[int, int]] = field(default_factory=list)  # of cells, for each element

    def written(self) -> str:
        self._paint()
        self._cut()
        self._settle()
        self._choose_regions()
        contents = self._contents()
        return "".join(self._write(-1, 0, len(self.cells), contents))

    def _paint(self) -> None:
        """The innermost element at each character of the source, and the chain of elements around each."""
        self.innermost = [-1] * len(self.block.text)
        self.chains: list[tuple[int, ...]] = []
        for k, element in enumerate(self.block.elements):
            self.innermost[element.start : element.end] = [k] * (element.end - element.start)
            self.chains.append((*(self.chains[element.parent] if element.parent >= 0 else ()), k))
        self.chains.append(())  # of -1

    def _cut(self) -> None:
        """The translation as cells, each with what its links say about it."""
        text = self.translation.text
        links: list[AlignmentLink | None] = [None] * len(text)
        # In reverse, so that of several links to one character the first counts.
        for link in reversed(self.translation.links):
            start, end = max(0, link.target_start), min(link.target_end, len(text))
            links[start:end] = [link] * (end - start)
        for start, end in whole_words(text):
            origins = [self._copied(i, links[i]) for i in range(start, end)]
            first = origins[0]
            if first is not None and origins == list(range(first, first + end - start)):
                self._add_copy(text[start:end], first)
                continue
            cell = _Cell(text[start:end])
            found = next((link for link in links[start:end] if link is not None), None)
            if found is not None and self._trusted(cell.text, found):
                inside = self.innermost[found.source_start : found.source_end]
                cell.owner = max(inside, key=lambda k: len(self.chains[k]))
                cell.at, cell.end = found.source_start, found.source_end
            self.cells.append(cell)

    def _copied(self, i: int, link: AlignmentLink | None) -> int | None:
        """Where a character of the translation is in the source, if its link joins two equal texts."""
        if link is None or link.source_start < 0:
            return None
        source = self.block.text[link.source_start : link.source_end]
        if not source or source != self.translation.text[link.target_start : link.target_end]:
            return None
        return link.source_start + i - link.target_start

    def _add_copy(self, word: str, origin: int) -> None:
        """A word that is as in the source; tags within it stay where they are."""
        start = 0
        for i in range(1, len(word) + 1):
            if i == len(word) or self.innermost[origin + i] != self.innermost[origin + start]:
                owner = self.innermost[origin + start]
                self.cells.append(_Cell(word[start:i], origin + start, origin + i, owner))
                start = i

    def _trusted(self, text: str, link: AlignmentLink) -> bool:
        """Models align points and commas to anything; only one that has its like in the source is believed."""
        source = self.block.text[max(0, link.source_start) : link.source_end]
        return (
            bool(source)
            and link.source_start >= 0
            and not text.isspace()
            and (is_word_character(text[0]) or text in source)
        )

    def _settle(self) -> None:
        """Cells without a link, and all spaces, belong where both their neighbours do."""
        for cell in self.cells:
            if cell.text.isspace():
                cell.owner = None
        start = 0
        while start < len(self.cells):
            end = start
            while end < len(self.cells) and self.cells[end].owner is None:
                end += 1
            before = self.cells[start - 1].owner if start else -1
            after = self.cells[end].owner if end < len(self.cells) else -1
            common = self._common(before, after)
            for cell in self.cells[start:end]:
                cell.owner = common
            start = end + 1

    def _common(self, one: int | None, other: int | None) -> int:
        both = zip(self.chains[-1 if one is None else one], self.chains[-1 if other is None else other], strict=False)
        return max((a for a, b in both if a == b), default=-1)

    def _choose_regions(self) -> None:
        """One run of cells for each element, within its parent's; an empty one where it would be if none is its own."""
        self.sources = sorted((cell.end, i) for i, cell in enumerate(self.cells) if cell.at is not None)
        members: list[list[int]] = [[] for _ in self.block.elements]
        for i, cell in enumerate(self.cells):
            for k in self._chain(cell):
                members[k].append(i)
        for k, element in enumerate(self.block.elements):
            low, high = self._region(element.parent)
            runs = self._runs([i for i in members[k] if low <= i < high], element.parent)
            if runs:
                first, last = max(runs, key=self._weight)
                for cell in self.cells[first : last + 1]:
                    if cell.owner == element.parent:
                        cell.owner = k
                self.regions.append((first, last + 1))
            else:
                position = self._position(element.start, element.parent)
                self.regions.append((position, position))

    def _runs(self, indices: list[int], parent: int) -> list[tuple[int, int]]:
        """First and last of the cells that are next to each other, a single strange word between them allowed."""
        runs: list[tuple[int, int]] = []
        for i in indices:
            gap = self.cells[runs[-1][1] + 1 : i] if runs else []
            strange = sum(cell.says for cell in gap)
            if runs and strange <= 1 and all(cell.owner == parent for cell in gap):
                runs[-1] = (runs[-1][0], i)
            else:
                runs.append((i, i))
        return runs

    def _weight(self, run: tuple[int, int]) -> int:
        return sum(len(cell.text) for cell in self.cells[run[0] : run[1] + 1] if cell.says)

    def _chain(self, cell: _Cell) -> tuple[int, ...]:
        return self.chains[-1 if cell.owner is None else cell.owner]

    def _region(self, k: int) -> tuple[int, int]:
        return self.regions[k] if k >= 0 else (0, len(self.cells))

    def _position(self, at: int, parent: int) -> int:
        """Behind which cell to put what is at a place in the source: the one from the word before that place."""
        low, high = self._region(parent)
        k = bisect_right(self.sources, (at, len(self.cells))) - 1
        if k < 0 or (parent >= 0 and self.sources[k][0] <= self.block.elements[parent].start):
            return low
        position = min(max(self.sources[k][1] + 1, low), high)
        # What comes behind a point stays behind what has become of it.
        if self.block.text[at - 1 : at].strip() and not is_word_character(self.block.text[at - 1]):
            while position < high and not self.cells[position].text.isspace() and not self.cells[position].says:
                position += 1
        # What leans on the word behind it goes behind the space.
        leans = self.block.text[at - 1 : at] == " "
        return position + (leans and position < high and self.cells[position].text.isspace())

    def _contents(self) -> dict[int, list[tuple[int, int, int | Point]]]:
        """What is directly in each element: where, its order in the source, and which element or point it is."""
        contents: dict[int, list[tuple[int, int, int | Point]]] = {-1: []}
        for k, element in enumerate(self.block.elements):
            contents[k] = []
            contents[element.parent].append((self.regions[k][0], element.order, k))
        for point in [*self.block.points, *self._place_objects()]:
            contents[point.parent].append((self._position(point.at, point.parent), point.order, point))
        for row in contents.values():
            row.sort(key=self._turn)
        return contents

    def _turn(self, content: tuple[int, int, int | Point]) -> tuple[int, bool, int]:
        """What takes no cell comes before the cells that an element at the same place takes."""
        position, order, what = content
        return position, not isinstance(what, Point) and self.regions[what][1] > position, order

    def _place_objects(self) -> list[Point]:
        """Give each object character its object, by its link or else in turn; returns the objects that got none."""
        waiting = {thing.at: thing for thing in self.block.objects}
        self.things: dict[int, str] = {}
        cells = [i for i, cell in enumerate(self.cells) if cell.text == OBJECT]
        for linked in (True, False):
            for i in cells:
                at = self.cells[i].at if linked else next(iter(waiting), None)
                if i not in self.things and at in waiting:
                    self.things[i] = waiting.pop(at).raw
        return list(waiting.values())

    def _write(
        self, owner: int, low: int, high: int, contents: dict[int, list[tuple[int, int, int | Point]]]
    ) -> Iterator[str]:
        read = low
        for position, _, content in contents[owner]:
            yield from self._plain(read, position)
            read = max(read, position)
            if isinstance(content, Point):
                yield content.raw
                read += content.spaced and read < high and self.cells[read].text.isspace()
            else:
                element, (first, end) = self.block.elements[content], self.regions[content]
                yield element.opening
                yield from self._write(content, first, end, contents)
                yield element.closing
                read = max(read, end)
        yield from self._plain(read, high)

    def _plain(self, low: int, high: int) -> Iterator[str]:
        for i in range(low, high):
            text = self.cells[i].text
            yield self.things.get(i, "") if text == OBJECT else self.escape(text)
