"""The weights of a checkpoint, copied into our modules by name."""

import torch
from torch import Tensor, nn

from training.pretrained.checkpoint import HfCheckpoint, ImportRefused


class Weights:
    """The weights of a checkpoint, copied by name."""

    def __init__(self, checkpoint: HfCheckpoint) -> None:
        self._path, self._weights = checkpoint.path, checkpoint.weights()

    def copy(self, target: Tensor, *names: str) -> None:
        """Copy weights, stacked along the first axis, into a parameter.

        Raises:
            ImportRefused: one is missing, or the shapes differ.
        """
        if missing := [name for name in names if name not in self._weights]:
            raise ImportRefused(f"{self._path}: the weight {missing[0]} is missing, as are {len(missing) - 1} others")
        found = torch.cat([self._weights[name] for name in names])
        if found.numel() != target.numel() or found.shape[-1] != target.shape[-1]:
            raise ImportRefused(
                f"{self._path}: {' + '.join(names)} has the shape {tuple(found.shape)}; config.json asks for "
                f"{tuple(target.shape)}"
            )
        target.copy_(found.view_as(target))

    def copy_module(self, module: nn.Module, *names: str) -> None:
        """Copy weight and bias of modules, stacked, into those of a module; see `copy`."""
        for kind, parameter in module.named_parameters():
            self.copy(parameter, *(f"{name}.{kind}" for name in names))

    def has(self, name: str) -> bool:
        """Return whether there is such a weight."""
        return name in self._weights

    def get(self, name: str) -> Tensor:
        """Return a weight.

        Raises:
            ImportRefused: it is missing.
        """
        if name not in self._weights:
            raise ImportRefused(f"{self._path}: the weight {name} is missing")
        return self._weights[name]
