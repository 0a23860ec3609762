"""Word alignment between a text and its translation, and edits that keep track of positions.

An `AlignmentLink` says which span of the source became which span of the translation. Links come from the model's
cross-attention (`links_from_attention`), are corrected for words that are equal on both sides
(`anchor_identical_words`), and are chained through a pivot language (`compose_links`). For "two dogs" -> "zwei Hunde"
they are (0, 3, 0, 4) and (4, 8, 5, 10).
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from service.text.words import word_spans

Span = tuple[int, int]  # first character, and the one after the last

_PUNCTUATION = frozenset(".,;:!?¡¿…'\"“”„‘’«»()[]{}-–—")


class AlignmentLink(NamedTuple):
    """Characters source_start..source_end of a text became target_start..target_end of its translation."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int

    def shifted(self, source: int, target: int) -> "AlignmentLink":
        """Return the link moved by an offset on each side."""
        return AlignmentLink(
            self.source_start + source, self.source_end + source, self.target_start + target, self.target_end + target
        )


class AlignedText(NamedTuple):
    """A translation with its links to the source; parts of it may have no link."""

    text: str
    links: tuple[AlignmentLink, ...] = ()

    @classmethod
    def identity(cls, text: str) -> "AlignedText":
        """Return a text as its own translation, linked to itself."""
        return cls(text, (AlignmentLink(0, len(text), 0, len(text)),))


def concatenate(parts: Sequence[tuple[str, AlignedText]]) -> AlignedText:
    """Join the translations of consecutive parts of a text, given as (source, translation) pairs."""
    if len(parts) == 1:
        return parts[0][1]
    texts: list[str] = []
    links: list[AlignmentLink] = []
    source_offset = target_offset = 0
    for source, translation in parts:
        texts.append(translation.text)
        links += [link.shifted(source_offset, target_offset) for link in translation.links]
        source_offset, target_offset = source_offset + len(source), target_offset + len(translation.text)
    return AlignedText("".join(texts), tuple(links))


def compose_links(first: Iterable[AlignmentLink], second: Iterable[AlignmentLink]) -> tuple[AlignmentLink, ...]:
    """Chain the links of a text to its pivot translation with those of the pivot translation to the target.

    Each link of `second` takes the source of the link of `first` that covers most of its pivot word, the first one if
    several cover the same; without any overlap it is dropped.
    """
    first, composed = list(first), []
    in_order = sorted(range(len(first)), key=lambda k: first[k].target_start)
    starts = [first[k].target_start for k in in_order]
    ends = list(accumulate((first[k].target_end for k in in_order), max))  # greatest so far
    for link in second:
        near = in_order[bisect_right(ends, link.source_start) : bisect_left(starts, link.source_end)]
        overlaps = {
            k: min(first[k].target_end, link.source_end) - max(first[k].target_start, link.source_start)
            for k in sorted(near)
        }
        best = max(overlaps, key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] > 0:
            composed.append(AlignmentLink(*first[best][:2], *link[2:]))
    return tuple(composed)


class OffsetMappedText:
    """A text with some of its spans replaced, which maps positions between the old text and the new one.

    After replacing "{x}" in "see {x} now" by "2013", `forward(8, 11)` is (9, 12): the span of "now" in the new text.
    """

    def __init__(self, text: str, edits: Iterable[tuple[int, int, str]]) -> None:
        """Apply edits (start, end, replacement), which are in order and do not overlap."""
        parts: list[str] = []
        self._old_spans: list[Span] = []
        self._new_spans: list[Span] = []
        old = new = 0
        for start, end, replacement in edits:
            parts += [text[old:start], replacement]
            new += start - old
            self._old_spans.append((start, end))
            self._new_spans.append((new, new + len(replacement)))
            old, new = end, new + len(replacement)
        self.text = "".join([*parts, text[old:]])

    def forward(self, start: int, end: int) -> Span:
        """Map a span of the old text to the new one; a part of a replaced span becomes the whole replacement."""
        return _mapped(start, end, self._old_spans, self._new_spans)

    def backward(self, start: int, end: int) -> Span:
        """Map a span of the new text to the old one; a part of a replacement becomes the whole span it replaced."""
        return _mapped(start, end, self._new_spans, self._old_spans)


