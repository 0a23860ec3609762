"""Augmentation: the training text of an epoch, changed to look like what people type.

A corpus of short, clean sentences teaches a translator nothing else, and its answers to other text are noise. Only the
source is changed; the target stays clean, so the model learns to answer cleanly. Names and numbers, of which such a
corpus has few different ones, are replaced on both sides, so that the model learns to copy them. All choices depend
only on the generator, which is seeded by run, epoch and direction.
"""

import re

import numpy as np

from training.config import AugmentConfig
from training.data.corpus import strip_punctuation
from training.data.placeholders import insert_placeholders

MAX_CONCATENATED = 5  # sentences joined into one pair
_WORD = re.compile(r"\w+")
NUMBER_SHARE = 0.25  # of the swapped names; the others become names again
_MIN_NAME_LETTERS = 3  # shorter capitalised words, such as "In", are seldom names
_SYLLABLES = [f"{first}{vowel}{last}" for first in "bdfghjklmnprstvwz" for vowel in "aeiou" for last in ("", *"lnrst")]


def augment(
    sources: list[str],
    targets: list[str],
    config: AugmentConfig,
    generator: np.random.Generator,
    placeholders: int = 0,
) -> tuple[list[str], list[str]]:
    """Return a translator's pairs of one epoch; fewer than given if some are concatenated.

    `placeholders` is the number of placeholder tokens in the vocabulary.
    """
    if config.entity_swap:
        sources, targets = _swap_entities(sources, targets, config.entity_swap, generator)
    if config.sentence_concat:
        sources, targets = _concatenate(sources, targets, config.sentence_concat, generator)
    sources = _add_noise(sources, config, generator)
    if config.placeholders:  # last, for noise would damage them
        sources, targets = insert_placeholders(sources, targets, placeholders, config.placeholders, generator)
    return sources, targets


def augment_texts(texts: list[str], config: AugmentConfig, generator: np.random.Generator) -> list[str]:
    """Return a classifier's texts of one epoch: some cropped to one or two words, some with final punctuation."""
    crop, punctuate = generator.random((2, len(texts))) < [[config.word_crop], [config.add_final_punctuation]]
    texts = [_crop(text, generator) if chosen else text for text, chosen in zip(texts, crop, strict=True)]
    return [
        text + ".?!"[generator.integers(3)] if chosen else text for text, chosen in zip(texts, punctuate, strict=True)
    ]


def _crop(text: str, generator: np.random.Generator) -> str:
    words = text.split()
    first, count = int(generator.integers(len(words))), int(generator.integers(1, 2, endpoint=True))
    return strip_punctuation(" ".join(words[first : first + count]))


def _swap_entities(
    sources: list[str], targets: list[str], share: float, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Replace, in that share of the pairs, the names and numbers that both sides have; a pair without any gets one."""
    sources, targets = list(sources), list(targets)
    for i in np.flatnonzero(generator.random(len(sources)) < share).tolist():
        sources[i], targets[i] = _swap_entities_of_pair(sources[i], targets[i], generator)
    return sources, targets


def _swap_entities_of_pair(source: str, target: str, generator: np.random.Generator) -> tuple[str, str]:
    common = set(_WORD.findall(source)).intersection(_WORD.findall(target))
    entities = sorted(
        word for word in common if word.isdecimal() or (word[0].isupper() and len(word) >= _MIN_NAME_LETTERS)
    )
    if not entities:
        form = ["{1}. {0}", "{0} ({1})", "{1}: {0}"][generator.integers(3)]
        number = _random_number(generator)
        return form.format(source, number), form.format(target, number)
    numeric = [word.isdecimal() or generator.random() < NUMBER_SHARE for word in entities]
    new = {
        word: _random_number(generator) if number else _random_name(generator)
        for word, number in zip(entities, numeric, strict=True)
    }
    source, target = (_WORD.sub(lambda word: new.get(word[0], word[0]), side) for side in (source, target))
    return source, target


def _random_name(generator: np.random.Generator) -> str:
    chosen = generator.integers(len(_SYLLABLES), size=generator.integers(2, 4))
    return "".join(_SYLLABLES[i] for i in chosen.tolist()).capitalize()


def _random_number(generator: np.random.Generator) -> str:
    """Return a year in half of the cases, as the service's placeholders look like years; else one to six digits."""
    if generator.random() < 0.5:
        return str(generator.integers(1900, 2030))
    return str(generator.integers(10 ** generator.integers(1, 7)))


def _concatenate(
    sources: list[str], targets: list[str], share: float, generator: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Join that share of the pairs in random groups of two to `MAX_CONCATENATED`; the others stay as they are."""
    order = generator.permutation(len(sources))
    start, last = 0, round(share * len(order))
    groups = [order[i : i + 1] for i in range(last, len(order))]
    while start < last:
        size = int(generator.integers(2, MAX_CONCATENATED, endpoint=True))
        groups.append(order[start : min(start + size, last)])
        start += size
    return [" ".join(sources[i] for i in g) for g in groups], [" ".join(targets[i] for i in g) for g in groups]


def _add_noise(texts: list[str], config: AugmentConfig, generator: np.random.Generator) -> list[str]:
    """Change each text in at most one way, each way with its share."""
    bounds = np.cumsum([config.lowercase, config.uppercase, config.unpunctuated, config.misspelt])
    kinds = np.searchsorted(bounds, generator.random(len(texts)), side="right")
    noisy = []
    for text, kind in zip(texts, kinds, strict=True):
        match int(kind):
            case 0:
                text = text.lower()
            case 1:
                text = text.upper()
            case 2:
                text = strip_punctuation(text)
            case 3:
                text = _misspell(text, generator)
        noisy.append(text)
    return noisy


def _misspell(text: str, generator: np.random.Generator) -> str:
    """Make one typing error: a character is left out, doubled, or swapped with the next one."""
    if len(text) < 4:
        return text
    at = int(generator.integers(len(text) - 1))
    here, following = text[at], text[at + 1]
    error = ["", here + here, following + here][int(generator.integers(3))]
    rest = text[at + 2 :] if error == following + here else text[at + 1 :]
    return text[:at] + error + rest
