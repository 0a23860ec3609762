"""fp32 linear maps to int8: calibrated, static activation scales and a weight scale for every output column; and tables
of n-grams, which are only read, with one scale.

A linear map becomes QuantizeLinear (uint8) and com.microsoft.MatMulIntegerToFloat, whose result for a row is the same
alone and in a batch: a scale computed from the activations of a batch (dynamic quantisation) would tie a row to its
neighbours. Weights use 7 bits and a sign: with 8, two products can overflow the 16 bits in which AVX2 adds them, and
the answer would depend on the machine (Jacob et al. 2018, arXiv 1712.05877, for the scheme; onnxruntime's
`reduce_range` for the 7 bits).

Shapes: N tokens, I inputs and O outputs of a linear map.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from training.models.ngrams import Table

DOMAIN = "com.microsoft"
WEIGHT_LEVELS = 64  # on either side of zero
CACHE_LEVELS = TABLE_LEVELS = 127
ACTIVATION_LEVELS = 255
SAMPLE = 50_000  # values of each linear map's input that its range is chosen for
TOKENS = 16  # kept of each sentence
SHRINK = np.linspace(1.0, 0.4, 25)  # ranges tried, as shares of the full one


@dataclass(frozen=True)
class Scale:
    """Activations as uint8: real value = scale * (quantised - zero_point)."""

    scale: float
    zero_point: int

    @staticmethod
    def of(values: np.ndarray) -> "Scale":
        """The range, cut where cutting pays, that reproduces the values with the least squared error."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1e-6)
        return min((Scale.of_range(low * share, high * share) for share in SHRINK), key=lambda s: s.error(values))

    @staticmethod
    def of_range(low: float, high: float) -> "Scale":
        scale = (high - low) / ACTIVATION_LEVELS
        return Scale(scale, round(-low / scale))

    def reproduced(self, values: np.ndarray) -> np.ndarray:
        """The values after quantising and back."""
        quantised = np.clip(np.round(values / self.scale) + self.zero_point, 0, ACTIVATION_LEVELS)
        reproduced: np.ndarray = (quantised - self.zero_point) * self.scale
        return reproduced

    def error(self, values: np.ndarray) -> float:
        """Mean squared error of the values after quantising and back."""
        return float(np.square(self.reproduced(values) - values).mean())


@dataclass(frozen=True)
class WeightSlice:
    """Who writes a cache: the linear map of this weight, in its columns from `first` up to `stop`."""

    weight: str
    first: int
    stop: int


@dataclass(frozen=True)
class Cache(WeightSlice):
    """A cache in int8: real value = scale * quantised, a scale for every column (K*d,)."""

    scale: np.ndarray


@dataclass(frozen=True)
class Scales:
    """What int8 needs to know."""

    maps: dict[str, Scale]  # of what a linear map reads, by the name of its weight in the graphs
    caches: dict[str, Cache] = field(default_factory=dict)  # by the name of the state
    tables: tuple[str, ...] = ()  # names in the graphs


