"""Calibration: run the model on training rows, sample what its linear layers read, and choose static int8 scales.

Static, because a scale computed from the activations of a batch (dynamic quantisation) would make a row's result depend
on its neighbours.

Shapes: N tokens, I inputs and O outputs of a linear layer, K key-value heads of size d.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from export.quantization.scales import CACHE_LEVELS, SAMPLE, ActivationScale, column_scales, quantised_weight
from training.models.ngrams import NgramEmbedding

TOKENS = 16  # sampled from each sentence


@dataclass(frozen=True)
class WeightSlice:
    """The columns `first` up to `stop` of a linear layer's output; the layer is named by its weight."""

    weight: str
    first: int
    stop: int


@dataclass(frozen=True)
class CacheScale(WeightSlice):
    """A KV cache in int8: real value = scale * quantised, with a scale per column (K*d,)."""

    scale: np.ndarray


@dataclass(frozen=True)
class QuantisationPlan:
    """What becomes int8, and with which scales."""

    linears: dict[str, ActivationScale]  # scale of each linear layer's input, by the weight's name in the graphs
    caches: dict[str, CacheScale] = field(default_factory=dict)  # by the name of the state
    tables: tuple[str, ...] = ()  # names in the graphs


class Calibration:
    """Context manager that samples the inputs (N, I) of a model's linear layers while the model runs."""

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        # By the name of the weight in the graphs.
        self._linears = {f"model.{name}.weight": m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
        self._samples: dict[str, list[np.ndarray]] = {name: [] for name in self._linears}
        self._hooks = [m.register_forward_pre_hook(self._sampler(name)) for name, m in self._linears.items()]

    def _sampler(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def sample(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            tokens = inputs[0].detach().flatten(0, -2).numpy()  # (N, I)
            chosen = self._random.choice(len(tokens), min(len(tokens), TOKENS), replace=False)
            self._samples[name].append(tokens[chosen])

        return sample

    def scales(self) -> dict[str, ActivationScale]:
        """Return the scale of every linear layer that has run."""
        scales = {}
        for name, samples in self._samples.items():
            if samples:
                values = np.concatenate(samples).ravel()
                chosen = self._random.choice(values, min(len(values), SAMPLE), replace=False)
                scales[name] = ActivationScale.of(np.concatenate([chosen, [values.min(), values.max()]]))
        return scales

    def cache_scales(self, slices: dict[str, WeightSlice]) -> dict[str, CacheScale]:
        """Return the scales of every cache, from what its linear layer computes for the samples."""
        scales = {}
        for name, columns in slices.items():
            tokens = torch.from_numpy(np.concatenate(self._samples[columns.weight]))  # (N, I)
            output = self._linears[columns.weight](tokens).numpy()[:, columns.first : columns.stop]  # (N, K*d)
            scale = column_scales(output, CACHE_LEVELS)
            scales[name] = CacheScale(columns.weight, columns.first, columns.stop, scale)
        return scales

    def errors(self, scales: dict[str, ActivationScale]) -> dict[str, float]:
        """Return the squared error of each linear layer's output in int8, relative to the output's mean square."""
        errors = {}
        for name, scale in scales.items():
            tokens = np.concatenate(self._samples[name])[:2048]  # (N, I)
            weight = self._linears[name].weight.detach().numpy().T  # (I, O)
            quantised, column_scale = quantised_weight(weight)
            exact = tokens @ weight
            rounded = scale.rounded(tokens) @ (quantised * column_scale)
            errors[name] = float(np.square(rounded - exact).mean() / max(np.square(exact).mean(), 1e-12))
        return errors

    def __enter__(self) -> "Calibration":
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def calibrate(
    model: nn.Module, inputs: Iterable[tuple[Tensor, ...]], slices: dict[str, WeightSlice]
) -> QuantisationPlan:
    """Run the model on inputs without padding and choose all scales; linear layers with the largest error come first.

    `slices` gives, for each KV cache, the columns of the linear layer that writes it.
    """
    with torch.inference_mode():
        with Calibration(model) as calibration:
            for arguments in inputs:
                model(*arguments)
        scales = calibration.scales()
        errors = calibration.errors(scales)
        linears = {name: scales[name] for name in sorted(scales, key=lambda name: -errors[name])}
        tables = (
            f"model.{name}.weight" for name, module in model.named_modules() if isinstance(module, NgramEmbedding)
        )
        return QuantisationPlan(linears, calibration.cache_scales(slices), tuple(tables))
