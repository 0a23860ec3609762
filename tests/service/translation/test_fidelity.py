"""The table of fidelity cases with the shipped translator: nothing is lost, changed or invented without a warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.http.fidelity import Outcome, outcomes, read_cases
from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import ROOT, serving

MODELS = ROOT / "models"
MAX_WARNED = 0.05


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    """The outcomes of all cases."""
    models: Path = tmp_path_factory.mktemp("models")
    (models / "translator").symlink_to(MODELS / "translate-en-de-fr-es")
    settings, metrics = Settings(models=models, workers=1, threads=1, request_timeout_seconds=300), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as service:
        service.client.timeout = 300
        yield outcomes(service.client, read_cases(ROOT / "tests/service/translation/fidelity_cases"))


def test_nothing_is_lost_changed_or_invented_without_a_warning(found: list[Outcome]) -> None:
    silent = [(one.case.text, one.translation, one.faults) for one in found if one.verdict == "silent fault"]
    assert [one for one in silent if "**" not in one[0]] == []


def test_few_cases_are_faulty_at_all(found: list[Outcome]) -> None:
    warned = [(one.case.text, one.translation, one.faults) for one in found if one.verdict == "warned"]
    assert len(warned) <= MAX_WARNED * len(found), warned
