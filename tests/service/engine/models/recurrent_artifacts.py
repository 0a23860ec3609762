"""Small recurrent artifacts, built node by node: every state is replaced in every step."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graphs.topk import select_graph
from service.artifact import Artifact, Graph, Manifest, State, Tensor

Tensors = dict[str, tuple[Any, list[int | str]]]
SOURCE: Tensors = {"source": ("int64", ["B", "S"]), "source_length": ("int32", ["B"])}
ROW: Tensors = {"token": ("int64", ["B"]), "position": ("int32", ["B"]), "source_length": ("int32", ["B"])}
ONNX = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}


def write_graph(file: Path, nodes: list[Any], inputs: Tensors, outputs: Tensors, **constants: np.ndarray) -> Graph:
    def values(tensors: Tensors) -> list[Any]:
        return [helper.make_tensor_value_info(name, ONNX[dtype], shape) for name, (dtype, shape) in tensors.items()]

    def tensors_of(tensors: Tensors) -> list[Tensor]:
        return [Tensor(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in tensors.items()]

    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, file.stem, values(inputs), values(outputs), fixed)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    return Graph(file=file.name, inputs=tensors_of(inputs), outputs=tensors_of(outputs))


def write_artifact(folder: Path, manifest: Manifest, width: int, vocabulary: int, encode: Any, step: Any) -> Artifact:
    """Write an artifact with one state (B, D); `encode` and `step` are the (nodes, constants) of its graphs."""
    cell: Tensors = {"cell": ("float32", ["B", width])}
    written: Tensors = {"logits": ("float32", ["B", vocabulary]), "cell_out": ("float32", ["B", width])}
    onnx.save(select_graph(vocabulary), folder / "select.onnx")
    graphs = {
        "encode": write_graph(folder / "encode.onnx", encode[0], SOURCE, cell, **encode[1]),
        "step": write_graph(folder / "step.onnx", step[0], ROW | cell, written, **step[1]),
        "select": Graph(file="select.onnx", inputs=[], outputs=[]),
    }
    state = State(input="cell", output="cell_out", dtype="float32", shape=["B", width], kind="replaced")
    return Artifact(folder, manifest.model_copy(update={"graphs": graphs, "state": [state]}))


def countdown_artifact(folder: Path, manifest: Manifest) -> Artifact:
    """Write an artifact whose state counts down from the source length, one per step; at zero the output ends."""
    encode = [
        helper.make_node("Cast", ["source_length"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["length", "axis"], ["cell"]),
    ]
    step = [
        helper.make_node("Sub", ["cell", "one"], ["cell_out"]),
        helper.make_node("Gemm", ["cell_out", "weight", "bias"], ["logits"]),
    ]
    constants = {
        "one": np.ones((1, 1), np.float32),
        "weight": np.array([[0, 0, 0, -1]], np.float32),
        "bias": np.array([0, 0.5, 0, 1], np.float32),
    }
    return write_artifact(folder, manifest, 1, 4, (encode, {"axis": np.array([1])}), (step, constants))


class DecayingMemoryModel:
    """A recurrent model in numpy: its state is a sum of all token embeddings, halved in every step."""

    def __init__(self, vocabulary: int = 20, width: int = 8) -> None:
        generator = np.random.default_rng(1)
        self.embedding = generator.normal(size=(vocabulary, width)).astype(np.float32)
        self.output = generator.normal(size=(width, vocabulary)).astype(np.float32)
        self.half = np.array(0.5, np.float32)

    def logits(self, source: list[int], read: list[int]) -> np.ndarray:
        """Return the logits (V,) of the next token after these tokens, the begin token first."""
        cell = self.embedding[source[0]]
        for token in read:
            cell = self.half * cell + self.embedding[token]
        line: np.ndarray = cell @ self.output
        return line

    def artifact(self, folder: Path, manifest: Manifest) -> Artifact:
        """Write the artifact of this model."""
        encode = [
            helper.make_node("Gather", ["source", "first"], ["begin"], axis=1),  # (B,)
            helper.make_node("Gather", ["embedding", "begin"], ["cell"]),
        ]
        step = [
            helper.make_node("Gather", ["embedding", "token"], ["read"]),
            helper.make_node("Mul", ["cell", "half"], ["faded"]),
            helper.make_node("Add", ["faded", "read"], ["cell_out"]),
            helper.make_node("MatMul", ["cell_out", "output"], ["logits"]),
        ]
        vocabulary, width = self.embedding.shape
        begin = {"first": np.array(0), "embedding": self.embedding}
        constants = {"embedding": self.embedding, "half": self.half, "output": self.output}
        return write_artifact(folder, manifest, width, vocabulary, (encode, begin), (step, constants))
