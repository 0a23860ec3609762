"""Corpora and runs that several tests share; no test writes into a shared one."""

from pathlib import Path

import pytest

from tests.conftest import BuildOnce
from tests.training.toys import reverse, write_reverse
from training.runs.run import RunFolder
from training.trainer import fit


@pytest.fixture(scope="session")
def reverse_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the corpus of the toy recipe."""
    folder = tmp_path_factory.mktemp("reverse")
    write_reverse(folder)
    return folder


@pytest.fixture(scope="session")
def reverse_run(reverse_data: Path, build_once: BuildOnce) -> RunFolder:
    """The toy recipe trained without interruption."""

    def fill(folder: Path) -> None:
        fit(reverse(), reverse_data, RunFolder(folder / "run"), resume=False)

    return RunFolder(build_once("reverse", fill) / "run")
