"""A loop over the target tokens inside a graph, written as ONNX's Scan.

The exporter cannot trace the loop, so a module calls `repeat`, which traces to a placeholder operator; the loop's body
is traced on its own, and `insert_scan` replaces the placeholder by a Scan over that body.
"""

from collections.abc import Sequence

import onnx
import torch
from onnx import helper
from torch import Tensor

DOMAIN = "attendant"
FLOAT = 1  # TensorProto.FLOAT
BODY_PREFIX = "body_"


def repeat(
    states: list[Tensor], items: Tensor, constants: list[Tensor], collected: Sequence[tuple[int, ...]]
) -> list[Tensor]:
    """Run the body once for each item of the first axis: states, item, constants -> states, collected outputs.

    Returns the last states, then the collected outputs, each (items, *shape) for the shapes in `collected`.
    """
    shapes = [*(state.shape for state in states), *((items.size(0), *shape) for shape in collected)]
    outputs = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::Repeat", (*states, items, *constants), {"states": len(states)},
        dtypes=(FLOAT,) * len(shapes), shapes=shapes, version=1,
    )  # fmt: skip
    return list(outputs)


def insert_scan(model: onnx.ModelProto, body: onnx.ModelProto) -> None:
    """Replace the model's `repeat` by a Scan over the body, whose inputs have the same order.

    Weights have the same names in both models and move to the outer graph; all other names of the body get a prefix.
    """
    graph = model.graph
    position, placeholder = next((i, node) for i, node in enumerate(graph.node) if node.domain == DOMAIN)
    states = placeholder.attribute[0].i
    inner = body.graph
    constants = [value.name for value in inner.input][states + 1 :]
    outer_names: dict[str, str] = dict(zip(constants, placeholder.input[states + 1 :], strict=True))
    weights = {tensor.name for tensor in inner.initializer if tensor.name.startswith("model.")}

    def renamed(name: str) -> str:
        return outer_names.get(name, name if not name or name in weights else BODY_PREFIX + name)

    for node in inner.node:
        node.input[:], node.output[:] = map(renamed, node.input), map(renamed, node.output)
    for value in [*inner.input, *inner.output]:
        value.name = renamed(value.name)
    present = {tensor.name for tensor in graph.initializer}
    for tensor in inner.initializer:
        tensor.name = renamed(tensor.name)
        if tensor.name not in present:
            graph.initializer.append(tensor)
    loop = helper.make_graph(inner.node, "body", inner.input[: states + 1], inner.output)
    scan = helper.make_node("Scan", placeholder.input[: states + 1], placeholder.output, body=loop, num_scan_inputs=1)
    del graph.node[position]
    graph.node.insert(position, scan)
    imports = {one.domain: one.version for one in [*body.opset_import, *model.opset_import] if one.domain != DOMAIN}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*one) for one in imports.items())
