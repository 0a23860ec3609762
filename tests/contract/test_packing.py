"""Packed sources: a group of any lengths gives what padded sources give, and artifacts without packing are served."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from service.engine.types import EngineRequest
from tests.contract.test_invariance import comparable, engines_of, options_of, random_sources

Change = Callable[[ModelProto], None]
PACKING = ("pack_index", "unpack_index")


def changed(artifact: Artifact, folder: Path, graph: str, change: Change) -> Artifact:
    """Return a copy of an artifact in which one graph is changed."""
    shutil.copytree(artifact.path, folder, dirs_exist_ok=True)
    model = onnx.load(artifact.graph(graph), load_external_data=False)
    change(model)
    onnx.save(model, folder / f"{graph}.onnx")
    return Artifact(folder, artifact.manifest)


def pad_every_source(model: ModelProto) -> None:
    """Let a graph read sources without packing, like graphs of earlier exports: padding counts as tokens."""
    inputs = [tensor for tensor in model.graph.input if tensor.name not in PACKING]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for name, value in (("zero", 0), ("one", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    nodes = [
        helper.make_node("Shape", ["source"], ["shape"]),
        helper.make_node("Size", ["source"], ["size"]),
        helper.make_node("Range", ["zero", "size", "one"], ["pack_index"]),
        helper.make_node("Reshape", ["pack_index", "shape"], ["unpack_index"]),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


@pytest.mark.parametrize(
    ("name", "graph"),
    [("toy_translator", "encode"), ("toy_translator_int8", "encode"), ("toy_classifier_int8", "classify")],
)
def test_artifact_without_packing_gives_the_same_answers(
    name: str, graph: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    packed = read_artifact(request.getfixturevalue(name))
    padded = changed(packed, tmp_path, graph, pad_every_source)
    sources, options = random_sources(packed, 80), options_of(packed, 80)
    answers = []
    for artifact in (packed, padded):
        [engine] = engines_of(artifact)(1, 16)
        lengths = [EngineRequest([5] * n) for n in (1, 40)]
        assert len(engine.divide(lengths)) == (1 if artifact is packed else 2)
        requests = [EngineRequest(ids, one) for ids, one in zip(sources, options, strict=True)]
        answers.append([comparable(result) for result in run_requests([engine], requests, rows=16)])
    assert answers[0] == answers[1]


def test_values_that_are_not_numbers_stay_in_their_row(toy_translator: Path, tmp_path: Path) -> None:
    artifact = read_artifact(toy_translator)
    poison = 7

    def poison_embedding(model: ModelProto) -> None:
        onnx.external_data_helper.load_external_data_for_model(model, str(toy_translator))
        [embedding] = [node.input[0] for node in model.graph.node if list(node.input[1:]) == ["source"]]
        [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == embedding]
        array = numpy_helper.to_array(tensor).copy()
        array[poison] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(array, embedding))

    encode = Session(changed(artifact, tmp_path, "encode", poison_embedding).graph("encode"), threads=1)
    read, sound = SourceFormat.of(encode, 0), [5, 6, 8]
    alone = encode.run(read.arrays([sound]))
    for sources in ([sound, [poison] * 9], [[poison] * 9, sound], [[poison], sound]):
        row = sources.index(sound)
        for name, expected in alone.items():
            together = encode.run(read.arrays(sources))[name]
            np.testing.assert_array_equal(together[row, :, : len(sound)], expected[0])
            assert np.isnan(together[1 - row, :, :1]).all()
