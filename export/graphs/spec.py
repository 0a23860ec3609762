"""The description of one graph to export: a module, its example inputs and its dynamic axes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Axes = dict[int, Any]  # axis -> torch.export.Dim


@dataclass
class GraphSpec:
    """A module to trace: its example inputs and dynamic axes by input name, and its output names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, Axes]
    outputs: list[str]
    state_kinds: dict[str, str] = field(default_factory=dict)  # state input -> growing | constant | replaced
    loop_body: "GraphSpec | None" = None  # of a module that calls `repeat`, see export/graphs/scan.py


def source_inputs(batch: int = 3, length: int = 5) -> dict[str, Tensor]:
    """Return example sources, all of the same length."""
    return {
        "source": torch.ones(batch, length, dtype=torch.int64),
        "source_length": torch.full((batch,), length, dtype=torch.int32),
    }


def step_inputs(batch: int = 3, source_length: int = 5) -> dict[str, Tensor]:
    """Return the example inputs of a decoding step that are not states."""
    return {
        "token": torch.ones(batch, dtype=torch.int64),
        "position": torch.ones(batch, dtype=torch.int32),
        "source_length": torch.full((batch,), source_length, dtype=torch.int32),
    }


def target_inputs(batch: int = 3, length: int = 7) -> dict[str, Tensor]:
    """Return example targets and labels, all of the same length."""
    return {name: torch.ones(batch, length, dtype=torch.int64) for name in ("target", "label")}


def classifier_spec(module: nn.Module, max_source_length: int) -> dict[str, GraphSpec]:
    """Return the one graph of a classifier: source (B, S), source_length (B,) -> probability (B, labels)."""
    b, s = torch.export.Dim("B"), torch.export.Dim("S", max=max_source_length)
    axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    return {"classify": GraphSpec(module, source_inputs(), axes, ["probability"])}
