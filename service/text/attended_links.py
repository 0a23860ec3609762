"""Which word of a text became which of its translation, by where the decoder looked.

Shapes: S tokens of the text, T tokens of the translation.
"""

from collections import Counter

import numpy as np

from service.text.alignment import Link, Span
from service.text.words import words


def attended_links(
    attention: np.ndarray, source: str, source_spans: list[Span], target: str, target_spans: list[Span]
) -> tuple[Link, ...]:
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
    return tuple(Link(*sources[k], *span) for k, span in zip(best, targets, strict=True))


def _words_of_tokens(text: str, spans: list[Span]) -> tuple[list[Span], np.ndarray]:
    """The words that have tokens, and the share of each token in each of them (words, tokens)."""
    found = [span for span in words(text) if not text[span[0]].isspace()]
    starts, ends = np.array(found).reshape(-1, 2).T[:, :, None]  # (words, 1) each
    first, last = np.array(spans).reshape(-1, 2).T  # (tokens,) each
    shares = ((first < ends) & (last > starts)).astype(np.float64)  # (words, tokens)
    counts = shares.sum(axis=1)
    chosen = np.flatnonzero(counts)
    return [found[k] for k in chosen.tolist()], shares[chosen] / counts[chosen, None]


def anchored(links: tuple[Link, ...], source: str, target: str) -> tuple[Link, ...]:
    """The links, but a word that stands once in either text, letter by letter, comes from itself."""
    here, there = _single(source), _single(target)
    fixed = {here[word]: there[word] for word in here.keys() & there.keys()}
    kept = [link for link in links if link[2:] not in fixed.values()]
    return tuple(sorted([*kept, *(Link(*a, *b) for a, b in fixed.items())], key=lambda link: link[2:]))


def _single(text: str) -> dict[str, Span]:
    spans = [span for span in words(text) if text[span[0]].isalnum()]
    counts = Counter(text[start:end] for start, end in spans)
    return {text[start:end]: (start, end) for start, end in spans if counts[text[start:end]] == 1}
