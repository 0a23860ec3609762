"""Muon in float32, for CPUs without instructions for bf16, on which torch's own Muon takes most of an update's time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of the quintic iteration (Jordan et al. 2024)
STEPS = 5
EPS = 1e-7


class Float32Muon(torch.optim.Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, whose matrix products are in float32.

    The moments have the same names, so that either can continue from the checkpoint of the other.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update each matrix that has a gradient."""
        assert closure is None, "the training loop computes the loss itself"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return None

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient, momentum = self.state[parameter], parameter.grad, group["momentum"]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        direction = orthogonalise(gradient.lerp(buffer, momentum) if group["nesterov"] else buffer)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        # The root mean square of the update is that of AdamW's, 0.2 (Liu et al. 2025, arXiv:2502.16982, section 2.2).
        parameter.add_(direction, alpha=-group["lr"] * 0.2 * max(parameter.shape) ** 0.5)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return the matrix (m, n) with all its singular values near one, by Newton-Schulz iterations.

    An iteration multiplies X by a polynomial P of X X^T. If the matrix is much wider than high, the polynomials are
    multiplied with each other, as (m, m), and X by their product once: two thirds of the operations at 256 x 1,024.
    """
    if matrix.size(0) > matrix.size(1):
        return orthogonalise(matrix.T).T
    a, b, c = NEWTON_SCHULZ
    x = matrix / matrix.norm().clamp(min=EPS)
    gram = x @ x.T  # (m, m)
    if matrix.size(1) <= 2 * matrix.size(0):
        for step in range(STEPS):
            gram = x @ x.T if step else gram
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x
    product: Tensor | None = None
    for step in range(STEPS):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # (m, m); P - aI
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if step < STEPS - 1:
            gram = polynomial @ gram @ polynomial  # of P X, as P is symmetric and commutes with X X^T
    assert product is not None
    return product @ x
