"""The invariance rule: an answer never depends on who else was in the batch, bit for bit, whatever they asked for."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.decoding.options import DecodingOptions
from service.engine.models.classify import ClassifyEngine
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import Engine

SHIPPED = Path(__file__).parents[2] / "models"
WISHES = [
    {},
    {"log_probabilities": True},
    {"beam_size": 2},
    {"temperature": 1.0},
    {"beam_size": 4, "n_best": 4, "early_stopping": False},
    {"prefix": (20, 30)},
    {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": 5},
    {"beam_size": 4, "length_penalty": 0.0, "no_repeat_ngram": 2, "log_probabilities": True},
    {"repetition_penalty": 1.5, "suppressed": (21, 22, 23)},
    {"beam_size": 3, "prefix": (25,), "min_length": 3},
]
Essence = tuple[object, ...]


def random_sources(artifact: Artifact, count: int) -> list[list[int]]:
    """Sources of very uneven length."""
    manifest = artifact.manifest
    generator = random.Random(count)
    longest = manifest.limits.source_length
    lengths = [min(1 + int(generator.expovariate(1 / 20)), longest) for _ in range(count - 1)] + [longest]
    return [
        [*(generator.randrange(4, 250) for _ in range(length - 1)), manifest.special_tokens.eos] for length in lengths
    ]


def wishes_of(artifact: Artifact, count: int) -> list[DecodingOptions]:
    """Options of every kind, in turn, with limits of every length."""
    longest = min(40, artifact.manifest.limits.target_length)
    lengths = [random.Random(i).randint(4, longest) for i in range(count)]
    wishes = [WISHES[(i + i // len(WISHES)) % len(WISHES)] for i in range(count)]
    return [DecodingOptions(max_length=length, **wish) for length, wish in zip(lengths, wishes, strict=True)]  # type: ignore


def engines_of(artifact: Artifact) -> Callable[[int, int], list[Engine]]:
    """Builds so many workers' engines, with so many rows each, on graphs that all of them share."""
    if artifact.manifest.task == "classify":
        graph = Session(artifact.graph("classify"), threads=2)
        return lambda workers, rows: [ClassifyEngine(artifact, graph) for _ in range(workers)]
    graphs = TranslateGraphs.load(artifact, threads=2)
    return lambda workers, rows: [TranslateEngine(graphs, rows) for _ in range(workers)]


def essence(answer: EngineResult) -> Essence:
    """Everything but the time it took; floats are compared as they are."""
    told = [(h.ids, h.finish_reason, h.score, h.log_probabilities) for h in answer.hypotheses]
    attention = None if answer.attention is None else (answer.attention.shape, answer.attention.tobytes())
    return told, answer.probabilities, attention


def check(artifact: Artifact, count: int) -> None:
    sources, options = random_sources(artifact, count), wishes_of(artifact, count)
    compare(lambda i: EngineRequest(sources[i], options[i]), engines_of(artifact), count)


def check_scores(artifact: Artifact, count: int) -> None:
    graph, longest = Session(artifact.graph("score"), threads=2), artifact.manifest.limits.target_length - 1
    sources = random_sources(artifact, count)
    targets = [ids[:longest] for ids in random.Random(1).sample(sources, count)]

    def build(workers: int, rows: int) -> list[Engine]:
        return [ScoreEngine(artifact, graph) for _ in range(workers)]

    compare(lambda i: EngineRequest(sources[i], translation=targets[i]), build, count)


def compare(request: Callable[[int], EngineRequest], build: Callable[[int, int], list[Engine]], count: int) -> None:
    """Tickets alone, and together in batches and with workers of several sizes."""

    def requests(order: list[int]) -> list[EngineRequest]:
        return [request(i) for i in order]

    one = build(1, 4)
    alone = [essence(run_requests(one, requests([i]), rows=4)[0]) for i in range(count)]
    for workers, rows in [(1, 5), (1, 64), (2, 4), (2, 21)]:
        order = random.Random(rows).sample(range(count), count)
        together = run_requests(build(workers, rows), requests(order), rows=workers * rows)
        assert [essence(answer) for answer in together] == [alone[i] for i in order], (workers, rows)


@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_int8", "toy_classifier", "toy_classifier_int8"])
def test_strangers_do_not_change_an_answer(artifact: str, request: pytest.FixtureRequest) -> None:
    check(read_artifact(request.getfixturevalue(artifact)), 120)


@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_int8"])
def test_strangers_do_not_change_a_score(artifact: str, request: pytest.FixtureRequest) -> None:
    check_scores(read_artifact(request.getfixturevalue(artifact)), 120)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in SHIPPED.glob("*/manifest.json")))
def test_shipped_models_keep_the_rule(name: str) -> None:
    artifact = read_artifact(SHIPPED / name)
    check(artifact, 60)
    if artifact.manifest.task == "translate":
        check_scores(artifact, 120)
