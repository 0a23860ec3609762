"""Rewrite fp32 graphs to fp16, for GPUs: half the memory, and CUDA's GroupQueryAttention takes no fp32.

Weights, activations and states become fp16. What must stay in fp32 does: sums over a whole text (CumSum), and the last
softmax before an output. Token ids, logits, log-probabilities and probabilities have the types that they have in fp32.

On a GPU nothing but the operators may run between two steps, so the attention of a step gets the capacity of its cache
as the total length: the largest length of the rows would have to be computed on the GPU and read by the CPU.
"""

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

FP32, FP16 = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
LARGEST = float(np.finfo(np.float16).max)
IN_FP32 = {"CumSum"}
TAIL = {"LogSoftmax", "Softmax", "Sigmoid", "GatherElements", "Reshape", "Squeeze", "Unsqueeze"}  # before an output
PAST_KEY, TOTAL = 3, 6  # places among the inputs of GroupQueryAttention


def to_half(model: onnx.ModelProto, states: Collection[str]) -> onnx.ModelProto:
    """Return a copy of the graph in fp16; of its inputs and outputs, only `states` change their type."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    floats = _float_names(graph)
    outputs = [output.name for output in graph.output if output.name in floats and output.name not in states]
    in_fp32 = _fp32_nodes(graph, outputs)
    _convert_types(graph)
    for value in (*graph.input, *graph.output):
        if value.name in states:
            value.type.tensor_type.elem_type = FP16
    del graph.value_info[:]  # types of inner values, now wrong; onnxruntime infers them
    nodes: list[onnx.NodeProto] = []
    exact: dict[str, str] = {}  # values that nodes in fp32 write, by the name of their fp16 copy
    for position, node in enumerate(graph.node):
        if node.op_type == "GroupQueryAttention" and node.input[PAST_KEY]:
            nodes += _total_from_capacity(node, position)
        if position in in_fp32:
            nodes += _in_fp32(node, floats, outputs, exact)
        else:
            nodes.append(node)
            nodes += _cast_outputs(node, outputs)
    read = {output.name for output in graph.output}
    used: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            used.append(node)
            read.update(_inputs(node))
    del graph.node[:]
    graph.node.extend(reversed(used))
    return half


def _inputs(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node and the nodes of its subgraphs read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _inputs(inner)


def _float_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all fp32 values of a traced graph."""
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name for value in values if value.type.tensor_type.elem_type == FP32}
    return found | {tensor.name for tensor in graph.initializer if tensor.data_type == FP32}


def _fp32_nodes(graph: onnx.GraphProto, outputs: list[str]) -> set[int]:
    """Return the positions of the nodes that compute in fp32."""
    wanted = set(outputs)
    found = set()
    for position in reversed(range(len(graph.node))):
        node = graph.node[position]
        is_tail = node.op_type in TAIL and not wanted.isdisjoint(node.output)
        if is_tail:
            wanted.add(node.input[0])
        if is_tail or node.op_type in IN_FP32:
            found.add(position)
    return found


def _convert_types(graph: onnx.GraphProto) -> None:
    """Convert the constants of a graph and of its subgraphs, and what their nodes say about types."""
    for tensor in graph.initializer:
        _convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _convert_types(attribute.g)
                for value in (*attribute.g.input, *attribute.g.output):
                    if value.type.tensor_type.elem_type == FP32:
                        value.type.tensor_type.elem_type = FP16
                del attribute.g.value_info[:]
            elif attribute.type == AttributeProto.TENSOR:
                _convert(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == FP32:
                attribute.i = FP16


def _convert(tensor: TensorProto) -> None:
    if tensor.data_type == FP32:
        array = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _total_from_capacity(node: onnx.NodeProto, position: int) -> Iterator[onnx.NodeProto]:
    """Yield nodes that compute the capacity of an attention's cache, and make it the total length."""
    name = f"capacity_{position}"
    yield helper.make_node("Shape", [node.input[PAST_KEY]], [f"{name}_axis"], start=2, end=3)
    yield helper.make_node("Cast", [f"{name}_axis"], [f"{name}_int32"], to=int(TensorProto.INT32))
    yield helper.make_node("Squeeze", [f"{name}_int32"], [name])
    node.input[TOTAL] = name


def _in_fp32(
    node: onnx.NodeProto, floats: set[str], outputs: list[str], exact: dict[str, str]
) -> Iterator[onnx.NodeProto]:
    """Yield a node that computes in fp32, with casts where its inputs and the readers of its outputs are in fp16."""
    for i, name in enumerate(node.input):
        if name in floats and name not in exact:
            exact[name] = f"{name}_fp32"
            yield helper.make_node("Cast", [name], [exact[name]], to=FP32)
        node.input[i] = exact.get(name, name)
    back = [name for name in node.output if name not in outputs]
    for i, name in enumerate(node.output):
        exact[name] = name if name in outputs else f"{name}_fp32"
        node.output[i] = exact[name]
    yield node
    for name in back:
        yield helper.make_node("Cast", [exact[name]], [name], to=FP16)


def _cast_outputs(node: onnx.NodeProto, outputs: list[str]) -> Iterator[onnx.NodeProto]:
    """Yield casts to fp32 for the graph's outputs that a node computes in fp16."""
    for i, name in enumerate(node.output):
        if name in outputs:
            node.output[i] = f"{name}_half"
            yield helper.make_node("Cast", [f"{name}_half"], [name], to=FP32)
