"""Units: the pieces of a text that a model translates in one call, and the restoration of their translations.

A `Unit` is a sentence, or a part of one. It prepares the text for the model (`model_input`: placeholders for protected
spans, lower case for capitals, plain spaces) and undoes this in the translation (`restore`). If the model lost
something, `fallback_parts` gives smaller units to translate instead.

The model reads the unit "ASK {name} FIRST" as "Ask 2013 first". Its translation "Frag zuerst 2013" is restored to
"FRAG ZUERST {name}"; "Frag zuerst" cannot be restored.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from service.text.alignment import AlignedText, AlignmentLink, OffsetMappedText, Span
from service.text.glossary import Term
from service.text.number_formats import localise
from service.text.number_words import find_number_words, number_word
from service.text.numbers import find_numbers, number_spans
from service.text.segmentation.casing import lowercase, uppercase
from service.text.segmentation.enclosing import inner_span
from service.text.segmentation.message_format import is_argument
from service.text.segmentation.placeholders import (
    Placeholder,
    choose_placeholders,
    find_placeholders,
    touches_word,
)
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.segmentation.sentences import has_letters, is_plain_sentence, spans_within, trim_span
from service.text.sign_placement import localised_quotes
from service.text.signs import find_dashes, find_splitting_signs

_SENTENCE_END = ".!?…。！？"
_CLOSING = "\"'”“»«’‘›‹)]}」』）】"
# Where a sentence that is too long is split: after a clause if possible, otherwise at a space.
# A run of points is tried from its first one alone, and nothing is given back: so the search takes linear time.
_CLAUSE_POINTS = r"[.!?…;:,\u2013\u2014]"
_CLAUSE_END = re.compile(rf"(?<!{_CLAUSE_POINTS}){_CLAUSE_POINTS}++[\"'”»’)\]]*+\s++|[，、；：。！？]")
# Models end every translation with a full stop, that of a heading, a list item or a part of a sentence too.
FULL_STOPS = ".。!?"
_SINGLE_FULL_STOP = re.compile(rf"(?<=[^\s{FULL_STOPS}])\s?[{FULL_STOPS}]$")
# A run of punctuation at the end of a unit, and what of a translation it replaces; both before closing signs.
_FINAL_RUN = re.compile(rf"(?:(?<![\s.!?…])\s)?(?<![.!?…])(?:[.!?…]{{2,}}+|…)(?=[{re.escape(_CLOSING)}]*+$)")
_RUN_CHARACTERS, _AFTER_RUN = frozenset(".!?…"), f"{_CLOSING}\n"
_FINAL_PUNCTUATION = re.compile(rf"(?:(?<!\s)\s)?(?<![.!?…])[.!?…]++(?=[{re.escape(_CLOSING)}]*+$)")
_OPENING = frozenset("([{„“¡¿")
_SPACES = re.compile(r"\s+")
_TWO_SPACES = re.compile(r"\s\s")
# White space becomes one space in the model input, invisible characters are dropped. Joiners stay: they shape letters.
_WHITE_SPACE_OR_INVISIBLE = re.compile(
    r"(?:\s|[\x00-\x1f\x7f-\x9f])+|[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]+"
)
_NEEDS_CLEANING = re.compile(r"[^\S ]|  |[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True)
class Unit:
    """A piece of a text that a model translates in one call.

    There must be a placeholder for each of its spans: `split_at_unreplaceable_spans` makes sure of that.
    """

    source: str  # as in the text
    start: int  # position in the text
    languages: tuple[str, str]  # source and target
    spans: tuple[Span, ...] = ()  # spans of `source` that placeholders replace in the model input
    all_caps: bool = False  # the sentence is in capitals
    starts_sentence: bool = True
    numbers_protected: bool = False  # `spans` include all numbers
    tokens: tuple[str, ...] = ()  # placeholder tokens of the models that translate it
    replacements: tuple[tuple[Span, str], ...] = ()  # restore these spans as another text than their own
    number_words: tuple[tuple[Span, str], ...] = ()  # restore these spans as the number words of the target language

    @cached_property
    def _placeholders(self) -> list[Placeholder]:
        if not self.spans:
            return []
        placeholders = choose_placeholders(self.source, self.spans, self.languages, self.tokens)
        if placeholders is None:
            raise ValueError("there is no placeholder for some of the spans; split the unit around them")
        return placeholders

    @property
    def has_placeholders(self) -> bool:
        """Whether there is a placeholder for each of the spans."""
        return choose_placeholders(self.source, self.spans, self.languages, self.tokens) is not None

    @cached_property
    def _cleaned_source(self) -> OffsetMappedText:
        """The source with placeholders, single spaces, no invisible characters and no signs around the whole of it."""
        if not self.spans and is_plain_sentence(self.source) and "  " not in self.source:
            return OffsetMappedText(self.source, ())
        start, end = self._inner
        edits = [(*span, placeholder.source) for span, placeholder in zip(self.spans, self._placeholders, strict=True)]
        edits += [(first, last, "") for first, last in ((0, start), (end, len(self.source))) if first < last]
        if self._final_run is not None:
            mark = "?" if "?" in self._final_run[0] else "!" if "!" in self._final_run[0] else "."
            edits.append((*self._final_run.span(), mark))
        needs_cleaning = _NEEDS_CLEANING.search(self.source) is not None
        for gap in _WHITE_SPACE_OR_INVISIBLE.finditer(self.source, start, end) if needs_cleaning else ():
            space = " " if any(c.isspace() for c in gap[0]) else ""
            if gap[0] != space and not _overlaps(gap.span(), self.spans):
                edits.append((*gap.span(), space))
        return OffsetMappedText(self.source, sorted(edits))

    @cached_property
    def model_input(self) -> str:
        """What the model reads.

        Raises:
            ValueError: there is no placeholder for some of the spans.
        """
        text = self._cleaned_source.text
        return lowercase(text, self.languages[0], self.starts_sentence) if self.all_caps else text

    @property
    def required(self) -> list[str]:
        """What the translation must contain exactly once each: the placeholders."""
        return [placeholder.target for placeholder in self._placeholders]

    @cached_property
    def _inner(self) -> Span:
        """The span of the source without brackets or quotation marks around the whole of it."""
        return inner_span(self.source, self.spans)

    @property
    def _ends_sentence(self) -> bool:
        return self.source[: self._inner[1]].rstrip(_CLOSING)[-1:] in _SENTENCE_END

    @cached_property
    def _final_run(self) -> re.Match[str] | None:
        """The run of punctuation at the end, such as "?!" or "...", of which the model reads one character."""
        last = self.source[slice(*self._inner)].rstrip(_AFTER_RUN)[-2:]
        may_be_run = last[-1:] == "…" or (len(last) == 2 and set(last) <= _RUN_CHARACTERS)
        return _FINAL_RUN.search(self.source, *self._inner) if may_be_run else None

    @property
    def is_verbatim(self) -> bool:
        """Whether the model reads the source as it is, so that `restore` changes at most a full stop at the end."""
        return not self.all_caps and not find_numbers(self.source) and self.model_input == self.source

    def restore(self, translation: AlignedText) -> AlignedText | None:
        """Undo the changes of `model_input` in its translation.

        Spans replace their placeholders, capitals and wide gaps come back, and an added full stop is removed. Links are
        mapped to `source` and to the restored text.

        Returns:
            The restored translation, or None if the model lost, doubled or changed a placeholder: then the unit's
            `fallback_parts` must be translated instead.
        """
        if translation.text == self.model_input:
            return AlignedText.identity(self.source)
        positions = find_placeholders(translation.text, self.required)
        if positions is None:
            return None
        edits = [
            (*position, self._replacement(span, position)) for position, span in zip(positions, self.spans, strict=True)
        ]
        edits += [
            (start - 1, start, "")
            for start, _ in positions
            if translation.text[start - 1 : start] == " " and translation.text[start - 2 : start - 1] in _OPENING
        ]
        if self.all_caps:
            edits += self._capitals(translation.text, positions)
        if self._final_run is not None:
            ending = _FINAL_PUNCTUATION.search(translation.text)
            first = ending.start() if ending else len(translation.text)
            edits.append((first, ending.end() if ending else first, self._final_run[0]))
        elif (stop := _SINGLE_FULL_STOP.search(translation.text)) and not self._ends_sentence:
            edits.append((*stop.span(), ""))
        edits += self._wide_gaps(translation.text)
        edits += self._dashes(translation.text)
        edits.sort()
        start, end = self._inner
        is_whole = end - start == len(self.source)
        if is_whole and not edits and not translation.links:
            return translation
        if not is_whole:
            before, after = localised_quotes(self.source[:start], self.source[end:], self.languages[1])
            edits = [(0, 0, before), *edits, (len(translation.text), len(translation.text), after)]
        edits = [_without_second_stop(edit, translation.text) for edit in edits]
        restored = OffsetMappedText(translation.text, edits)
        links = [
            AlignmentLink(*self._cleaned_source.backward(*link[:2]), *restored.forward(*link[2:]))
            for link in translation.links
            if not _overlaps(link[2:], positions)
        ]
        links += [
            AlignmentLink(*span, *restored.forward(*position))
            for span, position in zip(self.spans, positions, strict=True)
        ]
        return AlignedText(restored.text, tuple(links))

    def _replacement(self, span: Span, position: Span) -> str:
        """Return what replaces the placeholder of a span at a position of the translation."""
        text, word = self.source[slice(*span)], dict(self.number_words).get(span)
        if word is None:
            return dict(self.replacements).get(span) or localise(text, *self.languages)
        if self.all_caps:
            return uppercase(word, self.languages[1])
        starts = position[0] == 0 and self.starts_sentence and text[:1].isupper()
        return word[:1].upper() + word[1:] if starts else word

    def _capitals(self, text: str, placeholders: list[Span]) -> list[tuple[int, int, str]]:
        """Return the edits that write a translation in capitals, one per character."""
        in_order = sorted(placeholders)
        return [
            (i, i + 1, capital)
            for i, c in enumerate(text)
            if (capital := uppercase(c, self.languages[1])) != c and not _overlaps((i, i + 1), in_order)
        ]

    def _wide_gaps(self, text: str) -> list[tuple[int, int, str]]:
        """Return the edits that put runs of several spaces back, at the same relative position as in the source."""
        if not _TWO_SPACES.search(self.source):
            return []
        gaps = _SPACES.finditer(self.source, *self._inner)
        source_gaps = [gap.span() for gap in gaps if not _overlaps(gap.span(), self.spans)]
        target_gaps = [gap.span() for gap in _SPACES.finditer(text.rstrip())]
        wide_gaps = {
            k * len(target_gaps) // len(source_gaps): self.source[start:end]
            for k, (start, end) in enumerate(source_gaps)
            if end - start > 1
        }
        return [(*target_gaps[k], gap) for k, gap in wide_gaps.items() if k < len(target_gaps)]

    def _dashes(self, text: str) -> list[tuple[int, int, str]]:
        """Return the edits that write the dashes between words as in the source, if there are as many."""
        if "–" not in self.source and "—" not in self.source:
            return []
        wanted, found = find_dashes(self.source), find_dashes(text)
        if len(wanted) != len(found):
            return []
        dashes = [self.source[start:end] for start, end in wanted]
        return [(*span, dash) for span, dash in zip(found, dashes, strict=True) if text[slice(*span)] != dash]

    def with_terms(self, terms: Sequence[Term]) -> "Unit | None":
        """Return the unit with placeholders for glossary terms too, which `restore` replaces by the terms' targets.

        Returns:
            The unit, or None if there are not enough placeholders.
        """
        spans = tuple(sorted([*self.spans, *(term.span for term in terms)]))
        if choose_placeholders(self.source, spans, self.languages, self.tokens) is None:
            return None
        return replace(self, spans=spans, replacements=tuple((term.span, term.target) for term in terms))

    def with_numbers(self, words: bool = False) -> "Unit | None":
        """Return the unit with placeholders for all its numbers in digits too, and for those in words if `words`.

        Returns:
            The unit, or None if there are not enough placeholders.
        """
        numbers = [span for span in number_spans(self.source) if not _overlaps(span, self.spans)]
        found = find_number_words(self.source, self.languages[0]) if words else []
        targets = tuple(
            ((word.start, word.end), number_word(word.value, self.languages[1]))
            for word in found
            if word.cardinal and not _overlaps((word.start, word.end), self.spans)
        )
        spans = tuple(sorted([*self.spans, *numbers, *(span for span, _ in targets)]))
        if choose_placeholders(self.source, spans, self.languages, self.tokens) is None:
            return None
        return replace(self, spans=spans, numbers_protected=True, number_words=targets)

    def fallback_parts(self) -> "list[TextPart]":
        """Return what to translate when `restore` returned None: the unit, split around its spans and numbers."""
        numbers = [span for span in find_numbers(self.source) if not _overlaps(span, self.spans)]
        spans = tuple(sorted([*self.spans, *numbers]))
        return replace(self, spans=spans, numbers_protected=True).split_around(spans)

    def split_around_signs(self) -> "list[TextPart]":
        """Split the unit around its brackets, quotation marks, dashes and slashes; without any, return it as it is."""
        signs = [span for span in find_splitting_signs(self.source) if not _overlaps(span, self.spans)]
        return self.split_around(signs) if signs else [self]

    def split_around(self, excluded: Sequence[Span]) -> "list[TextPart]":
        """Split the unit: the excluded spans as strings, and units of the text between them."""
        parts: list[TextPart] = []
        borders = [0, *(border for span in excluded for border in span), len(self.source)]
        spans = sorted(set(self.spans).difference(excluded))
        for k in range(0, len(borders), 2):
            if k:
                parts.append(self.source[borders[k - 1] : borders[k]])
            core = _core(self.source, borders[k], borders[k + 1], spans)
            parts += self._part(borders[k], borders[k + 1], core, spans)
        return parts

    def split_in_half(self) -> "list[TextPart]":
        """Split the unit into two parts of similar length; a unit that cannot be split is returned as it is."""
        middle, end = self._middle(), len(self.source)
        if middle is None:
            return [self]
        return [
            *self._part(0, middle, trim_span(self.source, 0, middle), self.spans),
            *self._part(middle, end, trim_span(self.source, middle, end), self.spans),
        ]

    def _part(self, start: int, end: int, core: Span, spans: Sequence[Span]) -> "list[TextPart]":
        """Return start..end as a unit of its core, between two strings; without letters, as one string."""
        first, last = core
        inside = spans_within(spans, first, last)
        if not has_letters(self.source, first, last, inside):
            return [self.source[start:end]]
        unit = replace(
            self,
            source=self.source[first:last],
            start=self.start + first,
            spans=tuple((a - first, b - first) for a, b in inside),
            starts_sentence=self.starts_sentence and start == 0,
        )
        return [self.source[start:first], unit, self.source[last:end]]

    def _middle(self) -> int | None:
        """Return where to split in half, or None.

        This is the end of a clause in the middle half of the source, else a space, else any position: each time the
        one that is nearest to the middle.
        """
        length = len(self.source)
        clause_ends = [match.end() for match in _CLAUSE_END.finditer(self.source)]
        inner = [at for at in clause_ends if length // 4 <= at <= length - length // 4]
        spaces = [match.end() for match in _SPACES.finditer(self.source)]
        outward = (at for k in range(length) for at in (length // 2 - k, length // 2 + k + 1))
        nearest_first = [sorted(positions, key=lambda at: abs(2 * at - length)) for positions in (inner, spaces)]
        return next((at for at in chain(*nearest_first, outward) if self._can_split(at)), None)

    def _can_split(self, at: int) -> bool:
        """Return whether a position is inside the source, but not inside a span or a letter of several characters."""
        if not 0 < at < len(self.source):
            return False
        in_letter = unicodedata.category(self.source[at])[0] == "M" or "\u200d" in self.source[at - 1 : at + 1]
        return not in_letter and not any(start < at < end for start, end in self.spans)


# A part of a text: a unit to translate, or a string that stays as it is.
TextPart = str | Unit


def split_at_unreplaceable_spans(unit: Unit) -> list[TextPart]:
    """Split a unit around the spans that no placeholder can replace; without such spans, return the unit alone."""
    if not unit.spans:
        return [unit]
    unreplaceable = [
        span for span in unit.spans if touches_word(unit.source, span) or is_argument(unit.source[slice(*span)])
    ]
    parts = unit.split_around(unreplaceable) if unreplaceable else [unit]
    result: list[TextPart] = []
    for part in parts:
        # More spans than placeholders.
        if isinstance(part, Unit) and not part.has_placeholders:
            result += part.split_around(part.spans)
        else:
            result.append(part)
    return result


def _core(text: str, start: int, end: int, spans: Sequence[Span]) -> Span:
    """Return start..end without the punctuation around it.

    The core begins with a letter, digit or span, and ends with one or with the punctuation that ends a sentence.
    """
    inside = spans_within(spans, start, end)
    first = inside[0][0] if inside else end
    while start < min(first, end) and not text[start].isalnum():
        start += 1
    last = inside[-1][1] if inside else start
    while max(start, last) < end and not _ends_core(text[end - 1]):
        end -= 1
    return start, end


def word_core(text: str, start: int, end: int) -> Span:
    """Return start..end without the signs and spaces around its words and its protected spans."""
    spans = find_protected_spans(text[start:end])
    return _core(text, start, end, [(start + a, start + b) for a, b in spans])


def _ends_core(character: str) -> bool:
    return character.isalnum() or character in _SENTENCE_END or unicodedata.category(character)[0] == "M"


def _without_second_stop(edit: tuple[int, int, str], text: str) -> tuple[int, int, str]:
    """Return an edit without the full stop of an ordinal number where one follows."""
    start, end, replacement = edit
    return (start, end, replacement[:-1]) if replacement[-1:] == "." and text[end : end + 1] == "." else edit


def _overlaps(span: Span, others: Sequence[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)
