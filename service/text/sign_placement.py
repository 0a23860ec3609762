"""Put lost brackets, quotation marks and dashes back into a translation, guided by alignment links.

`He said "yes".` translated as `Er sagte ja.` becomes `Er sagte „ja“.`: the words that are linked to the quotation get
the quotation marks of the target language. Signs that the translation has in other places, or too many of, are removed
first. What cannot be placed, because no word of the translation is linked to what it stands around, stays away.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from service.text.alignment import AlignedText, AlignmentLink, OffsetMappedText, Span
from service.text.signs import DASH, LEADING_DASH, QUOTES, find_single_quotes
from service.text.words import is_word_character, word_spans

# The quotation marks of a language, with what is between them and the words.
_QUOTES_OF = {"en": ('"', '"'), "de": ("„", "“"), "fr": ("«\u00a0", "\u00a0»"), "es": ('"', '"')}
_OPENING_QUOTE = re.compile(r"[\"“”„«»]\s*")
_CLOSING_QUOTE = re.compile(r"\s*[\"“”„«»]")
_SENTENCE_END = ".!?…"
MAX_PLACED = 20  # pairs of one kind, or dashes, of a sentence; each takes time linear in its length
_PAIRED = (QUOTES, "()", "[]", "{}")


def localised_quotes(before: str, after: str, language: str) -> tuple[str, str]:
    """Return the signs before and after some words with the double quotation marks of a language.

    A language whose quotation marks are not known keeps those of the text.
    """
    if language not in _QUOTES_OF:
        return before, after
    opening, closing = _QUOTES_OF[language]
    return _OPENING_QUOTE.sub(opening, before), _CLOSING_QUOTE.sub(closing, after)


class _Edit(NamedTuple):
    """What replaces start..end of a translation, and where it is in the source: signs at one place keep their order."""

    start: int
    end: int
    origin: int
    text: str


@dataclass(frozen=True)
class _Pair:
    """Two signs around words of the source: the positions of both."""

    start: int
    end: int
    opening: str
    closing: str


def place_signs(source: str, translation: AlignedText, language: str) -> AlignedText:
    """Return a translation into `language` with the paired signs and the dashes of the source in their places.

    The links must lead from the source to the translation; they are mapped to the new text.
    """
    text = translation.text
    edits: list[_Edit] = []
    words = _LinkedWords(text, translation.links)
    for signs in _PAIRED:
        counts = [sum(map(side.count, signs)) for side in (source, text)]
        if counts[0] == counts[1]:
            continue
        pairs = _pairs(source, signs)
        regions = [words.region(pair.start, pair.end + 1) for pair in pairs or ()]
        if pairs is None or None in regions:
            continue
        edits += [_removal(text, at) for at, character in enumerate(text) if character in signs]
        for pair, region in zip(pairs, regions, strict=True):
            assert region is not None
            before, after = localised_quotes(pair.opening, pair.closing, language)
            edits.append(_Edit(region[0], region[0], pair.start, before))
            end = _with_sentence_end(source[pair.end - 1], text, region[1], signs)
            edits.append(_Edit(end, end, pair.end, after))
    if not LEADING_DASH.match(source) and (invented := LEADING_DASH.match(text)):
        edits.append(_Edit(*invented.span(), 0, ""))
    edits += _lost_single_quotes(source, text, words)
    edits += _lost_dashes(source, text, words)
    if not edits:
        return translation
    placed = OffsetMappedText(text, _in_order(edits))
    links = (AlignmentLink(*link[:2], *placed.forward(*link[2:])) for link in translation.links)
    return AlignedText(placed.text, tuple(link for link in links if link.target_start < link.target_end))


class _LinkedWords:
    """The words of a translation, and the position in the source that each is linked to."""

    def __init__(self, text: str, links: Iterable[AlignmentLink]) -> None:
        origin = {link.target_start: link.source_start for link in links}
        found = [span for span in word_spans(text) if is_word_character(text[span[0]]) or is_placeholder(text[span[0]])]
        self.spans = [span for span in found if span[0] in origin]
        self.origins = [origin[span[0]] for span in self.spans]

    def region(self, start: int, end: int) -> Span | None:
        """Return the run of words most of which are linked to start..end of the source; None if no word is."""
        best, best_sum = None, 0
        first, total = 0, 0
        for k, origin in enumerate(self.origins):
            if total <= 0:
                first, total = k, 0
            total += 1 if start <= origin < end else -1
            if total > best_sum:
                best, best_sum = (first, k), total
        return None if best is None else (self.spans[best[0]][0], self.spans[best[1]][1])

    def border(self, position: int) -> int | None:
        """Return where most words linked to what is before a position of the source end, and the others begin."""
        if not self.spans:
            return None
        # For each border, the number of words on its wrong side.
        after = [0, *accumulate(int(origin >= position) for origin in self.origins)]
        before = [0, *accumulate(int(origin < position) for origin in self.origins)]
        wrong = [after[k] + before[-1] - before[k] for k in range(1, len(self.spans))]
        return None if not wrong else self.spans[wrong.index(min(wrong))][1]


def is_placeholder(character: str) -> bool:
    """Return whether a character may be a placeholder token: those are of the Private Use Area."""
    return "\ue000" <= character <= "\uf8ff"


def _pairs(text: str, signs: str) -> list[_Pair] | None:
    """Return the pairs of brackets of one kind, or of double quotation marks, that are not nested; None if there are
    others."""
    positions = [at for at, character in enumerate(text) if character in signs]
    if len(positions) % 2 or len(positions) > 2 * MAX_PLACED:
        return None
    pairs = [_Pair(a, b, text[a], text[b]) for a, b in zip(positions[::2], positions[1::2], strict=True)]
    is_quotes = signs == QUOTES
    if any(not is_quotes and (pair.opening, pair.closing) != (signs[0], signs[1]) for pair in pairs):
        return None
    return pairs


def _removal(text: str, at: int) -> _Edit:
    """Return the edit that removes a sign, with a space that would otherwise be doubled or begin a text."""
    before, after = text[at - 1 : at] if at else " ", text[at + 1 : at + 2] or " "
    if before.isspace() and after.isspace() and at + 1 < len(text):
        return _Edit(at, at + 2, 0, "")
    if before.isspace() and at and (after.isspace() or after in ".,;:!?"):
        return _Edit(at - 1, at + 1, 0, "")
    return _Edit(at, at + 1, 0, "")


def _with_sentence_end(last: str, text: str, end: int, signs: str) -> int:
    """Return the end of a region with the punctuation after it, if the source has some before its closing sign."""
    while last in _SENTENCE_END and end < len(text) and text[end] in _SENTENCE_END + signs:
        end += 1
        if text[end - 1] in _SENTENCE_END:
            break
    return end


def _lost_single_quotes(source: str, text: str, words: _LinkedWords) -> list[_Edit]:
    """Return the edits that put single quotation marks around words, if the translation has none around any."""
    spans = find_single_quotes(source)[:MAX_PLACED]
    regions = [words.region(*span) for span in spans] if not find_single_quotes(text) else []
    edits = []
    for (start, end), region in zip(spans, regions, strict=False):
        if region is not None:
            edits.append(_Edit(region[0], region[0], start, source[start]))
            edits.append(_Edit(region[1], region[1], end - 1, source[end - 1]))
    return edits


def _lost_dashes(source: str, text: str, words: _LinkedWords) -> list[_Edit]:
    """Return the edits that put the source's dashes into a translation that has fewer; none if one has no place."""
    dashes, present = list(DASH.finditer(source)), list(DASH.finditer(text))
    if len(present) >= len(dashes) or len(dashes) > MAX_PLACED:
        return []
    borders = [words.border(dash.start()) for dash in dashes]
    if None in borders or len(set(borders)) < len(borders):
        return []
    edits = [_Edit(dash.start() - text[dash.start() - 1].isspace(), dash.end(), 0, "") for dash in present]
    for dash, at in zip(dashes, borders, strict=True):
        assert at is not None
        is_spaced = source[dash.start() - 1].isspace()
        end = at + (text[at : at + 1] == ",")
        end += not is_spaced and text[end : end + 1] == " "
        edits.append(_Edit(at, end, dash.start(), f" {dash[0]}" if is_spaced else dash[0]))
    return edits


def _in_order(edits: Sequence[_Edit]) -> list[tuple[int, int, str]]:
    """Return the edits in order, without those that overlap one before them."""
    result: list[tuple[int, int, str]] = []
    for start, end, _, text in sorted(edits):
        if not result or start >= result[-1][1]:
            result.append((start, end, text))
    return result
