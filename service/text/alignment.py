"""Where the parts of one text are in another: links between a text and its translation, and edits that keep track."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from service.text.words import word_spans

Span = tuple[int, int]


class AlignmentLink(NamedTuple):
    """Characters source_start..source_end of a text became target_start..target_end of its translation."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int

    def shifted(self, source: int, target: int) -> "AlignmentLink":
        """The same link, with both texts starting that much later."""
        return AlignmentLink(
            self.source_start + source, self.source_end + source, self.target_start + target, self.target_end + target
        )


def compose_links(first: Iterable[AlignmentLink], second: Iterable[AlignmentLink]) -> tuple[AlignmentLink, ...]:
    """Links from a text to a translation of its translation; `second` starts where `first` ends.

    What comes from a word in between comes from what most of that word comes from; the first of several.
    """
    first, found = list(first), []
    for link in second:
        shared = [min(one.target_end, link.source_end) - max(one.target_start, link.source_start) for one in first]
        if shared and max(shared) > 0:
            found.append(AlignmentLink(*first[shared.index(max(shared))][:2], *link[2:]))
    return tuple(found)


class AlignedText(NamedTuple):
    """A translated text; links may be missing, and say then only less about where things went."""

    text: str
    links: tuple[AlignmentLink, ...] = ()

    @classmethod
    def identity(cls, text: str) -> "AlignedText":
        """Return a text as its own translation, linked to itself."""
        return cls(text, (AlignmentLink(0, len(text), 0, len(text)),))


def concatenate(parts: Iterable[tuple[str, AlignedText]]) -> AlignedText:
    """A text made of the translations of its parts, in order, with links from the parts' sources put together."""
    texts: list[str] = []
    links: list[AlignmentLink] = []
    read = written = 0
    for source, translation in parts:
        texts.append(translation.text)
        links += [link.shifted(read, written) for link in translation.links]
        read, written = read + len(source), written + len(translation.text)
    return AlignedText("".join(texts), tuple(links))


class OffsetMappedText:
    """A text with some of its spans replaced, that knows where each of its characters came from."""

    def __init__(self, text: str, edits: Iterable[tuple[int, int, str]]) -> None:
        """`edits` are (start, end, replacement), apart from each other and in order."""
        parts: list[str] = []
        self._before: list[Span] = []
        self._after: list[Span] = []
        read = written = 0
        for start, end, replacement in edits:
            parts += [text[read:start], replacement]
            written += start - read
            self._before.append((start, end))
            self._after.append((written, written + len(replacement)))
            read, written = end, written + len(replacement)
        self.text = "".join([*parts, text[read:]])

    def forward(self, start: int, end: int) -> Span:
        """A span of the old text in the new one; a part of a replaced span becomes the whole replacement."""
        return _mapped(start, end, self._before, self._after)

    def backward(self, start: int, end: int) -> Span:
        """A span of the new text in the old one; a part of a replacement becomes all that it replaced."""
        return _mapped(start, end, self._after, self._before)


def _mapped(start: int, end: int, here: list[Span], there: list[Span]) -> Span:
    first, last = start, end
    k = bisect_right(here, start, key=lambda span: span[0]) - 1
    if k >= 0:
        first = there[k][0] if start < here[k][1] else start - here[k][1] + there[k][1]
    k = bisect_left(here, end, key=lambda span: span[0]) - 1
    if k >= 0:
        last = there[k][1] if end < here[k][1] else end - here[k][1] + there[k][1]
    return first, max(first, last)


def links_from_attention(
    attention: np.ndarray, source: str, source_spans: list[Span], target: str, target_spans: list[Span]
) -> tuple[AlignmentLink, ...]:
    """A link from each word of the translation to the word that it comes from; points and commas count as words.

    `attention` (T+1, S) is the cross-attention when each token, and at last the end mark, was written; `spans` are the
    tokens' characters. Some source tokens are looked at from everywhere, so what counts is how much more than on
    average a token is looked at. A word is linked to the word whose tokens have the highest mean; one without tokens
    is not.
    """
    relative = (attention / np.maximum(attention.mean(axis=0), 1e-9))[: len(target_spans)]  # (T, S)
    sources, from_tokens = _words_of_tokens(source, source_spans)
    targets, from_targets = _words_of_tokens(target, target_spans)
    if not sources or not targets:
        return ()
    affinity = from_targets @ relative @ from_tokens.T  # (target words, source words)
    best: list[int] = affinity.argmax(axis=1).tolist()
    return tuple(AlignmentLink(*sources[k], *span) for k, span in zip(best, targets, strict=True))


def _words_of_tokens(text: str, spans: list[Span]) -> tuple[list[Span], np.ndarray]:
    """The words that have tokens, and the share of each token in each of them (words, tokens)."""
    found = [span for span in word_spans(text) if not text[span[0]].isspace()]
    starts, ends = np.array(found).reshape(-1, 2).T[:, :, None]  # (words, 1) each
    first, last = np.array(spans).reshape(-1, 2).T  # (tokens,) each
    shares = ((first < ends) & (last > starts)).astype(np.float64)  # (words, tokens)
    counts = shares.sum(axis=1)
    chosen = np.flatnonzero(counts)
    return [found[k] for k in chosen.tolist()], shares[chosen] / counts[chosen, None]


def anchor_identical_words(links: tuple[AlignmentLink, ...], source: str, target: str) -> tuple[AlignmentLink, ...]:
    """The links, but a word that stands once in either text, letter by letter, comes from itself."""
    here, there = _single(source), _single(target)
    fixed = {here[word]: there[word] for word in here.keys() & there.keys()}
    kept = [link for link in links if link[2:] not in fixed.values()]
    return tuple(sorted([*kept, *(AlignmentLink(*a, *b) for a, b in fixed.items())], key=lambda link: link[2:]))


def _single(text: str) -> dict[str, Span]:
    spans = [span for span in word_spans(text) if text[span[0]].isalnum()]
    counts = Counter(text[start:end] for start, end in spans)
    return {text[start:end]: (start, end) for start, end in spans if counts[text[start:end]] == 1}
