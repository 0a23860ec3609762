"""Sentences of a few words, for toy tokenizers and models."""

import random

WORDS = [
    "the", "a", "dog", "cat", "house", "river", "sees", "finds", "old", "new", "red", "green", "Anna", "Tom", "runs",
    "sleeps", "under", "over", "1", "2", "7", "2024", ",", ".", "!", "?",
]  # fmt: skip


def sentences(seed: int, count: int = 2000) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(2, 12))) for _ in range(count)]
