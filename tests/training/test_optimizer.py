"""Which optimizer updates which parameter, the updates of Muon, and restoring the state."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from training.config import RecurrentConfig, TrainingConfig, TransformerConfig
from training.models import build_classifier, build_translator
from training.muon import NEWTON_SCHULZ, STEPS, orthogonalise
from training.optimizer import create_optimizers
from training.runs import checkpoint

SHAPE = TransformerConfig(width=16, heads=2, kv_heads=1, feed_forward=32, encoder_layers=1, decoder_layers=1)


def learn(model: nn.Module, optimizers: list[torch.optim.Optimizer], rate: float = 0.01) -> None:
    sum(p.square().sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()


def names(model: nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in owned}


@pytest.mark.parametrize("joint", [True, False])
def test_muon_gets_layer_matrices_and_adamw_the_rest(joint: bool) -> None:
    model = build_translator(SHAPE, 20, 20, joint=joint)
    adamw, muon = create_optimizers(model, TrainingConfig(optimizer="muon"))
    everything = {name for name, _ in model.named_parameters()}
    matrices = {name for name, p in model.named_parameters() if p.dim() == 2 and "embedding" not in name}
    assert names(model, muon) == matrices - {"output.weight"}
    assert names(model, adamw) == everything - names(model, muon)
    assert any("embedding" in name for name in names(model, adamw))


def test_muon_and_adamw_cover_a_recurrent_classifier() -> None:
    model = build_classifier(RecurrentConfig(architecture="gru", width=16), 20, 3)
    optimizers = create_optimizers(model, TrainingConfig(optimizer="muon"))
    assert sum(len(names(model, one)) for one in optimizers) == len(list(model.parameters()))


def test_muon_update_has_similar_singular_values() -> None:
    model = build_translator(SHAPE, 20, 20, joint=True)
    optimizers = create_optimizers(model, TrainingConfig(optimizer="muon"))
    [name] = [n for n in names(model, optimizers[1]) if n.startswith("layers.0") and n.endswith("inner.weight")][:1]
    weight = model.get_parameter(name)
    before = weight.detach().clone()
    learn(model, optimizers)
    step = (before - weight.detach()) / (0.01 * 0.2 * max(weight.shape) ** 0.5)
    values = torch.linalg.svdvals(step)
    assert values.min() > 0.4
    assert values.max() < 1.4


@pytest.mark.parametrize("shape", [(16, 80), (80, 16), (16, 32), (16, 16), (40, 30)], ids=str)
def test_orthogonalise_iterates_as_torch_does(shape: tuple[int, int]) -> None:
    a, b, c = NEWTON_SCHULZ
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    wide = matrix.double().T if shape[0] > shape[1] else matrix.double()
    x = wide / wide.norm()
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    assert torch.allclose(orthogonalise(matrix).double(), x.T if shape[0] > shape[1] else x, atol=1e-4)


def test_muon_in_float32_agrees_with_torch_in_bf16() -> None:
    torch.manual_seed(1)
    model = build_translator(SHAPE, 20, 20, joint=True)
    other = build_translator(SHAPE, 20, 20, joint=True)
    other.load_state_dict(model.state_dict())
    config = TrainingConfig(optimizer="muon", weight_decay=0.1)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    for one, bf16_is_faster in ((model, False), (other, True)):
        optimizers = create_optimizers(one, config, bf16_is_faster)
        for _ in range(3):
            learn(one, optimizers)
    for name, p in model.named_parameters():
        ours, theirs = (one.detach() - start[name] for one in (p, other.get_parameter(name)))
        assert (ours - theirs).norm() <= 0.05 * theirs.norm(), name


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizer_state_survives_a_checkpoint(tmp_path: Path, kind: Literal["adamw", "muon"]) -> None:
    model, other = (build_translator(SHAPE, 20, 20, joint=True) for _ in range(2))
    config = TrainingConfig(optimizer=kind)
    optimizers, others = create_optimizers(model, config), create_optimizers(other, config)
    learn(model, optimizers)
    path = tmp_path / "a.safetensors"
    checkpoint.save_weights(model, path, checkpoint.optimizer_tensors(model, optimizers))
    checkpoint.load_weights(other, path)
    checkpoint.load_optimizers(other, others, path)
    learn(model, optimizers)
    learn(other, others)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
