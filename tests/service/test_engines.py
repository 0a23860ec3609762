"""The real engines under the real worker: recurrent state, recovery from a failed step; and paired tokenisers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.artifact import Artifact, Graph, State, Tensor, read_artifact
from service.engine.classify import ClassifyEngine
from service.engine.scheduler import Answer, Bounds, Scheduler, Ticket
from service.engine.translate import TranslateEngine
from service.engine.worker import Engine, EngineFailure, Worker
from service.text.tokenizer import TextCodec
from tests.service.fakes import PATIENCE, Failing, Record

Tensors = dict[str, tuple[Any, list[int | str]]]
SOURCE: Tensors = {"source": ("int64", ["B", "S"]), "source_length": ("int32", ["B"])}
CELL: Tensors = {"cell": ("float32", ["B", 1])}
ROW: Tensors = {"token": ("int64", ["B"]), "position": ("int32", ["B"]), "source_length": ("int32", ["B"])}
ONNX = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}


def serve(engine: Engine, tickets: list[Ticket], rows: int = 4) -> list[Ticket]:
    """The tickets, answered or failed."""
    worker = Worker("test", engine, Scheduler(Bounds(rows=rows)), Record())
    worker.start()
    for ticket in tickets:
        worker.scheduler.submit([ticket])
    assert worker.drain(PATIENCE)
    return tickets


def write_graph(file: Path, nodes: list[Any], inputs: Tensors, outputs: Tensors, **constants: np.ndarray) -> Graph:
    def values(tensors: Tensors) -> list[Any]:
        return [helper.make_tensor_value_info(name, ONNX[dtype], shape) for name, (dtype, shape) in tensors.items()]

    def described(tensors: Tensors) -> list[Tensor]:
        return [Tensor(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in tensors.items()]

    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, file.stem, values(inputs), values(outputs), fixed)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    return Graph(file=file.name, inputs=described(inputs), outputs=described(outputs))


@pytest.fixture
def countdown(toy_translator: Path, tmp_path: Path) -> Artifact:
    """A recurrent model: its cell starts at the source's length, every step takes one away, at zero it ends."""
    encode = write_graph(
        tmp_path / "encode.onnx",
        [
            helper.make_node("Cast", ["source_length"], ["length"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["length", "axis"], ["cell"]),
        ],
        SOURCE, CELL, axis=np.array([1]),
    )  # fmt: skip
    step = write_graph(
        tmp_path / "step.onnx",
        [
            helper.make_node("Sub", ["cell", "one"], ["cell_out"]),
            helper.make_node("Gemm", ["cell_out", "weight", "bias"], ["logits"]),
        ],
        ROW | CELL, {"logits": ("float32", ["B", 4]), "cell_out": ("float32", ["B", 1])},
        one=np.ones((1, 1), np.float32), weight=np.array([[0, 0, 0, -1]], np.float32),
        bias=np.array([0, 0.5, 0, 1], np.float32),
    )  # fmt: skip
    state = State(input="cell", output="cell_out", dtype="float32", shape=["B", 1], kind="replaced")
    graphs = {"encode": encode, "step": step}
    manifest = read_artifact(toy_translator).manifest
    return Artifact(tmp_path, manifest.model_copy(update={"graphs": graphs, "state": [state]}))


def test_a_recurrent_model_runs_through_the_same_scheduler(countdown: Artifact) -> None:
    lengths = [5, 1, 9, 3, 3, 12, 2, 7]
    tickets = serve(TranslateEngine(countdown, 3, 1), [Ticket([4] * n, max_length=40) for n in lengths], rows=3)
    assert [ticket.future.result().ids for ticket in tickets] == [[1] * (n - 1) for n in lengths]


def fail_once(engine: Any) -> Any:
    """The engine, its first step failing after its work was begun."""
    step, fault = engine.step, Failing(1)

    def failing() -> Any:
        fault()
        return step()

    engine.step = failing
    return engine


@pytest.mark.parametrize(
    ("artifact", "build"),
    [("toy_translator", lambda a: TranslateEngine(a, 4, 1)), ("toy_classifier", lambda a: ClassifyEngine(a, 1))],
)
def test_nothing_of_a_failed_step_remains(
    artifact: str, build: Callable[[Artifact], Engine], request: pytest.FixtureRequest
) -> None:
    checked = read_artifact(request.getfixturevalue(artifact))

    def tickets() -> list[Ticket]:
        return [Ticket([5, 20 + n, 30, 3], max_length=6) for n in range(9)]

    def outcome(answer: Answer) -> tuple[list[int], list[float]]:
        return answer.ids, answer.probabilities

    undisturbed = serve(build(checked), tickets())
    disturbed = serve(fail_once(build(checked)), tickets())
    failed = [isinstance(ticket.future.exception(), EngineFailure) for ticket in disturbed]
    assert 1 <= sum(failed) <= 4
    for one, other in zip(undisturbed[sum(failed) :], disturbed[sum(failed) :], strict=True):
        assert outcome(other.future.result()) == outcome(one.future.result())


def test_separate_tokenisers_for_source_and_target(toy_translator: Path, toy_classifier: Path, tmp_path: Path) -> None:
    manifest, file = read_artifact(toy_translator).manifest, tmp_path / "tokenizer.json"
    source, target = (json.loads((a / "tokenizer.json").read_text("utf-8")) for a in (toy_classifier, toy_translator))
    file.write_text(json.dumps({"source": source, "target": target}), "utf-8")
    both = TextCodec(file, manifest)
    reading, writing = (TextCodec(a / "tokenizer.json", manifest) for a in (toy_classifier, toy_translator))
    assert both.encode(["red house"], [7], closed=True) == reading.encode(["red house"], [7], closed=True)
    ids = writing.encode(["rot Haus"], [], closed=True)
    assert both.decode(ids) == writing.decode(ids) == ["rot Haus"]
