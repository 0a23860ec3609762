"""Text as people really type it: shouted, lower-cased, unpunctuated, misspelt, several sentences at once, single words.

A corpus of short, neat sentences teaches a translator nothing else, and what it never saw it answers with noise. Only
the source is roughened; its target stays as it is, so the model learns to answer neatly. Names and numbers, of which
such a corpus has always the same few, are exchanged on both sides, so the model learns to copy. What happens to which
text depends on nothing but the generator, which is seeded by run, epoch and direction.
"""

import re

import numpy as np

from training.config import AugmentConfig
from training.data.corpus import bare

MOST_JOINED = 5  # sentences in a row
_WORD = re.compile(r"\w+")
NUMBERED = 0.25  # of the names that are exchanged: numbers are rare
_NAME_LETTERS = 3  # that a name has at least: "In" is capital on both sides of many a pair
_SYLLABLES = [f"{first}{vowel}{last}" for first in "bdfghjklmnprstvwz" for vowel in "aeiou" for last in ("", *"lnrst")]


def augment(
    sources: list[str], targets: list[str], config: AugmentConfig, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """The pairs of one epoch: some with other names and numbers, some joined, then some sources roughened; fewer pairs
    than came in, if any are joined."""
    if config.copied:
        sources, targets = _exchange(sources, targets, config.copied, generator)
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


def _exchange(
    sources: list[str], targets: list[str], share: float, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """In that share of the pairs, names and numbers that both sides have become others, made up, on both; a pair that
    has none is given a number."""
    sources, targets = list(sources), list(targets)
    for i in np.flatnonzero(generator.random(len(sources)) < share).tolist():
        sources[i], targets[i] = _exchanged(sources[i], targets[i], generator)
    return sources, targets


def _exchanged(source: str, target: str, generator: np.random.Generator) -> tuple[str, str]:
    found = set(_WORD.findall(source)).intersection(_WORD.findall(target))
    held = sorted(word for word in found if word.isdecimal() or (word[0].isupper() and len(word) >= _NAME_LETTERS))
    if not held:
        form = ["{1}. {0}", "{0} ({1})", "{1}: {0}"][generator.integers(3)]
        number = _number(generator)
        return form.format(source, number), form.format(target, number)
    numbers = [word.isdecimal() or generator.random() < NUMBERED for word in held]
    new = {word: _number(generator) if number else _name(generator) for word, number in zip(held, numbers, strict=True)}
    source, target = (_WORD.sub(lambda word: new.get(word[0], word[0]), side) for side in (source, target))
    return source, target


def _name(generator: np.random.Generator) -> str:
    chosen = generator.integers(len(_SYLLABLES), size=generator.integers(2, 4))
    return "".join(_SYLLABLES[i] for i in chosen.tolist()).capitalize()


def _number(generator: np.random.Generator) -> str:
    """Half of them years, which stand for whatever the service protects; the others of one to six digits."""
    if generator.random() < 0.5:
        return str(generator.integers(1900, 2030))
    return str(generator.integers(10 ** generator.integers(1, 7)))


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
