"""Checkpoints as safetensors: weights, optimizer moments and progress. Nothing is unpickled."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

# Progress that earlier versions saved under another name.
RENAMED_PROGRESS = {"within": "update_in_epoch", "stale": "epochs_without_improvement"}


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another model."""


def save_weights(model: nn.Module, path: Path, extra: dict[str, Tensor] | None = None, **progress: object) -> None:
    """Write the model's parameters, shared ones once, and `extra` tensors, with `progress`: see `write`."""
    tensors = {f"model.{name}": p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    tensors |= {name: tensor.detach().cpu().contiguous() for name, tensor in (extra or {}).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(tensors, progress, path)


def write(tensors: dict[str, Tensor], progress: dict[str, object], path: Path) -> None:
    """Write what `read` returns; the progress goes to the header as JSON.

    The file is renamed into place when it is complete.
    """
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(progress)})
    os.replace(partial, path)


def load_weights(model: nn.Module, path: Path) -> dict[str, object]:
    """Load a checkpoint into the model and return its progress.

    Raises:
        CheckpointError: the file is missing or damaged, or holds another model.
    """
    tensors, progress = read(path)
    _copy(model, tensors, path)
    return progress


def _copy(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    saved = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    own = dict(model.named_parameters())
    if saved.keys() != own.keys() or any(saved[name].shape != own[name].shape for name in own):
        wrong = sorted(saved.keys() ^ own.keys()) or [n for n in own if saved[n].shape != own[n].shape]
        raise CheckpointError(f"{path}: not a checkpoint of this model; differing: {', '.join(wrong[:5])}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def load_initial_weights(model: nn.Module, path: Path) -> None:
    """Load the weights of a model whose vocabulary may be shorter; new entries start near the mean of the others.

    Raises:
        CheckpointError: see `load_weights`.
    """
    tensors, _ = read(path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            saved = tensors.get(f"model.{name}")
            if saved is None or saved.dim() != 2 or saved.size(1) != parameter.size(1) or len(saved) >= len(parameter):
                continue
            # A constant would be the same vector for all, which the loss could only separate by their contexts.
            new = torch.randn(len(parameter) - len(saved), saved.size(1)) * saved.std() / 2
            tensors[f"model.{name}"] = torch.cat([saved, saved.mean(0) + new])  # (V, D)
    _copy(model, tensors, path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return all tensors of a checkpoint, and its progress.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("progress", "{}"))
            progress = {RENAMED_PROGRESS.get(name, name): value for name, value in header.items()}
            return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except Exception as error:  # safetensors raises its own class for each kind of damage
        raise CheckpointError(f"{path}: damaged: {error}") from None


def average(model: nn.Module, paths: list[Path]) -> None:
    """Set the model's parameters to their mean over the checkpoints (Vaswani et al. 2017, section 6.1)."""
    sums: dict[str, Tensor] = {}
    for path in paths:
        load_weights(model, path)
        for name, parameter in model.named_parameters():
            sums[name] = sums.get(name, 0) + parameter.detach().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sums[name] / len(paths))


def optimizer_tensors(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the optimizers' moments as `optimizer.MOMENT.PARAMETER`."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizers(model: nn.Module, optimizers: list[torch.optim.Optimizer], path: Path) -> None:
    """Load the moments that `optimizer_tensors` returned."""
    tensors, _ = read(path)
    own = dict(model.named_parameters())
    owner = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    for full, value in tensors.items():
        if full.startswith("optimizer."):
            _, key, name = full.split(".", 2)
            # The step counter stays on the CPU unless the optimizer is fused on a device; torch casts `step`.
            owner[own[name]].state[own[name]][key] = value.to(own[name].device)
