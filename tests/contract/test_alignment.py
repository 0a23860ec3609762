"""Shipped translators align identical words with themselves, from attention alone, in their own translations."""

from pathlib import Path

import pytest

from benchmarks.offline.word_alignment import REQUIRED_SHARE, Aligner, shares
from service.artifact import Direction, read_artifact
from service.engine.models.score import alignment_layer

SHIPPED = Path(__file__).parents[2] / "models"
TEXTS = {
    "en": [
        "Tom and Mary live in Boston.", "Tom is 30 years old.", "A man in a red hat.", "Mary has 3 dogs in Berlin.",
        "I was in Australia in 2013.", "Tom wants to go to Boston with Mary.", "The bus is in front of the hotel.",
        "Is Tom in Berlin?", "My name is Tom.", "We have 12 books.", "Tom, where is Mary?", "The train leaves at 9.",
        "Two men play golf in the park.", "He read the book in the garden.", "Maria was born in 1985.",
    ],
    "de": [
        "Tom und Maria wohnen in Boston.", "Tom ist 30 Jahre alt.", "Ein Mann in einem Park.", "Maria hat 3 Hunde.",
        "Ich war 2013 in Australien.", "Tom will mit Maria nach Boston gehen.", "Der Bus steht vor dem Hotel.",
        "Ist Tom in Berlin?", "Mein Name ist Tom.", "Wir haben 12 Bücher.", "Tom, wo ist Maria?",
        "Der Zug geht um 9 ab.", "Er hat das Buch im Garten gelesen.", "Maria wurde 1985 in Berlin geboren.",
    ],
}  # fmt: skip


def directions() -> list[tuple[str, Direction]]:
    """Return the directions of the shipped translators whose source language has texts here."""
    manifests = [read_artifact(file.parent).manifest for file in sorted(SHIPPED.glob("*/manifest.json"))]
    return [(manifest.name, d) for manifest in manifests for d in manifest.directions if d.source in TEXTS]


@pytest.mark.parametrize(("model", "direction"), directions())
def test_identical_words_align_with_themselves(model: str, direction: Direction) -> None:
    aligner, texts = Aligner(read_artifact(SHIPPED / model)), TEXTS[direction.source]
    found = shares(aligner, list(zip(texts, aligner.translate(texts, direction), strict=True)), direction)
    layers = 1 + max(layer for layer, _ in found)
    counted, right, *_ = found[alignment_layer(layers), 0]
    assert counted >= len(texts) / 2
    assert right >= REQUIRED_SHARE * counted, f"{right} of {counted}"
