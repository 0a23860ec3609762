"""What a model translates at once: a sentence or a part of one, with what it must not touch taken out."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from service.text.alignment import AlignedText, AlignmentLink, OffsetMappedText, Span
from service.text.glossary import Term
from service.text.segmentation.casing import lowercase, uppercase
from service.text.segmentation.placeholders import (
    choose_placeholders,
    find_numbers,
    find_placeholders,
    has_lost_numbers,
    touches_word,
)
from service.text.segmentation.sentences import has_letters, spans_within, trim_span

_END = ".!?…。！？"
_CLOSING = "\"'”“»«’‘›‹)]}」』）】"
# Where a sentence that is too long may be cut: behind a clause, or else at a space.
_CLAUSE = re.compile(r"[.!?…;:,\u2013\u2014]+[\"'”»’)\]]*\s+|[，、；：。！？]")
# Models end everything with a point: headings, list items, parts of sentences.
FULL_STOPS = ".。"
_ADDED_POINT = re.compile(rf"[^{FULL_STOPS}][{FULL_STOPS}]$")
_SPACE = re.compile(r"\s+")
_WIDE = re.compile(r"\s\s")
# White space is one space to a model, and what cannot be seen is nothing; joiners shape letters and stay.
_UNREADABLE = re.compile(r"(?:\s|[\x00-\x1f\x7f-\x9f])+|[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
_UNCLEAN = re.compile(r"[^\S ]|  |[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True)
class Unit:
    """A piece of a text for the model, and the way back from what the model makes of it.

    Its spans must be such that something can stand for them: see `split_where_needed`.
    """

    source: str  # as it is in the text
    start: int  # where it is in the text
    languages: tuple[str, str]  # source and target
    spans: tuple[Span, ...] = ()  # what the model must not see, within `source`
    all_caps: bool = False  # in capitals, as its sentence is
    starts_sentence: bool = True  # it opens its sentence
    numbers_protected: bool = False  # the numbers that could get lost are among the spans
    replacements: tuple[tuple[Span, str], ...] = ()  # what to write instead of some of the spans

    @cached_property
    def _placeholders(self) -> list[str]:
        found = choose_placeholders(self.source, self.spans)
        if found is None:
            raise ValueError("nothing can stand for these spans; cut the unit around them")
        return found

    @cached_property
    def _reading(self) -> OffsetMappedText:
        """The source with the spans exchanged and odd white space evened out."""
        edits = [(start, end, mark) for (start, end), mark in zip(self.spans, self._placeholders, strict=True)]
        for gap in _UNREADABLE.finditer(self.source) if _UNCLEAN.search(self.source) else ():
            spaced = " " if any(c.isspace() for c in gap[0]) else ""
            if gap[0] != spaced and not _overlaps(gap.span(), self.spans):
                edits.append((*gap.span(), spaced))
        return OffsetMappedText(self.source, sorted(edits))

    @cached_property
    def model_input(self) -> str:
        """What the model reads."""
        return (
            lowercase(self._reading.text, self.languages[0], self.starts_sentence)
            if self.all_caps
            else self._reading.text
        )

    @property
    def is_verbatim(self) -> bool:
        """Whether the model reads it as it is, so that nothing in its translation changes but a point at the end."""
        return not self.all_caps and not find_numbers(self.source) and self.model_input == self.source

    def restore(self, translation: AlignedText) -> AlignedText | None:
        """The translation with everything put back; None if the model lost, doubled or changed something.

        What to translate then is `fallback_parts`.
        """
        if translation.text == self.model_input:
            return AlignedText.identity(self.source)
        places = find_placeholders(translation.text, self._placeholders)
        if places is None or (not self.numbers_protected and has_lost_numbers(self.model_input, translation.text)):
            return None
        written = dict(self.replacements)
        edits = [
            (start, end, written.get((a, b), self.source[a:b]))
            for (start, end), (a, b) in zip(places, self.spans, strict=True)
        ]
        if self.all_caps:
            edits += self._capitals(translation.text, places)
        if _ADDED_POINT.search(translation.text) and self.source.rstrip(_CLOSING)[-1:] not in _END:
            edits.append((len(translation.text) - 1, len(translation.text), ""))
        edits += self._wide_gaps(translation.text)
        rewrite = OffsetMappedText(translation.text, sorted(edits))
        links = [
            AlignmentLink(*self._reading.backward(*link[:2]), *rewrite.forward(*link[2:]))
            for link in translation.links
            if not _overlaps(link[2:], places)
        ]
        links += [
            AlignmentLink(*span, *rewrite.forward(*place)) for span, place in zip(self.spans, places, strict=True)
        ]
        return AlignedText(rewrite.text, tuple(links))

    def _capitals(self, text: str, places: list[Span]) -> list[tuple[int, int, str]]:
        held = sorted(places)
        return [
            (i, i + 1, capital)
            for i, c in enumerate(text)
            if (capital := uppercase(c, self.languages[1])) != c and not _overlaps((i, i + 1), held)
        ]

    def _wide_gaps(self, text: str) -> list[tuple[int, int, str]]:
        """Several spaces in a row go between words that are as far along as theirs were."""
        if not _WIDE.search(self.source):
            return []
        before = [found.span() for found in _SPACE.finditer(self.source) if not _overlaps(found.span(), self.spans)]
        after = [found.span() for found in _SPACE.finditer(text.rstrip())]
        wide = {k * len(after) // len(before): self.source[a:b] for k, (a, b) in enumerate(before) if b - a > 1}
        return [(*after[k], gap) for k, gap in wide.items() if k < len(after)]

    def with_terms(self, terms: Sequence[Term]) -> "Unit | None":
        """The unit with stand-ins for terms, to be written as the glossary wants; None if there are too many."""
        spans = tuple(sorted([*self.spans, *(term.span for term in terms)]))
        if choose_placeholders(self.source, spans) is None:
            return None
        return replace(self, spans=spans, replacements=tuple((term.span, term.target) for term in terms))

    def fallback_parts(self) -> "list[str | Unit]":
        """What to translate instead when `restore` says None; after two times nothing is left that can fail.

        First the numbers are held by stand-ins too; then the unit is cut around all its spans and numbers.
        """
        held = [span for span in find_numbers(self.source) if not _overlaps(span, self.spans)]
        spans = tuple(sorted([*self.spans, *held]))
        if not self.numbers_protected and held and choose_placeholders(self.source, spans) is not None:
            return [replace(self, spans=spans, numbers_protected=True)]
        return replace(self, spans=spans, numbers_protected=True).split_around(spans)

    def split_around(self, cut: Sequence[Span]) -> "list[str | Unit]":
        """The spans to cut around, and units of what is between them."""
        found: list[str | Unit] = []
        borders = [0, *(border for span in cut for border in span), len(self.source)]
        kept = sorted(set(self.spans).difference(cut))
        for k in range(0, len(borders), 2):
            if k:
                found.append(self.source[borders[k - 1] : borders[k]])
            found += self._part(borders[k], borders[k + 1], kept, core=True)
        return found

    def split_in_half(self) -> "list[str | Unit]":
        """The unit in two parts, about as long as each other; as it is if nothing can be cut."""
        at = self._middle()
        if at is None:
            return [self]
        return [*self._part(0, at, self.spans), *self._part(at, len(self.source), self.spans)]

    def _part(self, start: int, end: int, spans: Sequence[Span], core: bool = False) -> "list[str | Unit]":
        """What is between start and end, with what needs no translation before and behind it."""
        first, last = _core(self.source, start, end, spans) if core else trim_span(self.source, start, end)
        inside = spans_within(spans, first, last)
        if not has_letters(self.source, first, last, inside):
            return [self.source[start:end]]
        part = replace(
            self,
            source=self.source[first:last],
            start=self.start + first,
            spans=tuple((a - first, b - first) for a, b in inside),
            starts_sentence=self.starts_sentence and start == 0,
        )
        return [self.source[start:first], part, self.source[last:end]]

    def _middle(self) -> int | None:
        """Where to cut, as near to the middle as can be, for a clause's sake a quarter of the length away."""
        length = len(self.source)
        clauses = [found.end() for found in _CLAUSE.finditer(self.source)]
        inner = [at for at in clauses if length // 4 <= at <= length - length // 4]
        spaces = [found.end() for found in _SPACE.finditer(self.source)]
        outward = (at for k in range(length) for at in (length // 2 - k, length // 2 + k + 1))
        nearest_first = [sorted(places, key=lambda at: abs(2 * at - length)) for places in (inner, spaces)]
        return next((at for at in chain(*nearest_first, outward) if self._may_cut(at)), None)

    def _may_cut(self, at: int) -> bool:
        """Whether there is something on both sides, and no span or letter made of several characters across."""
        if not 0 < at < len(self.source):
            return False
        joined = unicodedata.category(self.source[at])[0] == "M" or "\u200d" in self.source[at - 1 : at + 1]
        return not joined and not any(start < at < end for start, end in self.spans)


TextPart = str | Unit


def split_where_needed(unit: Unit) -> list[TextPart]:
    """The unit, or its parts if nothing can stand for some of its spans."""
    hopeless = [span for span in unit.spans if touches_word(unit.source, span)]
    parts = unit.split_around(hopeless) if hopeless else [unit]
    whole: list[TextPart] = []
    for part in parts:
        if isinstance(part, Unit) and choose_placeholders(part.source, part.spans) is None:
            whole += part.split_around(part.spans)
        else:
            whole.append(part)
    return whole


def _core(text: str, start: int, end: int, spans: Sequence[Span]) -> Span:
    """From its first letter, digit or span to the last, or to the point or mark that ends the sentence there."""
    starts, ends = {a for a, _ in spans}, {b for _, b in spans}
    while start < end and start not in starts and not text[start].isalnum():
        start += 1
    while (
        start < end
        and end not in ends
        and not (text[end - 1].isalnum() or text[end - 1] in _END or unicodedata.category(text[end - 1])[0] == "M")
    ):
        end -= 1
    return start, end


def _overlaps(span: Span, others: Sequence[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)
