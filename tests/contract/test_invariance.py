"""The invariance rule: an answer never depends on who else was in the batch, bit for bit."""

import random
from pathlib import Path

import pytest

from export.verify import serve
from service.artifact import Artifact, read_artifact
from service.engine.classify import ClassifyEngine
from service.engine.scheduler import Answer, Ticket
from service.engine.translate import TranslateEngine
from service.engine.worker import Engine

SHIPPED = Path(__file__).parents[2] / "models"


def random_sources(artifact: Artifact, count: int) -> list[list[int]]:
    """Sources of very uneven length."""
    manifest = artifact.manifest
    generator = random.Random(count)
    longest = manifest.limits.source_length
    lengths = [min(1 + int(generator.expovariate(1 / 20)), longest) for _ in range(count - 1)] + [longest]
    return [[*(generator.randrange(4, 250) for _ in range(length - 1)), manifest.marks.eos] for length in lengths]


def engine_of(artifact: Artifact) -> Engine:
    if artifact.manifest.task == "translate":
        return TranslateEngine(artifact, rows=32, threads=2)
    return ClassifyEngine(artifact, threads=2)


def essence(answer: Answer) -> tuple[list[int], str, list[float]]:
    return answer.ids, answer.finish_reason, answer.probabilities


def check(artifact: Artifact, count: int) -> None:
    engine = engine_of(artifact)
    sources = random_sources(artifact, count)
    limits = [random.Random(i).randint(1, 40) for i in range(count)]

    def tickets() -> list[Ticket]:
        return [Ticket(ids, limit) for ids, limit in zip(sources, limits, strict=True)]

    alone = [essence(serve(engine, [ticket])[0]) for ticket in tickets()]
    together = [essence(answer) for answer in serve(engine, tickets())]
    assert alone == together
    shuffled = random.Random(2).sample(range(count), count)
    assert [essence(answer) for answer in serve(engine, [tickets()[i] for i in shuffled])] == [
        alone[i] for i in shuffled
    ]


def test_strangers_do_not_change_a_translation(toy_translator: Path) -> None:
    check(read_artifact(toy_translator), 100)


def test_strangers_do_not_change_a_classification(toy_classifier: Path) -> None:
    check(read_artifact(toy_classifier), 100)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in SHIPPED.glob("*/manifest.json")))
def test_shipped_models_keep_the_rule(name: str) -> None:
    check(read_artifact(SHIPPED / name), 60)
