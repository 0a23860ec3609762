"""Dropout (Srivastava et al. 2014) whose mask costs a byte of randomness an element instead of a Bernoulli draw."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256


class Dropout(nn.Module):
    """Zero a share `p` of the elements while training, and scale the rest by what is kept.

    On a CPU torch draws its Bernoulli mask one element at a time, a sixth of a small model's training time. Here eight
    mask bytes come from one 64-bit draw; the share is rounded to 1/256 and the scale follows the rounded share.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = min(round(self.p * LEVELS), LEVELS - 1)
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        mask = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        # In x's own precision: a float32 mask would make everything after it float32, under autocast too.
        return x * (mask.to(x.dtype) * (LEVELS / (LEVELS - dropped)))
