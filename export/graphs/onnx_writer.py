"""Write graphs to ONNX, their weights once in a file that all of them share."""

import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, numpy_helper

from export.graphs.scan import unfold
from export.graphs.transformer import GraphSource
from service.artifact import Graph, Tensor

OPSET = 20
WEIGHTS = "weights.bin"
INLINE = 1024  # bytes; smaller constants stay in the graph
ALIGNMENT = 64
DTYPES = {
    int(TensorProto.FLOAT): "float32",
    int(TensorProto.INT64): "int64",
    int(TensorProto.INT32): "int32",
    int(TensorProto.INT8): "int8",
}


def write_graphs(models: dict[str, ModelProto], folder: Path) -> dict[str, Graph]:
    """Write every graph into the folder, large weights into one file, and describe its inputs and outputs."""
    weights = SharedWeights()
    described = {}
    for name, original in models.items():
        model = ModelProto()
        model.CopyFrom(original)
        weights.move(model.graph)
        onnx.save(model, folder / f"{name}.onnx")
        described[name] = Graph(
            file=f"{name}.onnx",
            inputs=[_describe(value) for value in model.graph.input],
            outputs=[_describe(value) for value in model.graph.output],
        )
    (folder / WEIGHTS).write_bytes(b"".join(weights.chunks))
    for graph in described.values():
        onnx.checker.check_model(str(folder / graph.file))
    return described


def to_onnx(source: GraphSource) -> ModelProto:
    """Trace a module with its symbolic axes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter deprecates its own calls
        program = torch.onnx.export(
            source.module.eval(),
            tuple(source.inputs.values()),
            dynamo=True,
            input_names=list(source.inputs),
            output_names=source.outputs,
            dynamic_shapes=_dynamic_shapes(source),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    if source.body:
        unfold(model, to_onnx(source.body))
    return model


def _dynamic_shapes(source: GraphSource) -> tuple[object, ...]:
    axes = [source.axes[name] for name in source.inputs]
    named = source.module.forward.__code__.co_argcount - 1
    starred = source.module.forward.__code__.co_flags & 0x04  # the module takes *args
    return (*axes[:named], tuple(axes[named:])) if starred else tuple(axes)


def _key(array: np.ndarray) -> tuple[object, ...]:
    return array.shape, array.dtype.str, hashlib.sha256(array.tobytes()).digest()


class SharedWeights:
    """The content of weights.bin: equal tensors of all graphs are stored once."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.offsets: dict[tuple[object, ...], int] = {}

    def move(self, graph: onnx.GraphProto) -> None:
        """Replace the graph's large initialisers by references into the file."""
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.nbytes >= INLINE:
                data = array.tobytes()
                offset = self._place(_key(array), data)
                tensor.ClearField("raw_data")
                tensor.ClearField("float_data")
                onnx.external_data_helper.set_external_data(_with_raw(tensor), WEIGHTS, offset, len(data))
                tensor.ClearField("raw_data")

    def _place(self, key: tuple[object, ...], data: bytes) -> int:
        if key not in self.offsets:
            self.offsets[key] = self.size
            padded = data + b"\0" * (-len(data) % ALIGNMENT)
            self.chunks.append(padded)
            self.size += len(padded)
        return self.offsets[key]


def _with_raw(tensor: TensorProto) -> TensorProto:
    # set_external_data insists on raw_data being present
    tensor.raw_data = b""
    return tensor


def _describe(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    return Tensor(name=value.name, dtype=DTYPES[int(kind.elem_type)], shape=shape)  # type: ignore[arg-type]
