"""The small graphs that the service moves and reads rows on a device with; they belong to no model.

    python -m export.graphs.device

writes them into service/engine/device_graphs/. The service has no library that could make them, and a GPU's memory is
only reached through graphs.

Shapes: N rows of W values, M rows that are read or written, B rows of a batch, V vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graphs.onnx_writer import OPSET

FOLDER = Path(__file__).parents[2] / "service" / "engine" / "device_graphs"
STATE_TYPES = {
    "float32": int(TensorProto.FLOAT),
    "float16": int(TensorProto.FLOAT16),
    "int8": int(TensorProto.INT8),
}
FLOAT, INT64 = int(TensorProto.FLOAT), int(TensorProto.INT64)
Value = tuple[str, int, list[str | int]]  # name, type, shape


def device_graphs() -> dict[str, onnx.ModelProto]:
    """Return all graphs by the names of their files."""
    graphs = {"attention": attention(), "best": best(), "best_of": best_of(), "read": read(), "store": store()}
    for name, dtype in STATE_TYPES.items():
        graphs |= {f"append_{name}": append(dtype), f"move_{name}": move(dtype), f"grow_{name}": grow(dtype)}
    return graphs


def append(dtype: int) -> onnx.ModelProto:
    """Return a graph that pads new rows to the width of the others, and writes copies of them."""
    return _model(
        [
            helper.make_node("Pad", ["values", "pads"], ["padded"]),
            helper.make_node("Flatten", ["padded"], ["rows"]),  # (B, W)
            helper.make_node("Gather", ["rows", "source"], ["updates"]),  # (M, W)
            helper.make_node("ScatterND", ["data", "target", "updates"], ["data_out"]),
        ],
        [
            ("data", dtype, ["N", "W"]),
            ("values", dtype, ["B", "before", "S", "after"]),
            ("pads", INT64, [8]),
            ("source", INT64, ["M"]),
            ("target", INT64, ["M", 1]),
        ],
        [("data_out", dtype, ["N", "W"])],
    )


def move(dtype: int) -> onnx.ModelProto:
    """Return a graph that copies rows onto others, as if all at once."""
    return _model(
        [
            helper.make_node("Gather", ["data", "source"], ["updates"]),  # (M, W)
            helper.make_node("ScatterND", ["data", "target", "updates"], ["data_out"]),
        ],
        [("data", dtype, ["N", "W"]), ("source", INT64, ["M"]), ("target", INT64, ["M", 1])],
        [("data_out", dtype, ["N", "W"])],
    )


def grow(dtype: int) -> onnx.ModelProto:
    """Return a graph that copies an array into a larger one, with zeros behind it."""
    axes: list[str | int] = ["states", "rows", "before", "positions", "after"]
    return _model(
        [helper.make_node("Pad", ["data", "pads"], ["grown"])],
        [("data", dtype, axes), ("pads", INT64, [10])],
        [("grown", dtype, [f"new_{axis}" for axis in axes])],
    )


def best() -> onnx.ModelProto:
    """Return a graph: logits (B, V) -> token (B,) and its logit (B,), which is NaN where a row has a NaN."""
    return _model(
        _best_nodes("logits"),
        [("logits", FLOAT, ["B", "V"])],
        [("token", INT64, ["B"]), ("logit", FLOAT, ["B"])],
        {"one": [1]},
    )


def best_of() -> onnx.ModelProto:
    """Return a graph: logits (B, V), rows (M,) -> token (M,) and its logit (M,), as of `best`."""
    return _model(
        [helper.make_node("Gather", ["logits", "rows"], ["lines"]), *_best_nodes("lines")],
        [("logits", FLOAT, ["B", "V"]), ("rows", INT64, ["M"])],
        [("token", INT64, ["M"]), ("logit", FLOAT, ["M"])],
        {"one": [1]},
    )


def _best_nodes(lines: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("TopK", [lines, "one"], ["peaks", "tokens"]),  # (B, 1), (B, 1)
        helper.make_node("Squeeze", ["tokens", "one"], ["token"]),
        helper.make_node("Squeeze", ["peaks", "one"], ["highest"]),
        helper.make_node("ReduceSum", [lines, "one"], ["sum"], keepdims=0),
        helper.make_node("IsNaN", ["sum"], ["broken"]),
        helper.make_node("Where", ["broken", "sum", "highest"], ["logit"]),
    ]


def read() -> onnx.ModelProto:
    """Return a graph: logits (B, V), rows (M,) -> lines (M, V)."""
    return _model(
        [helper.make_node("Gather", ["logits", "rows"], ["lines"])],
        [("logits", FLOAT, ["B", "V"]), ("rows", INT64, ["M"])],
        [("lines", FLOAT, ["M", "V"])],
    )


def store() -> onnx.ModelProto:
    """Return a graph: logits (B, V), rows (M, 1), lines (M, V) -> logits with these lines."""
    return _model(
        [helper.make_node("ScatterND", ["logits", "rows", "lines"], ["logits_out"])],
        [("logits", FLOAT, ["B", "V"]), ("rows", INT64, ["M", 1]), ("lines", FLOAT, ["M", "V"])],
        [("logits_out", FLOAT, ["B", "V"])],
    )


def attention() -> onnx.ModelProto:
    """Return a graph with the variants of attention that translators need, for service/engine/models/probe.py.

    They are those of a Transformer's graphs in fp16: of a packed source to itself, of a query to a cache to which
    nothing is added, and of a packed target token to a cache that it is added to.
    """
    half, heads, kv_heads, width = int(TensorProto.FLOAT16), 2, 1, 64
    packed = (heads + 2 * kv_heads) * width
    sizes: dict[str, list[str | int]] = {
        "source": ["B", "S", packed], "query": ["B", 1, heads * width], "new": ["B", 1, packed],
        "key": ["B", kv_heads, "P", width], "value": ["B", kv_heads, "P", width],
    }  # fmt: skip
    attributes: dict[str, Any] = {
        "num_heads": heads,
        "kv_num_heads": kv_heads,
        "scale": width**-0.5,
        "domain": "com.microsoft",
    }

    def attend(inputs: list[str], name: str, **more: Any) -> onnx.NodeProto:
        outputs = [name, f"{name}_key", f"{name}_value"]
        return helper.make_node("GroupQueryAttention", inputs, outputs, **attributes, **more)

    def capacity(of: str, axis: int) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Shape", [of], [f"{of}_axis"], start=axis, end=axis + 1),
            helper.make_node("Cast", [f"{of}_axis"], [f"{of}_int32"], to=int(TensorProto.INT32)),
            helper.make_node("Squeeze", [f"{of}_int32"], [f"{of}_length"]),
        ]

    return _model(
        [
            *capacity("source", 1),
            *capacity("key", 2),
            helper.make_node("Slice", ["query", "zeros", "ends", "axes"], ["nothing"]),  # (B, 0, K*d)
            attend(["source", "", "", "", "", "last", "source_length"], "encoded", causal=0),
            attend(["query", "nothing", "nothing", "key", "value", "last", "key_length"], "crossed", causal=0),
            attend(["new", "", "", "key", "value", "last", "key_length"], "decoded"),
        ],
        [*((name, half, shape) for name, shape in sizes.items()), ("last", int(TensorProto.INT32), ["B"])],
        [(name, half, ["B", "T", heads * width]) for name in ("encoded", "crossed", "decoded")],
        {"zeros": [0, 0], "ends": [0, kv_heads * width], "axes": [1, 2]},
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[Value],
    outputs: list[Value],
    constants: dict[str, list[int]] | None = None,
) -> onnx.ModelProto:
    values = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (constants or {}).items()]
    taken, written = ([helper.make_tensor_value_info(*value) for value in part] for part in (inputs, outputs))
    domains = [("", OPSET), *(("com.microsoft", 1) for _ in {node.domain for node in nodes} - {""})]
    graph = helper.make_graph(nodes, "device", taken, written, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*domain) for domain in domains], ir_version=10)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, model in device_graphs().items():
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
