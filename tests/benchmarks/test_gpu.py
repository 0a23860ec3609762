"""The benchmark of a GPU, rehearsed on the CPU with the toy translator."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from service.artifact import read_artifact
from training.runs.run import RunFolder


def test_rehearsal_measures_everything_on_the_cpu(
    toy_translation_run: RunFolder, toy_translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(toy_translation_run.path, run := tmp_path / "run")
    shutil.copytree(toy_translator, artifact := tmp_path / "toy")
    texts = toy_translation_run.path.parent / "valid.tsv"
    words = [
        "--device=cpu", f"--run={run}", f"--artifact={artifact}", f"--texts={texts}", "--rows=8", "--sentences=24",
        "--rounds=2", "--clients=2", "--seconds=0.3", "--parts=2", f"--json={tmp_path / 'gpu.json'}",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["gpu", *words])
    assert gpu.main() == 0
    figures = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    engine, baseline, http = figures["rows"]
    assert engine["system"] == "Attendant fp16"
    assert baseline["system"].startswith("CTranslate2 ")
    assert engine["equal_to_first"] == 1
    assert baseline["equal_to_first"] > 0.8
    assert engine["ratio_to_last"] > 0
    assert http["errors"] == 0
    assert http["tokens_per_second"] > http["per_second"] > 0
    assert len(http["memory_mib"]) == len(http["watts"]) == 2
    assert read_artifact(tmp_path / "toy-fp16").manifest.precision == "fp16"
