"""Rewrite fp32 KV caches to int8: a quarter of the memory, and a decoding step spends most of its time reading it.

Every column of a cache has a calibrated, static scale, so a row's values depend on that row alone. In `step`,
com.microsoft.GroupQueryAttention reads int8 caches and quantises the keys and values that it appends. The source's keys
and values are computed once and quantised by `encode`: the linear layer that computes them is rescaled to write
multiples of the cache's scales, because QuantizeLinear is many times slower with a scale per column than with one
scale.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.quantization.calibration import CacheScale

# Positions among the inputs and outputs of GroupQueryAttention.
PAST_INPUTS, PRESENT_OUTPUTS, SCALE_INPUT = slice(3, 5), slice(1, 3), 12


def quantise_caches(model: onnx.ModelProto, caches: dict[str, CacheScale]) -> onnx.ModelProto:
    """Return a copy of the graph in which the named inputs and outputs are int8 caches."""
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    del graph.value_info[:]  # types of inner values, some now wrong; onnxruntime infers them
    for node in graph.node:
        past = node.input[PAST_INPUTS] if node.op_type == "GroupQueryAttention" else []
        if past and set(past) <= caches.keys():
            _attend_int8(graph, node, caches)
    for output in graph.output:
        if output.name in caches:
            _rescale(graph, caches[output.name])
            output.type.tensor_type.elem_type = TensorProto.INT8
    for weight in dict.fromkeys(caches[output.name].weight for output in graph.output if output.name in caches):
        _write_int8(graph, weight)
    return quantised


def _attend_int8(graph: onnx.GraphProto, node: onnx.NodeProto, caches: dict[str, CacheScale]) -> None:
    """Make the operator read its past and write its present in int8."""
    past = list(node.input[PAST_INPUTS])
    names = [_constant(graph, f"{name}_scale", caches[name].scale) for name in past]
    node.input.extend([*[""] * (SCALE_INPUT - len(node.input)), *names])
    for attribute in ("k_quant_type", "v_quant_type"):
        node.attribute.append(helper.make_attribute(attribute, "PER_CHANNEL"))
    node.attribute.append(helper.make_attribute("kv_cache_bit_width", 8))
    for value in (*graph.input, *graph.output):
        if value.name in {*past, *node.output[PRESENT_OUTPUTS]}:
            value.type.tensor_type.elem_type = TensorProto.INT8


def _rescale(graph: onnx.GraphProto, cache: CacheScale) -> None:
    """Make the linear layer (O, I) write the cache's columns as multiples of their scales."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for name in _linear(graph, cache.weight).input[1:]:
        array = numpy_helper.to_array(tensors[name]).copy()
        array[cache.first : cache.stop] /= cache.scale.reshape(-1, *[1] * (array.ndim - 1))
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))


def _write_int8(graph: onnx.GraphProto, weight: str) -> None:
    """Round the output of a linear layer to int8."""
    node = _linear(graph, weight)
    rounded, exact = node.output[0], f"{weight}_exact"
    node.output[0] = exact
    one = _constant(graph, f"{weight}_one", np.array(1.0, np.float32))
    zero = _constant(graph, f"{weight}_zero", np.array(0, np.int8))
    position = list(graph.node).index(node) + 1
    graph.node.insert(position, helper.make_node("QuantizeLinear", [exact, one, zero], [rounded]))


def _linear(graph: onnx.GraphProto, weight: str) -> onnx.NodeProto:
    node: onnx.NodeProto = next(n for n in graph.node if n.op_type == "Gemm" and n.input[1] == weight)
    return node


def _constant(graph: onnx.GraphProto, name: str, array: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name
