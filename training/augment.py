"""Text as people really type it: shouted, lower-cased, unpunctuated, misspelt, several sentences at once, single words.

A corpus of short, neat sentences teaches a translator nothing else, and what it never saw it answers with noise. Only
the source is roughened; its target stays as it is, so the model learns to answer neatly. What happens to which text
depends on nothing but the generator, which is seeded by run, epoch and direction.
"""

import numpy as np

from training.config import AugmentConfig
from training.corpus import bare

MOST_JOINED = 5  # sentences in a row


def augment(
    sources: list[str], targets: list[str], config: AugmentConfig, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """The pairs of one epoch: some joined, then some sources roughened; fewer pairs than came in, if any are joined."""
    if config.joined:
        sources, targets = _join(sources, targets, config.joined, generator)
    return _roughen(sources, config, generator), targets


def augment_texts(texts: list[str], config: AugmentConfig, generator: np.random.Generator) -> list[str]:
    """A classifier's texts of one epoch: some cut to one or two neighbouring words, some given a mark at the end."""
    short, ended = generator.random((2, len(texts))) < [[config.cut], [config.ended]]
    texts = [_few_words(text, generator) if chosen else text for text, chosen in zip(texts, short, strict=True)]
    return [text + ".?!"[generator.integers(3)] if chosen else text for text, chosen in zip(texts, ended, strict=True)]


def _few_words(text: str, generator: np.random.Generator) -> str:
    words = text.split()
    first, count = int(generator.integers(len(words))), int(generator.integers(1, 2, endpoint=True))
    return bare(" ".join(words[first : first + count]))


def _join(
    sources: list[str], targets: list[str], share: float, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """That share of the pairs in random groups of two to `MOST_JOINED`, each group one pair; the others as they are."""
    order = generator.permutation(len(sources))
    start, last = 0, round(share * len(order))
    groups = [order[i : i + 1] for i in range(last, len(order))]
    while start < last:
        size = int(generator.integers(2, MOST_JOINED, endpoint=True))
        groups.append(order[start : min(start + size, last)])
        start += size
    return [" ".join(sources[i] for i in g) for g in groups], [" ".join(targets[i] for i in g) for g in groups]


def _roughen(texts: list[str], config: AugmentConfig, generator: np.random.Generator) -> list[str]:
    """At most one change a text, each with its share."""
    ends = np.cumsum([config.lowercase, config.uppercase, config.unpunctuated, config.misspelt])
    kinds = np.searchsorted(ends, generator.random(len(texts)), side="right")
    rough = []
    for text, kind in zip(texts, kinds, strict=True):
        match int(kind):
            case 0:
                text = text.lower()
            case 1:
                text = text.upper()
            case 2:
                text = bare(text)
            case 3:
                text = _misspelt(text, generator)
        rough.append(text)
    return rough


def _misspelt(text: str, generator: np.random.Generator) -> str:
    """One slip of the hand: a character left out, doubled, or changed with the next one."""
    if len(text) < 4:
        return text
    at = int(generator.integers(len(text) - 1))
    here, following = text[at], text[at + 1]
    slip = ["", here + here, following + here][int(generator.integers(3))]
    rest = text[at + 2 :] if slip == following + here else text[at + 1 :]
    return text[:at] + slip + rest
