"""A run moves to another machine in one file, is resumed there, and moves back."""

from pathlib import Path

import pytest
import torch

from tests.training.test_trainer import at_update, stop
from tests.training.toys import prepared, reverse
from training.runs import checkpoint
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder
from training.runs.slices import main, pack, unpack
from training.trainer import TrainingError, fit


def test_a_run_is_resumed_elsewhere_and_moves_back(reverse_data: Path, tmp_path: Path) -> None:
    here, there, back = (RunFolder(tmp_path / name) for name in ("here", "there", "back"))
    with prepared(reverse(), reverse_data, here) as trainer:
        at_update(trainer, 10, stop)
        with pytest.raises(TrainingError, match="stopped at update 10"):
            trainer.train()
    assert main(["pack", str(here.path), str(tmp_path / "run.tar")]) == 0
    assert main(["unpack", str(tmp_path / "run.tar"), str(there.path)]) == 0
    before, progress = checkpoint.read(here.path / "checkpoints" / "last.safetensors")
    after, same = checkpoint.read(there.path / "checkpoints" / "last.safetensors")
    assert same == progress
    for name, tensor in before.items():
        if name.startswith("model.") or tensor.dim() == 0:
            assert torch.equal(after[name], tensor), name
        else:
            torch.testing.assert_close(after[name], tensor, rtol=0.01, atol=0)
    fit(reverse(), reverse_data, there, resume=True)
    pack(there.path, tmp_path / "run.tar")
    unpack(tmp_path / "run.tar", back.path)
    assert back.report.read_text() == there.report.read_text()
    assert not (back.path / "tensorboard").exists()


def test_what_cannot_be_moved_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(tmp_path), str(tmp_path / "run.tar")]) == 1
    assert "no checkpoint in it; train until SIGTERM has written one" in capsys.readouterr().err
    (tmp_path / "other.tar").write_bytes(b"not an archive")
    with pytest.raises(CheckpointError, match="cannot be unpacked"):
        unpack(tmp_path / "other.tar", tmp_path / "run")
