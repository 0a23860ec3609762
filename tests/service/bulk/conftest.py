"""Settings for tests of files."""

from pathlib import Path

import pytest


@pytest.fixture
def _settings(toy_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODELS": str(toy_models), "WORKERS": "1", "THREADS": "1"}.items():
        monkeypatch.setenv(f"ATTENDANT_{name}", value)
