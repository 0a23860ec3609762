"""The invariance rule: a result does not depend on the other requests in the batch, bit for bit."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import Engine

SHIPPED = Path(__file__).parents[2] / "models"
OPTIONS = [
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
Comparable = tuple[object, ...]


def random_sources(artifact: Artifact, count: int) -> list[list[int]]:
    """Return random sources of very different lengths."""
    manifest = artifact.manifest
    generator = random.Random(count)
    longest = manifest.limits.source_length
    lengths = [min(1 + int(generator.expovariate(1 / 20)), longest) for _ in range(count - 1)] + [longest]
    return [
        [*(generator.randrange(4, 250) for _ in range(length - 1)), manifest.special_tokens.eos] for length in lengths
    ]


def options_of(artifact: Artifact, count: int) -> list[DecodingOptions]:
    """Return every kind of options in turn, with different maximum lengths."""
    longest = min(40, artifact.manifest.limits.target_length)
    lengths = [random.Random(i).randint(4, longest) for i in range(count)]
    options = [OPTIONS[(i + i // len(OPTIONS)) % len(OPTIONS)] for i in range(count)]
    return [DecodingOptions(max_length=length, **option) for length, option in zip(lengths, options, strict=True)]  # type: ignore


def engines_of(artifact: Artifact) -> Callable[[int, int], list[Engine]]:
    """Return a function that builds engines, one per worker with `rows` rows each, on shared graphs."""
    if artifact.manifest.task == "classify":
        graph = Session(artifact.graph("classify"), threads=2)
        return lambda workers, rows: [ClassifyEngine(artifact, graph) for _ in range(workers)]
    graphs = TranslateGraphs.load(artifact, threads=2)
    return lambda workers, rows: [TranslateEngine(graphs, rows) for _ in range(workers)]


def comparable(result: EngineResult) -> Comparable:
    """Return everything in a result except its times; floats are compared exactly."""
    hypotheses = [(h.ids, h.finish_reason, h.score, h.log_probabilities) for h in result.hypotheses]
    attention = None if result.attention is None else (result.attention.shape, result.attention.tobytes())
    return hypotheses, result.probabilities, attention


def check(artifact: Artifact, count: int) -> None:
    sources, options = random_sources(artifact, count), options_of(artifact, count)
    compare(lambda i: EngineRequest(sources[i], options[i]), engines_of(artifact), count)


def check_scores(artifact: Artifact, count: int) -> None:
    graph, longest = Session(artifact.graph("score"), threads=2), artifact.manifest.limits.target_length - 1
    sources = random_sources(artifact, count)
    targets = [ids[:longest] for ids in random.Random(1).sample(sources, count)]

    def build(workers: int, rows: int) -> list[Engine]:
        return [ScoreEngine(artifact, graph) for _ in range(workers)]

    compare(lambda i: EngineRequest(sources[i], translation=targets[i]), build, count)


def compare(request: Callable[[int], EngineRequest], build: Callable[[int, int], list[Engine]], count: int) -> None:
    """Compare the results of single requests with those in batches, for several numbers of rows and workers."""

    def requests(order: list[int]) -> list[EngineRequest]:
        return [request(i) for i in order]

    one = build(1, 4)
    alone = [comparable(run_requests(one, requests([i]), rows=4)[0]) for i in range(count)]
    for workers, rows in [(1, 5), (1, 64), (2, 4), (2, 21)]:
        order = random.Random(rows).sample(range(count), count)
        together = run_requests(build(workers, rows), requests(order), rows=workers * rows)
        assert [comparable(result) for result in together] == [alone[i] for i in order], (workers, rows)


@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_int8", "toy_classifier", "toy_classifier_int8"])
def test_results_do_not_depend_on_the_batch(artifact: str, request: pytest.FixtureRequest) -> None:
    check(read_artifact(request.getfixturevalue(artifact)), 120)


@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_int8"])
def test_scores_do_not_depend_on_the_batch(artifact: str, request: pytest.FixtureRequest) -> None:
    check_scores(read_artifact(request.getfixturevalue(artifact)), 120)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in SHIPPED.glob("*/manifest.json")))
def test_results_of_shipped_models_do_not_depend_on_the_batch(name: str) -> None:
    artifact = read_artifact(SHIPPED / name)
    check(artifact, 60)
    if artifact.manifest.task == "translate":
        check_scores(artifact, 120)
