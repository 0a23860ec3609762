"""A service whose models can be changed, and versions of the toy translator that are easily told apart."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.api.reload import Reloader
from service.app import create_authenticator
from service.engine.process.client import EngineProcess
from service.http.api_keys import make_api_key
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.repository import ModelRepository
from service.settings import Settings
from tests.service.conftest import Service, serving

ADMIN, ADMIN_ENTRY = make_api_key("ops")
AS_ADMIN = {"X-API-Key": ADMIN}
FIRST, SECOND = "rot Haus", "rot"


def make_version(artifact: Path, version: str) -> Path:
    """Change an artifact into another version, which writes only the first word of a translation."""
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    manifest["limits"]["target_length"] = 1
    manifest["version"] = version
    (artifact / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return artifact


def add_model(service: Service, artifact: Path, name: str) -> Path:
    """Copy an artifact into the models folder under another name, and have it loaded; return its folder."""
    folder = shutil.copytree(artifact, Path(service.settings.models) / name)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"name": name}), "utf-8")
    load(service, name)
    return folder


def load(service: Service, name: str) -> dict[str, Any]:
    """Load a model; return its description."""
    loaded: dict[str, Any] = service.client.put(f"/v1/models/{name}", headers=AS_ADMIN).raise_for_status().json()
    return loaded


@contextmanager
def reloadable(models: str | Path, **changes: Any) -> Iterator[Service]:
    """Run a service with an engine process and a repository over a models folder."""
    settings = Settings(models=models, workers=1, threads=1, **{"admin_keys": ADMIN_ENTRY, **changes})
    metrics = Metrics()
    with EngineProcess() as engine:
        registry = load_models(settings, metrics, engine.start_pools)
        authenticator = create_authenticator(settings)
        repository = ModelRepository(settings, metrics, registry, engine)
        reloader = Reloader(settings, authenticator, repository, lambda: settings)
        with serving(settings, registry, metrics, authenticator, reloader=reloader) as running:
            running.reload = reloader.request
            yield running
