"""Dropout (Srivastava et al. 2014) whose mask takes one random byte per element instead of a Bernoulli draw."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256


class Dropout(nn.Module):
    """In training, zero a share `p` of the elements and divide the rest by 1 - p.

    On a CPU torch draws its Bernoulli mask element by element, which takes a sixth of a small model's training time.
    Here eight mask bytes come from one 64-bit draw; p is rounded to 1/256, for the mask and for the scale.
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
        # The mask has x's dtype: a float32 mask would make all later activations float32, even under autocast.
        return x * (mask.to(x.dtype) * (LEVELS / (LEVELS - dropped)))
