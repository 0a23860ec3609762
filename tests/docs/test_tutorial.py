"""The commands of the tutorial, run as they are printed, from the CSV file to the answer of the curl."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.generator.__main__ import ROOT

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def blocks(heading: str) -> list[str]:
    """Return the indented blocks of a section."""
    section = TUTORIAL.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n") for block in found]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a fresh checkout, without models; its venvs use this interpreter, so nothing is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("service", "training", "export"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "models").mkdir()
    for venv in (".venv", ".venv-train"):
        python = tmp_path / venv / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        (tmp_path / venv / ".ready").touch()
    return tmp_path


def run(command: str, folder: Path) -> str:
    """Run a command of the tutorial; MINUTES is what a user may give, so that the test is short."""
    result = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env={**os.environ, "MINUTES": "0.3"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Run `make serve` on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "serve.log").open("wb") as log:
        command = ["make", "serve", f"PORT={port}"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            ready = f"curl -fs --retry 100 --retry-all-errors --retry-delay 1 http://127.0.0.1:{port}/readyz"
            run(ready, folder)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def test_csv_to_curl(checkout: Path) -> None:
    write, commands, curl = blocks("A classifier")
    assert commands.splitlines()[-1] == "make serve"
    run(write, checkout)
    for command in commands.splitlines()[:-1]:
        run(command, checkout)
    with serving(checkout) as port:
        answer = json.loads(run(curl.replace(":8000/", f":{port}/"), checkout))
    assert [result["labels"][0]["label"] for result in answer["results"]] == ["account", "delivery"]
    assert "serving support 1 (fp32): classify 3 labels" in (checkout / "serve.log").read_text("utf-8")
    for name in re.findall(r"`(reports/[\w/]+)\.(\w+)`", TUTORIAL):
        assert (checkout / "runs" / "support" / ".".join(name)).is_file()
    (classify,) = blocks("What the training leaves")
    assert "payment" in run(classify, checkout)
