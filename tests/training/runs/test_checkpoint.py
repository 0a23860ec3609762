"""Checkpoints: complete and of this model, or rejected."""

from pathlib import Path

import pytest
import torch
from torch import nn

from training.config import TransformerConfig
from training.models import build_translator
from training.runs import checkpoint
from training.runs.checkpoint import CheckpointError


def small(width: int = 16, layers: int = 1) -> nn.Module:
    shape = TransformerConfig(
        width=width, heads=2, kv_heads=2, feed_forward=16, encoder_layers=1, decoder_layers=layers
    )
    return build_translator(shape, 20, 20, joint=True)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_checkpoint_restores_weights_and_progress(tmp_path: Path) -> None:
    model, other = small(), small()
    checkpoint.save_weights(model, tmp_path / "new" / "a.safetensors", update=7, best=-float("inf"))
    assert not same(model, other)
    assert checkpoint.load_weights(other, tmp_path / "new" / "a.safetensors") == {"update": 7, "best": -float("inf")}
    assert same(model, other)
    tensors, _ = checkpoint.read(tmp_path / "new" / "a.safetensors")
    assert sum(t.numel() for t in tensors.values()) == sum(p.numel() for p in model.parameters())  # shared ones once
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]  # no partial file is left


@pytest.mark.parametrize("other", [small(width=32), small(layers=2)], ids=["wider", "deeper"])
def test_checkpoint_of_another_model_is_rejected(tmp_path: Path, other: nn.Module) -> None:
    checkpoint.save_weights(small(), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a.safetensors: not a checkpoint of this model; differing: \w+"):
        checkpoint.load_weights(other, tmp_path / "a.safetensors")


def test_damaged_or_missing_checkpoint_is_rejected(tmp_path: Path) -> None:
    checkpoint.save_weights(small(), tmp_path / "a.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-100])
    (tmp_path / "text.safetensors").write_text("weights")
    for name, words in [("half", "damaged"), ("text", "damaged"), ("none", "no such checkpoint")]:
        with pytest.raises(CheckpointError, match=f"{name}.safetensors: {words}"):
            checkpoint.load_weights(small(), tmp_path / f"{name}.safetensors")


def test_average_is_the_mean_of_checkpoints(tmp_path: Path) -> None:
    models, mean = [small() for _ in range(3)], small()
    for i, model in enumerate(models):
        checkpoint.save_weights(model, tmp_path / f"{i}.safetensors")
    checkpoint.average(mean, [tmp_path / f"{i}.safetensors" for i in range(3)])
    for name, parameter in mean.named_parameters():
        expected = torch.stack([dict(model.named_parameters())[name] for model in models]).mean(0)
        torch.testing.assert_close(parameter, expected)
