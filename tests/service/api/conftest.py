"""The toy models with languages that the public clients know: English and German."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.factory import start_pools
from service.http.api_keys import make_api_key
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.conftest import LEXICON, BuildOnce, fit_classifier
from tests.service.conftest import Service, serving

LANGUAGES = {"a": "en", "b": "de"}
KEY, ENTRY = make_api_key("alice")
OTHER_KEY, OTHER_ENTRY = make_api_key("bob")


def copy_with_changes(artifact: Path, to: Path, **changes: Any) -> None:
    """Copy an artifact, with changes to its manifest."""
    shutil.copytree(artifact, to)
    manifest = json.loads((to / "manifest.json").read_text("utf-8"))
    (to / "manifest.json").write_text(json.dumps(manifest | changes), "utf-8")


@pytest.fixture(scope="session")
def toy_langid(export_toy_run: Callable[..., Path], build_once: BuildOnce) -> Path:
    """The artifact of a classifier that distinguishes ten English words from ten German ones."""

    def fill(folder: Path) -> None:
        from training.runs.run import RunFolder

        fit_classifier(folder, "langid", {"en": list(LEXICON), "de": list(LEXICON.values())})
        export_toy_run(RunFolder(folder / "run"), folder / "langid")

    return build_once("langid", fill) / "langid"


@pytest.fixture(scope="session")
def english_and_german(toy_translator: Path, toy_langid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder: the toy translator between en and de, and the classifier of these languages."""
    folder = tmp_path_factory.mktemp("languages")
    directions = json.loads((toy_translator / "manifest.json").read_text("utf-8"))["directions"]
    for direction in directions:
        direction |= {"source": LANGUAGES[direction["source"]], "target": LANGUAGES[direction["target"]]}
    copy_with_changes(toy_translator, folder / "translator", directions=directions)
    shutil.copytree(toy_langid, folder / "langid")
    return folder


@pytest.fixture(scope="session")
def bilingual(english_and_german: Path) -> Iterator[Service]:
    """A service between English and German."""
    settings, metrics = Settings(models=english_and_german, workers=1, threads=1), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running


@pytest.fixture(scope="session")
def secured(english_and_german: Path) -> Iterator[Service]:
    """A service between English and German that requires a key."""
    keys = f"{ENTRY},{OTHER_ENTRY}"
    settings, metrics = Settings(models=english_and_german, workers=1, threads=1, keys=keys), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running
