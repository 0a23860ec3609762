"""An engine whose states stay on a device gives the answers of one with numpy arrays, bit for bit."""

import random
from pathlib import Path

import pytest

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest
from tests.contract.test_invariance import SHIPPED, comparable, options_of, random_sources
from tests.service.engine.devices import BUCKETS, DEVICE_NAMES, DEVICES, RESIDENT


def check(artifact: Artifact, count: int, rows: int) -> None:
    sources, options = random_sources(artifact, count), options_of(artifact, count)
    order = random.Random(rows).sample(range(count), count)
    found = []
    for device in DEVICES:
        engine = TranslateEngine(TranslateGraphs.load(artifact, 1, device), rows)
        results = run_requests([engine], [EngineRequest(sources[i], options[i]) for i in order], rows=rows)
        found.append([comparable(result) for result in results])
    for name, answers in zip(DEVICE_NAMES, found, strict=True):
        assert answers == found[0], name


@pytest.mark.parametrize("rows", [4, 21])
@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_int8", "toy_translator_fp16"])
def test_answers_do_not_depend_on_where_the_states_are(
    artifact: str, rows: int, request: pytest.FixtureRequest
) -> None:
    check(read_artifact(request.getfixturevalue(artifact)), 60, rows)


def test_answers_of_the_shipped_translator_do_not_depend_on_where_the_states_are() -> None:
    check(read_artifact(SHIPPED / "translate-en-de-fr-es"), 40, 16)


def test_more_rows_than_the_pool_has_are_refused(toy_translator: Path) -> None:
    for device in (RESIDENT, BUCKETS):
        engine = TranslateEngine(TranslateGraphs.load(read_artifact(toy_translator), 1, device), rows=2)
        engine.join([EngineRequest([4, 20, 3])])
        with pytest.raises(ValueError, match="2 rows do not fit a pool of 2 that holds 1"):
            engine.join([EngineRequest([4, 20, 3]), EngineRequest([4, 30, 3])])
