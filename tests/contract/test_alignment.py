"""Identical words align with themselves: the shipped translators, through HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.alignment import WANTED, identical
from service.app import create_app
from service.artifact import Direction, read_artifact
from service.metrics import Metrics
from service.registry import load_models
from service.settings import Settings

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
    """Of shipped translators, those from a language that there are texts in."""
    manifests = [read_artifact(file.parent).manifest for file in sorted(SHIPPED.glob("*/manifest.json"))]
    return [(one.name, d) for one in manifests for d in one.directions if d.source in TEXTS and d.target in TEXTS]


async def links(model: str, direction: Direction, texts: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The model's own translations and their scores."""
    settings, metrics = Settings(models=SHIPPED, workers=1, threads=1), Metrics()
    app = create_app(settings, load_models(settings, metrics), metrics)
    body = {"model": model, "source": direction.source, "target": direction.target, "text": texts}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        translated = (await client.post("/v1/translate", json=body)).json()["translations"]
        given = {"translation": [one["text"] for one in translated], "include": ["alignment"]}
        scored = (await client.post("/v1/score", json=body | given)).json()["scores"]
    return list(zip(given["translation"], scored, strict=True))


@pytest.mark.parametrize(("model", "direction"), directions())
def test_identical_words_align_with_themselves(model: str, direction: Direction) -> None:
    texts = TEXTS[direction.source]
    right = []
    for text, (translation, score) in zip(texts, asyncio.run(links(model, direction, texts)), strict=True):
        for source, target, _ in identical((text, translation)):
            names = ("source_start", "source_end", "target_start", "target_end")
            right.append(dict(zip(names, (*source, *target), strict=True)) in score["alignment"])
    assert len(right) >= len(texts)
    assert sum(right) >= WANTED * len(right), f"{sum(right)} of {len(right)}"
