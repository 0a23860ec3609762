"""What turns gradients into updates: AdamW, or Muon for the matrices of the layers with AdamW for everything else."""

import torch
from torch import nn

from training.config import TrainingConfig


def create_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of a model's parameters, each parameter in one of them; their learning rate is set every update.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) gives a matrix's momentum equal singular
    values before it is applied. With updates as large as AdamW's (Liu et al. 2025, arXiv:2502.16982, section 2.2) one
    learning rate serves both. It is meant for maps between activations: embeddings, norms and biases stay with AdamW.
    """
    parameters = list(model.parameters())
    matrices = layer_matrices(model) if config.optimizer == "muon" else []
    chosen = set(map(id, matrices))
    rest = [p for p in parameters if id(p) not in chosen]
    adamw = torch.optim.AdamW(rest, 0.0, (0.9, 0.98), eps=1e-9, weight_decay=config.weight_decay, fused=True)
    if not matrices:
        return [adamw]
    muon = torch.optim.Muon(matrices, 0.0, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [adamw, muon]


def layer_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights of linear maps between activations, which the projection to words or labels, `output`, is not."""
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != "output"]
    return [p for _, m in linear for p in m.parameters() if p.dim() == 2]
