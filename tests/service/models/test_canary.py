"""A version that is tried out: it answers its share of the requests that name no version."""

import shutil
from pathlib import Path

import pytest

from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.fakes import TIMEOUT
from tests.service.models.helpers import AS_ADMIN, FIRST, SECOND, load, make_version, reloadable

TEXT = "red house"
REQUEST = {"text": TEXT, "source": "a", "target": "b"}


@pytest.fixture
def models(toy_translator: Path, toy_classifier: Path, tmp_path: Path) -> Path:
    """A models folder with one version of the toy translator."""
    shutil.copytree(toy_translator, tmp_path / "models" / "toy-translator")
    shutil.copytree(toy_classifier, tmp_path / "models" / "toy-classifier")
    return tmp_path / "models"


def test_canary_answers_its_share_and_is_measured_apart(models: Path, toy_translator: Path) -> None:
    make_version(shutil.copytree(toy_translator, models / "tried"), "2")
    with reloadable(models, canary="toy-translator@2=0.25") as service:

        def ask(**more: str) -> str:
            reply = service.post("/v1/translate", REQUEST | more).raise_for_status().json()
            return str(reply["translations"][0]["text"])

        assert [ask() for _ in range(8)] == [FIRST, FIRST, FIRST, SECOND] * 2
        assert [ask(model="toy-translator") for _ in range(8)].count(SECOND) == 2
        assert {ask(model="toy-translator@1") for _ in range(4)} == {FIRST}
        assert {ask(model="toy-translator@2") for _ in range(4)} == {SECOND}
        assert service.sample("compute_seconds_count", model="toy-translator@2") == 8
        assert service.sample("compute_seconds_count", model="toy-translator") == 16


def test_canary_answers_all_when_no_other_version_is_served(models: Path) -> None:
    with reloadable(models, canary="toy-translator@2=0") as service:

        def answers() -> set[str]:
            replies = [service.post("/v1/translate", REQUEST).raise_for_status().json() for _ in range(4)]
            return {reply["translations"][0]["text"] for reply in replies}

        make_version(shutil.copytree(models / "toy-translator", models / "tried"), "2")
        load(service, "toy-translator@2")
        assert answers() == {FIRST}  # a share of 0
        service.client.delete("/v1/models/toy-translator@1", headers=AS_ADMIN).raise_for_status()
        assert answers() == {SECOND}


def test_a_canary_that_is_not_served_is_logged(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(models=models, workers=1, threads=1, canary="toy-translator@7=0.5")
    registry = load_models(settings, Metrics(), start_pools)
    registry.drain(TIMEOUT)
    assert registry.canary is None
    assert "ATTENDANT_CANARY is toy-translator@7=0.5, and that version is not served" in caplog.text


@pytest.mark.parametrize("value", ["intents", "intents@2", "intents=0.1", "intents@2=2", "intents@2=10%", "@2=0.1"])
def test_other_values_are_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="write NAME@VERSION=SHARE"):
        Settings(canary=value)