class Calibration:
    """What every linear map of a model reads, sampled: tokens (N, I) by the name of the map's weight in the graphs."""

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._linear = {f"model.{name}.weight": m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
        self._samples: dict[str, list[np.ndarray]] = {name: [] for name in self._linear}
        self._hooks = [m.register_forward_pre_hook(self._keeper(name)) for name, m in self._linear.items()]

    def _keeper(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            tokens = inputs[0].detach().flatten(0, -2).numpy()  # (N, I)
            chosen = self._random.choice(len(tokens), min(len(tokens), TOKENS), replace=False)
            self._samples[name].append(tokens[chosen])

        return keep

    def scales(self) -> dict[str, Scale]:
        """The scale for every linear map that was run."""
        found = {}
        for name, samples in self._samples.items():
            if samples:
                values = np.concatenate(samples).ravel()
                kept = self._random.choice(values, min(len(values), SAMPLE), replace=False)
                found[name] = Scale.of(np.concatenate([kept, [values.min(), values.max()]]))
        return found

    def caches(self, origins: dict[str, WeightSlice]) -> dict[str, Cache]:
        """The scales of every cache, by what the samples make its map write."""
        found = {}
        for name, origin in origins.items():
            tokens = torch.from_numpy(np.concatenate(self._samples[origin.weight]))  # (N, I)
            written = self._linear[origin.weight](tokens).numpy()[:, origin.first : origin.stop]  # (N, K*d)
            scale = column_scales(written, CACHE_LEVELS)
            found[name] = Cache(origin.weight, origin.first, origin.stop, scale)
        return found

    def errors(self, scales: dict[str, Scale]) -> dict[str, float]:
        """What int8 loses of each map's output, as a share of the output's mean square."""
        found = {}
        for name, scale in scales.items():
            tokens = np.concatenate(self._samples[name])[:2048]  # (N, I)
            weight = self._linear[name].weight.detach().numpy().T  # (I, O)
            columns, width = quantised_weight(weight)
            exact = tokens @ weight
            rounded = scale.reproduced(tokens) @ (columns * width)
            found[name] = float(np.square(rounded - exact).mean() / max(np.square(exact).mean(), 1e-12))
        return found

    def __enter__(self) -> "Calibration":
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def calibrate(model: nn.Module, inputs: Iterable[tuple[Tensor, ...]], caches: dict[str, WeightSlice]) -> Scales:
    """Run the model on its inputs, which hold no padding, and choose the scales; the map that loses most is first."""
    with torch.inference_mode():
        with Calibration(model) as calibration:
            for one in inputs:
                model(*one)
        scales = calibration.scales()
        errors = calibration.errors(scales)
        maps = {name: scales[name] for name in sorted(scales, key=lambda name: -errors[name])}
        tables = (f"model.{name}.weight" for name, module in model.named_modules() if isinstance(module, Table))
        return Scales(maps, calibration.caches(caches), tuple(tables))


def column_scales(values: np.ndarray, levels: int) -> np.ndarray:
    """values (N, O) -> scale (O,) for `levels` on either side of zero, each column's range cut where that lowers its
    squared error."""
    peak = np.maximum(np.abs(values).max(axis=0), 1e-8)  # (O,)
    best, error = peak / levels, np.full(peak.shape, np.inf)
    for share in SHRINK[:13]:
        scale = peak * share / levels
        rounded = np.clip(np.round(values / scale), -levels, levels) * scale
        found = np.square(rounded - values).sum(axis=0)
        best, error = np.where(found < error, scale, best), np.minimum(found, error)
    scales: np.ndarray = best.astype(np.float32)
    return scales


def quantised_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """weight (I, O) -> int8 (I, O) and scale (O,)."""
    scale = column_scales(weight, WEIGHT_LEVELS)
    quantised = np.clip(np.round(weight / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS)
    return np.ascontiguousarray(quantised.astype(np.int8)), scale


def quantised_table(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """table (rows, D) -> int8 (rows, D) and one scale (), the range cut where that lowers the squared error."""
    sample = table.ravel()[:: max(1, table.size // SAMPLE)]
    scale = column_scales(np.append(sample, [table.min(), table.max()])[:, None], TABLE_LEVELS)[0]
    return np.clip(np.round(table / scale), -TABLE_LEVELS, TABLE_LEVELS).astype(np.int8), np.array(scale)


def quantise(model: onnx.ModelProto, scales: Scales) -> onnx.ModelProto:
    """A copy of the graph in which every linear map (Gemm) that has a scale computes in int8, and tables are in int8.

    A ReLU in front of one disappears: uint8 with a zero point of 0 cuts at zero by itself.
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    writer = _Writer(graph, scales)
    nodes = [made for node in graph.node for made in writer.rewrite(node)]
    used = {name for node in nodes for name in _read(node)} | {output.name for output in graph.output}
    nodes = [node for node in nodes if any(name in used for name in node.output)]
    read = {name for node in nodes for name in _read(node)}
    kept = [t for t in (*graph.initializer, *writer.made) if t.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    if DOMAIN not in {imported.domain for imported in quantised.opset_import}:
        quantised.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return quantised


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs that a node runs inside it."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, the nodes of a loop's body included."""
    yield from node.input
    for body in _bodies(node):
        for inner in body.node:
            yield from _read(inner)


class _Writer:
    """Turns the nodes of one graph."""

    def __init__(self, graph: onnx.GraphProto, scales: Scales) -> None:
        self.scales, self.tables = scales.maps, scales.tables
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.readers = Counter(name for node in graph.node for name in node.input)
        self.made: list[onnx.TensorProto] = []
        self.quantised: set[str] = set()
        self.converted: set[str] = set()

    def constant(self, name: str, array: np.ndarray) -> str:
        self.made.append(numpy_helper.from_array(array, name))
        return name

    def rewrite(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        for body in _bodies(node):
            nodes = [made for inner in body.node for made in self.rewrite(inner)]
            del body.node[:]
            body.node.extend(nodes)
        if node.op_type == "Gather" and node.input[0] in self.tables:
            return self._read_table(node)
        scale = self.scales.get(node.input[1]) if node.op_type == "Gemm" else None
        if scale is None:
            return [node]
        source, weight = node.input[0], node.input[1]
        before = self.producer.get(source)
        if before is not None and before.op_type == "Relu" and scale.zero_point == 0 and self.readers[source] == 1:
            source = before.input[0]
        name = f"{source}_u8_{scale.zero_point}"
        nodes = []
        if name not in self.quantised:
            self.quantised.add(name)
            self.constant(f"{name}_scale", np.array(scale.scale, np.float32))
            self.constant(f"{name}_zero", np.array(scale.zero_point, np.uint8))
            nodes.append(helper.make_node("QuantizeLinear", [source, f"{name}_scale", f"{name}_zero"], [name]))
        if weight not in self.converted:
            self.converted.add(weight)
            columns, scales = quantised_weight(numpy_helper.to_array(self.weights[weight]).T)
            self.constant(f"{weight}_i8", columns)
            self.constant(f"{weight}_scale", scales)
        inputs = [name, f"{weight}_i8", f"{name}_scale", f"{weight}_scale", f"{name}_zero", ""]
        made = helper.make_node("MatMulIntegerToFloat", [*inputs, *node.input[2:3]], list(node.output), domain=DOMAIN)
        return [*nodes, made]

    def _read_table(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        table, rows, output = node.input[0], node.input[1], node.output[0]
        if table not in self.converted:
            self.converted.add(table)
            values, scale = quantised_table(numpy_helper.to_array(self.weights[table]))
            self.constant(f"{table}_i8", values)
            self.constant(f"{table}_scale", scale)
        return [
            helper.make_node("Gather", [f"{table}_i8", rows], [f"{output}_i8"], axis=0),
            helper.make_node("DequantizeLinear", [f"{output}_i8", f"{table}_scale"], [output]),
        ]
