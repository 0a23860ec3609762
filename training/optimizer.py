"""Optimizers (AdamW, or Muon for the matrices of the layers), the learning rate schedule, and gradient norms."""

import math
import re

import torch
from torch import nn

from training.config import TrainingConfig
from training.muon import Float32Muon


def create_optimizers(
    model: nn.Module, config: TrainingConfig, bf16_is_faster: bool = False
) -> list[torch.optim.Optimizer]:
    """Return the optimizers; each parameter belongs to one of them. The trainer sets the learning rate per update.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) gives a matrix's momentum equal singular
    values before applying it. Its updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982, section
    2.2), so one learning rate fits both. It is for linear maps between activations: AdamW updates embeddings, norms and
    biases.
    """
    parameters = list(model.parameters())
    matrices = layer_matrices(model) if config.optimizer == "muon" else []
    by_muon = set(map(id, matrices))
    others = [p for p in parameters if id(p) not in by_muon]
    adamw = torch.optim.AdamW(others, 0.0, (0.9, 0.98), eps=1e-9, weight_decay=config.weight_decay, fused=True)
    if not matrices:
        return [adamw]
    kind = torch.optim.Muon if bf16_is_faster else Float32Muon  # torch's own multiplies in bf16
    muon = kind(matrices, 0.0, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [adamw, muon]


def layer_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of linear maps between activations, without `output`, the projection to tokens or labels."""
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != "output"]
    return [p for _, m in linear for p in m.parameters() if p.dim() == 2]


def learning_rate(config: TrainingConfig, update: int, total: int) -> float:
    """Return the rate of an update: linear warm-up to the peak, then cosine decay to 0 or inverse square root decay."""
    if update < config.warmup:
        return config.learning_rate * (update + 1) / config.warmup
    if config.schedule == "inverse_sqrt":
        return config.learning_rate * math.sqrt(config.warmup / (update + 1))
    progress = (update - config.warmup) / max(1, total - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the gradient norm of each part of the model: of each layer, and of each module outside the layers.

    Norms that shrink from the layers near the loss to those far from it show vanishing gradients.
    """
    grouped: dict[str, list[torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            grouped.setdefault(re.sub(r"(\.\d+)\..*|\.[^.]*$", r"\1", name), []).append(parameter.grad)
    return {part: nn.utils.get_total_norm(gradients).item() for part, gradients in grouped.items()}


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters())
