"""A loop over the target inside a graph: the exporter traces its body apart, here it becomes ONNX's Scan.

A traced module asks for the loop by an operator that exists nowhere else, `repeat`; `unfold` replaces that by the Scan.
"""

from collections.abc import Sequence

import onnx
import torch
from onnx import helper
from torch import Tensor

DOMAIN = "attendant"
FLOAT = 1  # TensorProto.FLOAT
BODY = "body_"


def repeat(
    states: list[Tensor], items: Tensor, constants: list[Tensor], collected: Sequence[tuple[int, ...]]
) -> list[Tensor]:
    """Run a body once for each item of the first axis: states, item, constants -> states, what is collected.

    Returns the last states, then what was collected, each (items, *shape) for the shapes in `collected`.
    """
    shapes = [*(state.shape for state in states), *((items.size(0), *shape) for shape in collected)]
    found = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::Repeat", (*states, items, *constants), {"states": len(states)},
        dtypes=(FLOAT,) * len(shapes), shapes=shapes, version=1,
    )  # fmt: skip
    return list(found)


def unfold(model: onnx.ModelProto, body: onnx.ModelProto) -> None:
    """Replace the model's `repeat` by a Scan over the body, whose inputs are in the same order.

    Weights, which both models name alike, become the outer graph's; everything else in the body gets a prefix.
    """
    graph = model.graph
    place, asked = next((i, node) for i, node in enumerate(graph.node) if node.domain == DOMAIN)
    states = asked.attribute[0].i
    inner = body.graph
    constants = [value.name for value in inner.input][states + 1 :]
    outside: dict[str, str] = dict(zip(constants, asked.input[states + 1 :], strict=True))
    kept = {tensor.name for tensor in inner.initializer if tensor.name.startswith("model.")}

    def renamed(name: str) -> str:
        return outside.get(name, name if not name or name in kept else BODY + name)

    for node in inner.node:
        node.input[:], node.output[:] = map(renamed, node.input), map(renamed, node.output)
    for value in [*inner.input, *inner.output]:
        value.name = renamed(value.name)
    present = {tensor.name for tensor in graph.initializer}
    for tensor in inner.initializer:
        tensor.name = renamed(tensor.name)
        if tensor.name not in present:
            graph.initializer.append(tensor)
    looped = helper.make_graph(inner.node, "body", inner.input[: states + 1], inner.output)
    scan = helper.make_node("Scan", asked.input[: states + 1], asked.output, body=looped, num_scan_inputs=1)
    del graph.node[place]
    graph.node.insert(place, scan)
    imports = {one.domain: one.version for one in [*body.opset_import, *model.opset_import] if one.domain != DOMAIN}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*one) for one in imports.items())
