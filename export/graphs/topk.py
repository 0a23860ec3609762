"""The `select` graph: logits to the most probable tokens. It has no weights and is written node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graphs.onnx_writer import OPSET

BLOCK = 64  # tokens, the preferred size
MIN_BLOCKS = 64  # the largest count of candidates per row that blocks can serve


def select_graph(vocabulary: int) -> onnx.ModelProto:
    """Return a graph: logits (B, V), count (1,) -> token (B, C), log_probability (B, C), best first.

    The C best tokens lie in the C blocks of the vocabulary with the highest maxima, so only these blocks are ranked:
    a heap over the whole vocabulary takes five times as long. A vocabulary without a divisor near 64 is ranked whole.
    """
    nodes = [helper.make_node("LogSoftmax", ["logits"], ["normalised"], axis=-1)]
    constants: dict[str, list[int]] = {}
    sizes = [size for size in range(24, 160) if vocabulary % size == 0 and vocabulary // size >= MIN_BLOCKS]
    block = min(sizes, key=lambda size: abs(size - BLOCK), default=0)
    if block:
        constants |= {"blocked": [-1, vocabulary // block, block], "last": [2], "flat": [0, -1], "size": [block]}
        nodes += [
            helper.make_node("Reshape", ["normalised", "blocked"], ["blocks"]),  # (B, V/64, 64)
            helper.make_node("ReduceMax", ["blocks", "last"], ["peaks"], keepdims=0),
            helper.make_node("TopK", ["peaks", "count"], ["peak", "best"]),  # (B, C)
            helper.make_node("Unsqueeze", ["best", "last"], ["best_index"]),
            helper.make_node("GatherND", ["blocks", "best_index"], ["chosen"], batch_dims=1),  # (B, C, 64)
            helper.make_node("Reshape", ["chosen", "flat"], ["few"]),
            helper.make_node("TopK", ["few", "count"], ["log_probability", "place"]),
            helper.make_node("Div", ["place", "size"], ["rank"]),
            helper.make_node("Mod", ["place", "size"], ["offset"]),
            helper.make_node("GatherElements", ["best", "rank"], ["start"], axis=1),
            helper.make_node("Mul", ["start", "size"], ["first"]),
            helper.make_node("Add", ["first", "offset"], ["token"]),
        ]
    else:
        nodes.append(helper.make_node("TopK", ["normalised", "count"], ["log_probability", "token"]))
    graph = helper.make_graph(
        nodes,
        "select",
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", vocabulary]),
            helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("token", TensorProto.INT64, ["B", "C"]),
            helper.make_tensor_value_info("log_probability", TensorProto.FLOAT, ["B", "C"]),
        ],
        [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
