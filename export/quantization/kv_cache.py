"""fp32 key-value caches to int8: a quarter of the memory, which a decoding step spends most of its time reading.

Every column of a cache has a calibrated, static scale, so that what a row writes depends on that row alone. The step's
com.microsoft.GroupQueryAttention reads int8 caches and quantises what it appends. What is computed once and never
appended to, the source's keys and values, is quantised by encode: the linear map that computes it is rescaled to write
in units of the cache, for QuantizeLinear is many times slower with a scale for each column than with one for all.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.quantization.weights import Cache

PAST, PRESENT, SCALES = slice(3, 5), slice(1, 3), 12  # places of GroupQueryAttention's inputs and outputs


def quantise_caches(model: onnx.ModelProto, caches: dict[str, Cache]) -> onnx.ModelProto:
    """A copy of the graph whose inputs and outputs are int8 wherever they are one of the caches, by name."""
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    del graph.value_info[:]  # types of what lies between, some no longer true; onnxruntime infers them
    for node in graph.node:
        past = node.input[PAST] if node.op_type == "GroupQueryAttention" else []
        if past and set(past) <= caches.keys():
            _attend_int8(graph, node, caches)
    for output in graph.output:
        if output.name in caches:
            _rescale(graph, caches[output.name])
            output.type.tensor_type.elem_type = TensorProto.INT8
    for weight in dict.fromkeys(caches[output.name].weight for output in graph.output if output.name in caches):
        _write_int8(graph, weight)
    return quantised


def _attend_int8(graph: onnx.GraphProto, node: onnx.NodeProto, caches: dict[str, Cache]) -> None:
    """The operator reads its past in int8, and writes its present so."""
    past = list(node.input[PAST])
    names = [_constant(graph, f"{name}_scale", caches[name].scale) for name in past]
    node.input.extend([*[""] * (SCALES - len(node.input)), *names])
    for attribute in ("k_quant_type", "v_quant_type"):
        node.attribute.append(helper.make_attribute(attribute, "PER_CHANNEL"))
    node.attribute.append(helper.make_attribute("kv_cache_bit_width", 8))
    for value in (*graph.input, *graph.output):
        if value.name in {*past, *node.output[PRESENT]}:
            value.type.tensor_type.elem_type = TensorProto.INT8


def _rescale(graph: onnx.GraphProto, cache: Cache) -> None:
    """The linear map (O, I) writes the cache's columns as multiples of their scales."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for name in _linear(graph, cache.weight).input[1:]:
        array = numpy_helper.to_array(tensors[name]).copy()
        array[cache.first : cache.stop] /= cache.scale.reshape(-1, *[1] * (array.ndim - 1))
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))


def _write_int8(graph: onnx.GraphProto, weight: str) -> None:
    """Round what a linear map writes."""
    node = _linear(graph, weight)
    written, exact = node.output[0], f"{weight}_exact"
    node.output[0] = exact
    one = _constant(graph, f"{weight}_one", np.array(1.0, np.float32))
    zero = _constant(graph, f"{weight}_zero", np.array(0, np.int8))
    at = list(graph.node).index(node) + 1
    graph.node.insert(at, helper.make_node("QuantizeLinear", [exact, one, zero], [written]))


def _linear(graph: onnx.GraphProto, weight: str) -> onnx.NodeProto:
    found: list[onnx.NodeProto] = [n for n in graph.node if n.op_type == "Gemm" and n.input[1] == weight]
    return found[0]


def _constant(graph: onnx.GraphProto, name: str, array: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name
