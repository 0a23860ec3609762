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

from benchmarks.checkpoints.opus_shape import write_checkpoint
from docs.generator.__main__ import ROOT
from tests.training.pretrained.checkpoints import write_encoder

# A translator and its corpus, small enough to be made in a second.
SHAPE = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "scale_embedding": True, "activation_function": "swish",
}  # fmt: skip
ROWS = [("The house is old.", "Das Haus ist alt."), ("The dog sees a river.", "Der Hund sieht einen Fluss.")] * 50
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
    (tmp_path / ".venv-train" / ".hf").touch()
    return tmp_path


def run(command: str, folder: Path, minutes: float = 0.05) -> str:
    """Run a command of the tutorial; MINUTES is what a user may give, so that the test is short."""
    result = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env={**os.environ, "MINUTES": str(minutes)}, capture_output=True,
        text=True, check=False,
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
            ready = f"timeout 100 sh -c 'until curl -fs http://127.0.0.1:{port}/readyz; do sleep 0.1; done'"
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


def test_checkpoint_to_curl(checkout: Path) -> None:
    """A small checkpoint in the place of the download, which needs a network; then the commands as they are printed."""
    write_checkpoint(checkout / "opus-mt-en-de", ROWS, SHAPE, pieces=60, vocabulary=120, seconds=0.0)
    commands, curl = blocks("An OPUS-MT model in three commands")
    download, make_import, make_serve = commands.splitlines()
    assert download.endswith("--local-dir opus-mt-en-de")
    assert make_serve == "make serve"
    run(make_import, checkout)
    with serving(checkout) as port:
        answer = json.loads(run(curl.replace(":8000/", f":{port}/"), checkout))
    assert answer["translations"][0]["target"] == "de"
    manifest = json.loads((checkout / "models" / "opus-mt-en-de" / "manifest.json").read_text("utf-8"))
    assert (manifest["precision"], manifest["generation"]) == ("int8", {"beam_size": 4})


def test_encoder_to_curl(checkout: Path) -> None:
    (write, _, _) = blocks("A classifier")
    run(write, checkout)
    write_encoder(checkout / "all-MiniLM-L6-v2", (checkout / "support.csv").read_text("utf-8").splitlines())
    commands, curl = blocks("A classifier from a pretrained encoder")
    download, *others, make_serve = commands.splitlines()
    assert download.endswith("--local-dir all-MiniLM-L6-v2")
    assert make_serve == "make serve"
    for command in others:
        run(command, checkout, minutes=0.25)  # three seconds are too few on a slow, busy machine
    with serving(checkout) as port:
        answer = json.loads(run(curl.replace(":8000/", f":{port}/"), checkout))
    assert answer["results"][0]["labels"][0]["label"] == "delivery"
