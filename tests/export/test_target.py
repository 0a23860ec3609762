"""Where an export goes: names that a service can serve side by side, and no silent replacement."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.target import choose_target, next_version
from service.artifact import ArtifactError, read_artifact
from training.runs.run import RunFolder

ROOT = Path(__file__).parents[2]


def artifact(path: Path, name: str, version: str = "1") -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"name": name, "version": version, "precision": "int8"}))
    return path


def test_name_is_that_of_the_folder(tmp_path: Path) -> None:
    target = choose_target(tmp_path / "models" / "banking-int8", None, None, force=False)
    assert (target.name, target.version) == ("banking-int8", "1")
    assert choose_target(tmp_path / "x", "other", "7", force=False).name == "other"


def test_replacing_needs_force_or_a_yes_and_counts_the_version_up(tmp_path: Path) -> None:
    path = artifact(tmp_path / "banking", "banking", "4")
    asked: list[str] = []

    def answer(what: str) -> bool:
        asked.append(what)
        return len(asked) > 1

    message = f"{path} has banking 4 (int8); add --force to replace it, or choose another folder"
    with pytest.raises(ArtifactError, match=re.escape(message)):
        choose_target(path, None, None, force=False, confirm=answer)
    assert choose_target(path, None, None, force=False, confirm=answer).version == "5"
    assert asked == [f"{path} has banking 4 (int8)"] * 2
    assert choose_target(path, None, None, force=True).version == "5"
    assert choose_target(path, None, "9", force=True).version == "9"


@pytest.mark.parametrize(("version", "following"), [("1", "2"), ("1.9", "1.10"), ("v3", "v4"), ("beta", "beta.1")])
def test_version_counts_up(version: str, following: str) -> None:
    assert next_version(version) == following


def test_name_that_another_artifact_has_is_refused(tmp_path: Path) -> None:
    other = artifact(tmp_path / "banking-old", "banking")
    message = f"{other} is also named 'banking'; a service cannot serve both: give this one another --name"
    with pytest.raises(ArtifactError, match=re.escape(message)):
        choose_target(tmp_path / "banking", None, None, force=True)


def test_folder_whose_name_cannot_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'My Model' cannot be a model's name: use lower-case letters, digits"):
        choose_target(tmp_path / "My Model", None, None, force=False)
    assert choose_target(tmp_path / "My Model", "mine", None, force=False).name == "mine"


def export(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export", *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_command_line_needs_nothing_but_the_run(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    """The artifact is models/RUN, the data is where the training found it; a second export needs --force."""
    first = export(toy_classification_run.path, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "parity on 198 sentences" in first.stdout
    assert read_artifact(tmp_path / "models" / "run").manifest.name == "run"
    second = export(toy_classification_run.path, folder=tmp_path)
    assert second.returncode == 1
    assert second.stderr == "error: models/run has run 1 (fp32); add --force to replace it, or choose another folder\n"


def test_interrupt_is_one_line(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", str(toy_classification_run.path), str(tmp_path / "new")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.iterdir()):  # until the unfinished folder is there
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "error: interrupted; nothing was published\n")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
