"""Trace modules to ONNX and write the graphs; all of them share one file of weights."""

import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch._dynamo.config
from onnx import ModelProto, TensorProto, numpy_helper

from export.graphs.scan import insert_scan
from export.graphs.spec import GraphSpec
from service.artifact import Graph, Tensor

OPSET = 20
WEIGHTS = "weights.bin"
INLINE_BYTES = 1024  # smaller constants stay in the graph
ALIGNMENT = 64  # bytes
DTYPES = {
    int(TensorProto.FLOAT): "float32",
    int(TensorProto.FLOAT16): "float16",
    int(TensorProto.INT64): "int64",
    int(TensorProto.INT32): "int32",
    int(TensorProto.INT8): "int8",
}


def write_graphs(models: dict[str, ModelProto], folder: Path) -> dict[str, Graph]:
    """Write every graph and the file of weights into the folder; return the graphs' inputs and outputs."""
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


def to_onnx(spec: GraphSpec) -> ModelProto:
    """Trace a module, with symbolic names for its dynamic axes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # Hardly any operation is traced twice with the same shapes: a cache of them takes more time than it saves.
    no_cache = torch._dynamo.config.patch(fake_tensor_cache_enabled=False)
    with warnings.catch_warnings(), no_cache:
        warnings.simplefilter("ignore")  # the exporter calls deprecated functions of its own
        program = torch.onnx.export(
            spec.module.eval(),
            tuple(spec.inputs.values()),
            dynamo=True,
            input_names=list(spec.inputs),
            output_names=spec.outputs,
            dynamic_shapes=_dynamic_shapes(spec),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    if spec.loop_body:
        insert_scan(model, to_onnx(spec.loop_body))
    return model


def _dynamic_shapes(spec: GraphSpec) -> tuple[object, ...]:
    axes = [spec.axes[name] for name in spec.inputs]
    named = spec.module.forward.__code__.co_argcount - 1
    variadic = spec.module.forward.__code__.co_flags & 0x04  # the module takes *args
    return (*axes[:named], tuple(axes[named:])) if variadic else tuple(axes)


def _key(array: np.ndarray) -> tuple[object, ...]:
    return array.shape, array.dtype.str, hashlib.sha256(array.tobytes()).digest()


class SharedWeights:
    """The content of weights.bin; equal tensors are stored once, whichever graphs they are in."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.offsets: dict[tuple[object, ...], int] = {}

    def move(self, graph: onnx.GraphProto) -> None:
        """Move the graph's large initialisers into the file and leave references."""
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.nbytes >= INLINE_BYTES:
                data = array.tobytes()
                offset = self._store(_key(array), data)
                tensor.ClearField("raw_data")
                tensor.ClearField("float_data")
                onnx.external_data_helper.set_external_data(_with_raw(tensor), WEIGHTS, offset, len(data))
                tensor.ClearField("raw_data")

    def _store(self, key: tuple[object, ...], data: bytes) -> int:
        if key not in self.offsets:
            self.offsets[key] = self.size
            padded = data + b"\0" * (-len(data) % ALIGNMENT)
            self.chunks.append(padded)
            self.size += len(padded)
        return self.offsets[key]


def _with_raw(tensor: TensorProto) -> TensorProto:
    # set_external_data fails without raw_data
    tensor.raw_data = b""
    return tensor


def _describe(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    return Tensor(name=value.name, dtype=DTYPES[int(kind.elem_type)], shape=shape)  # type: ignore[arg-type]
