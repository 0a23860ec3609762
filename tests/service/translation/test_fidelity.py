"""The table of fidelity cases with the shipped translator: nothing is lost, changed or invented without a warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.http.fidelity import DIALECTS, MODEL, Outcome, outcomes, read_cases
from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import ROOT, Service, serving

MAX_WARNED = 0.05
CASES = read_cases(ROOT / "tests/service/translation/fidelity_cases")
SAMPLE = 9  # every ninth case is sent in the dialects that lead to the same translation


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    models: Path = tmp_path_factory.mktemp("models")
    (models / MODEL).symlink_to(ROOT / "models" / MODEL)
    settings, metrics = Settings(models=models, workers=1, threads=1, request_timeout_seconds=300), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as service:
        service.client.timeout = 300
        yield service


@pytest.fixture(scope="module")
def found(service: Service) -> list[Outcome]:
    """The outcomes of all cases."""
    return outcomes(service.client, CASES)


def silent_faults(found: list[Outcome]) -> list[tuple[str, str | None, list[str]]]:
    return [(one.case.text, one.translation, one.faults) for one in found if one.verdict in {"silent fault", "refused"}]


def test_nothing_is_lost_changed_or_invented_without_a_warning(found: list[Outcome]) -> None:
    assert len(found) == len(CASES)
    assert silent_faults(found) == []


def test_few_cases_are_faulty_at_all(found: list[Outcome]) -> None:
    warned = [(one.case.text, one.translation, one.faults) for one in found if one.verdict == "warned"]
    assert len(warned) <= MAX_WARNED * len(found), warned


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "native"])
def test_all_dialects_keep_the_same(service: Service, dialect: str) -> None:
    known = [case for case in CASES if case.format in DIALECTS[dialect].formats]
    found = outcomes(service.client, known[::SAMPLE], dialect)
    assert len(found) >= 10
    assert silent_faults(found) == []