def _mapped(start: int, end: int, origin: list[Span], destination: list[Span]) -> Span:
    first, last = start, end
    k = bisect_right(origin, start, key=lambda span: span[0]) - 1
    if k >= 0:
        first = destination[k][0] if start < origin[k][1] else start - origin[k][1] + destination[k][1]
    k = bisect_left(origin, end, key=lambda span: span[0]) - 1
    if k >= 0:
        last = destination[k][1] if end < origin[k][1] else end - origin[k][1] + destination[k][1]
    return first, max(first, last)


def links_from_attention(
    attention: np.ndarray, source: str, source_spans: list[Span], target: str, target_spans: list[Span]
) -> tuple[AlignmentLink, ...]:
    """Link each word of a translation to the source word with the highest attention; punctuation counts as words.

    `attention` (T+1, S) is the cross-attention of one decoder layer at the steps that generated the T target tokens
    and EOS; the spans are the characters that each token covers. As in Garg et al. 2019 (arXiv 1909.02074) the
    alignment is the argmax of cross-attention. But some source tokens are attended to at every step (EOS, full stops),
    so each token's attention is first divided by its mean over the steps, and the argmax is taken between words: a
    word's attention is the mean over its tokens. A word without tokens gets no link, and no word is linked to a mark of
    punctuation: the comma before an "and" often has more attention than the word.
    """
    relative = (attention / np.maximum(attention.mean(axis=0), 1e-9))[: len(target_spans)]  # (T, S)
    source_words, source_weights = _token_weights(source, source_spans)  # (source words, S)
    target_words, target_weights = _token_weights(target, target_spans)  # (target words, T)
    if not source_words or not target_words:
        return ()
    affinity = target_weights @ relative @ source_weights.T  # (target words, source words)
    is_mark = np.array([source[start] in _PUNCTUATION for start, _ in source_words])
    if not is_mark.all():
        is_word = np.array([target[start].isalnum() for start, _ in target_words])
        affinity[np.ix_(is_word, is_mark)] = 0.0
    best: list[int] = affinity.argmax(axis=1).tolist()
    return tuple(AlignmentLink(*source_words[k], *span) for k, span in zip(best, target_words, strict=True))


def _token_weights(text: str, spans: list[Span]) -> tuple[list[Span], np.ndarray]:
    """Return the words that have tokens, and the matrix (words, tokens) that takes the mean over each word's tokens."""
    found = [span for span in word_spans(text) if not text[span[0]].isspace()]
    word_starts, word_ends = np.array(found).reshape(-1, 2).T[:, :, None]  # (words, 1) each
    token_starts, token_ends = np.array(spans).reshape(-1, 2).T  # (tokens,) each
    overlaps = ((token_starts < word_ends) & (token_ends > word_starts)).astype(np.float64)  # (words, tokens)
    counts = overlaps.sum(axis=1)
    chosen = np.flatnonzero(counts)
    return [found[k] for k in chosen.tolist()], overlaps[chosen] / counts[chosen, None]


def anchor_identical_words(links: tuple[AlignmentLink, ...], source: str, target: str) -> tuple[AlignmentLink, ...]:
    """Link words that occur exactly once, spelled the same, in both texts to each other, whatever the links say."""
    source_words, target_words = _unique_words(source), _unique_words(target)
    anchors = {source_words[word]: target_words[word] for word in source_words.keys() & target_words.keys()}
    anchored = set(anchors.values())
    kept = [link for link in links if link[2:] not in anchored]
    return tuple(sorted([*kept, *(AlignmentLink(*a, *b) for a, b in anchors.items())], key=lambda link: link[2:]))


def _unique_words(text: str) -> dict[str, Span]:
    spans = [span for span in word_spans(text) if text[span[0]].isalnum()]
    counts = Counter(text[start:end] for start, end in spans)
    return {text[start:end]: (start, end) for start, end in spans if counts[text[start:end]] == 1}
