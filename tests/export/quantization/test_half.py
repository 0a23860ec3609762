"""fp16: types, precision where it matters, the total length of attention, and answers that differ from fp32."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.checks.half import check_answers
from export.checks.parity import ParityError
from export.graphs.onnx_writer import WEIGHTS
from export.quantization.half import to_half
from service.artifact import Artifact, read_artifact
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from tests.contract.test_invariance import random_sources


def test_artifact_says_its_precision_and_the_types_of_its_tensors(
    toy_translator: Path, toy_translator_fp16: Path
) -> None:
    manifest = read_artifact(toy_translator_fp16).manifest
    assert manifest.precision == "fp16"
    assert {state.dtype for state in manifest.state} == {"float16"}
    logits = next(tensor for tensor in manifest.graphs["step"].outputs if tensor.name == "logits")
    assert logits.dtype == "float32"
    assert {tensor.dtype for tensor in manifest.graphs["encode"].outputs} == {"float16"}
    assert {e.precision for e in manifest.evaluation if e.split.startswith("gate")} == {"fp32", "fp16"}
    sizes = [(path / WEIGHTS).stat().st_size for path in (toy_translator_fp16, toy_translator)]
    assert sizes[0] < 0.6 * sizes[1]


def test_attention_of_a_step_needs_no_length_from_the_device(toy_translator_fp16: Path) -> None:
    graph = onnx.load(toy_translator_fp16 / "step.onnx", load_external_data=False).graph
    producer = {name: node for node in graph.node for name in node.output}
    attentions = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    assert len(attentions) == 4
    for node in attentions:
        cast = producer[producer[node.input[6]].input[0]]
        assert producer[cast.input[0]].op_type == "Shape"
    assert "ReduceMax" not in {node.op_type for node in graph.node}


@pytest.mark.parametrize("name", ["translator", "classifier"])
def test_outputs_are_close_to_those_in_fp32(name: str, request: pytest.FixtureRequest) -> None:
    fp32, fp16 = (read_artifact(request.getfixturevalue(f"toy_{name}{ending}")) for ending in ("", "_fp16"))
    graph, output = ("classify", "probability") if name == "classifier" else ("score", "log_probability")
    found = []
    for artifact in (fp32, fp16):
        session, sources = Session(artifact.graph(graph), 1), random_sources(artifact, 20)
        inputs = SourceFormat.of(session, artifact.manifest.special_tokens.pad).arrays(sources)
        if graph == "score":
            inputs |= {part: np.random.default_rng(1).integers(4, 200, (20, 30)) for part in ("target", "label")}
        found.append(session.run(inputs)[output])
    assert found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], found[0], atol=0.05, rtol=0.02)
    assert np.abs(found[1] - found[0]).max() > 0


def test_different_answers_are_refused(toy_translator: Path, toy_translator_fp16: Path, tmp_path: Path) -> None:
    fp32, fp16 = read_artifact(toy_translator), read_artifact(toy_translator_fp16)
    sources = random_sources(fp32, 12)
    check_answers(fp32, fp32, sources)
    shutil.copytree(fp16.path, broken := tmp_path / "broken")
    weights = np.fromfile(broken / WEIGHTS, np.float16)
    (-weights).tofile(broken / WEIGHTS)
    with pytest.raises(ParityError, match=r"fp16: \d+ of 12 answers differ from those in fp32, allowed are 0.5%"):
        check_answers(fp32, Artifact(broken, fp16.manifest), sources)


def test_sums_and_the_last_softmax_stay_in_fp32() -> None:
    """The sum of 4,000 ones is exact, and a probability has more digits than fp16."""
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["sums"]),
        helper.make_node("Mul", ["sums", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["wide"]),
        helper.make_node("Reshape", ["wide", "shape"], ["probability"]),
    ]
    constants = {"axis": np.array(1), "scale": np.array(0.001, np.float32), "shape": np.array([-1])}
    kinds = {"x": [1, 4000], "sums": [1, 4000], "scaled": [1, 4000], "wide": [1, 4000], "probability": [4000]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in kinds.items()}
    graph = helper.make_graph(
        nodes, "sums", [values.pop("x")], [values.pop("probability")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()], value_info=list(values.values()),
    )  # fmt: skip
    half = to_half(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), {"x"})
    kept = [node.op_type for node in half.graph.node]
    assert kept == ["Cast", "CumSum", "Cast", "Mul", "Cast", "Softmax", "Reshape"]
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert numpy_helper.to_array(half.graph.initializer[1]).dtype == np.float16
