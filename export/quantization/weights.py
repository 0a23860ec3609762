"""Rewrite fp32 graphs to int8: linear layers with static activation scales and a weight scale per output column, and
n-gram tables, which are only read, with one scale.

A linear layer becomes QuantizeLinear (uint8) and com.microsoft.MatMulIntegerToFloat, whose result for a row is the same
alone and in a batch. Weights use 7 bits and a sign: with 8, two products can overflow the 16 bits in which AVX2 adds
them, and the result would depend on the machine (Jacob et al. 2018, arXiv 1712.05877, for the scheme; onnxruntime's
`reduce_range` for the 7 bits).
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.quantization.calibration import QuantisationPlan
from export.quantization.scales import quantised_table, quantised_weight

DOMAIN = "com.microsoft"


def quantise_weights(model: onnx.ModelProto, plan: QuantisationPlan) -> onnx.ModelProto:
    """Return a copy of the graph in which the linear layers (Gemm) and tables of the plan are in int8.

    A ReLU before such a layer disappears: uint8 with a zero point of 0 clips at zero by itself.
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    rewriter = _Rewriter(graph, plan)
    nodes = [new for node in graph.node for new in rewriter.rewrite(node)]
    used = {name for node in nodes for name in _inputs(node)} | {output.name for output in graph.output}
    nodes = [node for node in nodes if any(name in used for name in node.output)]
    read = {name for node in nodes for name in _inputs(node)}
    initialisers = [tensor for tensor in (*graph.initializer, *rewriter.initialisers) if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initialisers)
    if DOMAIN not in {imported.domain for imported in quantised.opset_import}:
        quantised.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return quantised


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node, such as the body of a Scan."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _inputs(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node and the nodes of its subgraphs read."""
    yield from node.input
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _inputs(inner)


class _Rewriter:
    """Rewrites the nodes of one graph, subgraphs included, and collects the new initialisers."""

    def __init__(self, graph: onnx.GraphProto, plan: QuantisationPlan) -> None:
        self.linears, self.tables = plan.linears, plan.tables
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.readers = Counter(name for node in graph.node for name in node.input)
        self.initialisers: list[onnx.TensorProto] = []
        self._activations: set[str] = set()  # quantised already
        self._converted: set[str] = set()  # weights and tables

    def rewrite(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes that replace a node."""
        for graph in _subgraphs(node):
            nodes = [new for inner in graph.node for new in self.rewrite(inner)]
            del graph.node[:]
            graph.node.extend(nodes)
        if node.op_type == "Gather" and node.input[0] in self.tables:
            return self._table(node)
        if node.op_type == "Gemm" and node.input[1] in self.linears:
            return self._linear(node)
        return [node]

    def _linear(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        source, weight = node.input[0], node.input[1]
        scale = self.linears[weight]
        before = self.producer.get(source)
        if before is not None and before.op_type == "Relu" and scale.zero_point == 0 and self.readers[source] == 1:
            source = before.input[0]
        name = f"{source}_u8_{scale.zero_point}"
        nodes = []
        if name not in self._activations:
            self._activations.add(name)
            self._constant(f"{name}_scale", np.array(scale.scale, np.float32))
            self._constant(f"{name}_zero", np.array(scale.zero_point, np.uint8))
            nodes.append(helper.make_node("QuantizeLinear", [source, f"{name}_scale", f"{name}_zero"], [name]))
        if weight not in self._converted:
            self._converted.add(weight)
            values, scales = quantised_weight(numpy_helper.to_array(self.weights[weight]).T)
            self._constant(f"{weight}_i8", values)
            self._constant(f"{weight}_scale", scales)
        inputs = [name, f"{weight}_i8", f"{name}_scale", f"{weight}_scale", f"{name}_zero", ""]
        inputs += node.input[2:3]  # the bias
        return [*nodes, helper.make_node("MatMulIntegerToFloat", inputs, list(node.output), domain=DOMAIN)]

    def _table(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        table, rows, output = node.input[0], node.input[1], node.output[0]
        if table not in self._converted:
            self._converted.add(table)
            values, scale = quantised_table(numpy_helper.to_array(self.weights[table]))
            self._constant(f"{table}_i8", values)
            self._constant(f"{table}_scale", scale)
        return [
            helper.make_node("Gather", [f"{table}_i8", rows], [f"{output}_i8"], axis=0),
            helper.make_node("DequantizeLinear", [f"{output}_i8", f"{table}_scale"], [output]),
        ]

    def _constant(self, name: str, array: np.ndarray) -> None:
        self.initialisers.append(numpy_helper.from_array(array, name))
