"""Artifacts: reading reports all problems at once; publishing succeeds completely or changes nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.artifact import ArtifactError, publish, read_artifact, sha256, write_manifest

Table = dict[str, Any]


@pytest.fixture
def artifact(toy_translator: Path, tmp_path: Path) -> Path:
    """A copy for the test to damage."""
    return shutil.copytree(toy_translator, tmp_path / "toy")


def change(artifact: Path, edit: Callable[[Table], object]) -> None:
    file = artifact / "manifest.json"
    table = json.loads(file.read_text("utf-8"))
    edit(table)
    file.write_text(json.dumps(table), "utf-8")


def rejection(artifact: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_artifact(artifact)
    assert str(artifact) in str(caught.value)
    return str(caught.value)


def test_artifact_is_read(toy_translator: Path) -> None:
    artifact = read_artifact(toy_translator)
    assert artifact.manifest.name == "toy-translator"
    assert [(d.source, d.target) for d in artifact.manifest.directions] == [("a", "b"), ("b", "a")]
    assert artifact.graph("step").is_file()
    assert artifact.tokenizer.is_file()


def test_manifest_is_equal_after_writing_and_reading(toy_translator: Path, artifact: Path) -> None:
    manifest = read_artifact(toy_translator).manifest
    write_manifest(artifact, manifest)
    assert read_artifact(artifact).manifest == manifest


def test_manifest_of_format_2_is_upgraded_on_reading(toy_translator: Path, artifact: Path) -> None:
    def downgrade(table: Table) -> None:
        table["marks"] = table.pop("special_tokens")
        table["format"] = 2

    change(artifact, downgrade)
    assert read_artifact(artifact).manifest == read_artifact(toy_translator).manifest


@pytest.mark.parametrize("content", [None, "notes"])
def test_folder_without_manifest_is_rejected(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "readme.txt").write_text(content, "utf-8")
    assert "not an artifact (no manifest.json)" in rejection(tmp_path)


@pytest.mark.parametrize("content", [b'{"format": 1, "na', b"\xff\xfe", b"", b"[" * 100_000])
def test_damaged_manifest_is_rejected(artifact: Path, content: bytes) -> None:
    (artifact / "manifest.json").write_bytes(content)
    assert "manifest.json cannot be read" in rejection(artifact)


def test_manifest_that_is_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    assert "manifest.json cannot be read" in rejection(tmp_path)


@pytest.mark.parametrize("tokens", [["a", "a"], ["a", ""]])
def test_placeholder_tokens_that_are_not_different_texts_are_rejected(artifact: Path, tokens: list[str]) -> None:
    change(artifact, lambda table: table.update(placeholder_tokens=tokens))
    assert "are not different texts" in rejection(artifact)


@pytest.mark.parametrize("number", [0, 1, 4, "2", None, True])
def test_unknown_format_is_rejected_with_a_remedy(artifact: Path, number: object) -> None:
    change(artifact, lambda table: table.update(format=number))
    message = rejection(artifact)
    assert f"format {number!r} is unknown" in message
    assert "export it again" in message


def test_manifest_that_is_not_an_object_is_rejected(artifact: Path) -> None:
    (artifact / "manifest.json").write_text("[1]", "utf-8")
    assert "format None is unknown" in rejection(artifact)


def test_all_schema_errors_are_reported_together(artifact: Path) -> None:
    def edit(table: Table) -> None:
        table["colour"] = "red"
        table["special_tokens"]["eos"] = "two"
        del table["limits"]["source_length"]

    change(artifact, edit)
    message = rejection(artifact)
    assert "colour: Extra inputs are not permitted" in message
    assert "special_tokens.eos: Input should be a valid integer" in message
    assert "limits.source_length: Field required" in message


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("limits", {"source_length": 48, "target_length": 1e9}, "limits.target_length is 1000000000.0: Input should"),
        ("limits", {"source_length": 10**30, "target_length": 1}, "limits.source_length is 1000000000000000000000"),
        ("special_tokens", {"pad": 0, "unk": 1, "bos": 10**12, "eos": 3}, "special_tokens.bos is 1000000000000: Input"),
        ("special_tokens", {"pad": -1, "unk": 1, "bos": 2, "eos": 3}, "special_tokens.pad is -1: Input should be"),
        ("labels", ["a" * 1001], "labels.0: String should have at most 1000 characters"),
        ("directions", [{"source": "a", "target": "b", "prefix": [2**40]}], "directions.0.prefix.0 is 1099511627776"),
    ],
)
def test_sizes_out_of_range_are_rejected(artifact: Path, member: str, value: object, message: str) -> None:
    change(artifact, lambda table: table.update({member: value}))
    assert message in rejection(artifact)


@pytest.mark.parametrize("axis", [0, -1, 2**20 + 1, 10**12])
def test_axis_out_of_range_is_rejected(artifact: Path, axis: int) -> None:
    change(artifact, lambda table: table["state"][0]["shape"].__setitem__(1, axis))
    assert f"an axis of {axis} elements; use 1 to {2**20}" in rejection(artifact)


def test_states_of_a_row_that_are_too_large_are_rejected(artifact: Path) -> None:
    change(artifact, lambda table: table["state"][0].update(shape=["B", 2**20, "T", 2**20]))
    assert "bytes at full length; at most 4000000000 are supported: export the model again" in rejection(artifact)


@pytest.mark.parametrize("content", [b'{"format": ' + b"9" * 5000 + b"}", b" " * 32_000_001])
def test_manifest_that_is_too_large_is_rejected(artifact: Path, content: bytes) -> None:
    (artifact / "manifest.json").write_bytes(content)
    assert "manifest.json" in rejection(artifact)


def test_error_has_the_name_of_the_model(artifact: Path) -> None:
    (artifact / "weights.bin").unlink()
    with pytest.raises(ArtifactError) as missing:
        read_artifact(artifact)
    change(artifact, lambda table: table.update(limits={}))
    with pytest.raises(ArtifactError) as invalid:
        read_artifact(artifact)
    assert missing.value.model == invalid.value.model == "toy-translator"


def test_all_problems_of_files_and_content_are_reported_together(artifact: Path) -> None:
    (artifact / "tokenizer.json").unlink()
    (artifact / "weights.bin").write_bytes((artifact / "weights.bin").read_bytes()[:-1] + b"\x07")

    def edit(table: Table) -> None:
        table["name"] = "Toy Model"
        table["files"]["../../etc/passwd"] = "0" * 64
        del table["files"]["encode.onnx"], table["graphs"]["score"]
        table["directions"] = []
        table["state"][0]["input"] = "elsewhere"
        table["state"][1]["output"] = "nowhere"

    change(artifact, edit)
    message = rejection(artifact)
    for problem in (
        "tokenizer.json is missing",
        "weights.bin has sha256 ",
        "'../../etc/passwd' is not a plain file name",
        "encode.onnx is not listed in files",
        "needs the graph 'score'",
        "name 'Toy Model' is not made of",
        "no directions",
        "state elsewhere is not an input of step",
        "state nowhere is not an output of step",
    ):
        assert problem in message


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/passwd", "a/../weights.bin", "weights.bin/"])
def test_file_names_with_a_path_are_rejected(artifact: Path, name: str) -> None:
    change(artifact, lambda table: table["files"].update({name: "0" * 64}))
    assert f"{name!r} is not a plain file name" in rejection(artifact)


def test_error_names_a_file_that_cannot_be_read(artifact: Path) -> None:
    (artifact / "weights.bin").unlink()
    (artifact / "weights.bin").symlink_to("/proc/self/mem")  # reading its first byte is an error, even for root
    assert "weights.bin cannot be read" in rejection(artifact)


def test_classifier_needs_two_labels_and_a_probability_for_each(toy_classifier: Path, tmp_path: Path) -> None:
    artifact = shutil.copytree(toy_classifier, tmp_path / "toy")
    change(artifact, lambda table: table.update(labels=["one"]))
    message = rejection(artifact)
    assert "fewer than two labels" in message
    assert "classify writes 3 probabilities for 1 labels" in message


def test_graphs_must_have_the_outputs_that_the_engine_reads(artifact: Path) -> None:
    def edit(table: Table) -> None:
        graphs = table["graphs"]
        graphs["step"]["outputs"] = [t for t in graphs["step"]["outputs"] if t["name"] != "logits"]
        graphs["encode"]["outputs"] = graphs["encode"]["outputs"][1:]

    change(artifact, edit)
    message = rejection(artifact)
    assert "step does not write logits" in message
    assert "state cross_key_0 is not an output of encode" in message


def test_state_must_have_the_same_dtype_in_all_graphs(artifact: Path) -> None:
    def edit(table: Table) -> None:
        states = {state["input"]: state for state in table["state"]}
        states["self_key_0"]["dtype"] = states["cross_key_0"]["dtype"] = "int8"

    change(artifact, edit)
    message = rejection(artifact)
    assert "state self_key_0 is int8, but float32 as an input of step" in message
    assert "state self_key_0_out is int8, but float32 as an output of step" in message
    assert "state cross_key_0 is int8, but float32 as an output of encode" in message


def test_state_of_an_unknown_dtype_is_rejected(artifact: Path) -> None:
    change(artifact, lambda table: table["state"][0].update(dtype="int4"))
    assert "state.0.dtype: Input should be 'float32', 'float16' or 'int8'" in rejection(artifact)


def write_toy(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)


def test_publish_renames_a_complete_folder(toy_translator: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "toy"
    with publish(target) as folder:
        write_toy(toy_translator, folder)
        assert not target.exists()
    assert read_artifact(target).manifest.name == "toy-translator"
    assert os.listdir(target.parent) == ["toy"]


def write_half(folder: Path) -> None:
    (folder / "half.onnx").write_bytes(b"half")
    raise RuntimeError("out of luck")


def test_failed_publish_changes_nothing(artifact: Path) -> None:
    before = sha256(artifact / "manifest.json")
    with pytest.raises(RuntimeError, match="out of luck"), publish(artifact) as folder:
        write_half(folder)
    assert os.listdir(artifact.parent) == ["toy"]
    assert sha256(artifact / "manifest.json") == before


def test_publish_replaces_an_existing_artifact(toy_classifier: Path, artifact: Path) -> None:
    with publish(artifact) as folder:
        write_toy(toy_classifier, folder)
    assert read_artifact(artifact).manifest.task == "classify"
    assert not (artifact / "step.onnx").exists()
    assert os.listdir(artifact.parent) == ["toy"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_publish_never_replaces_anything_but_an_artifact(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
        (target / "chapter1.txt").write_text("years of work", "utf-8")
    else:
        target.write_text("years of work", "utf-8")
    with pytest.raises(ArtifactError, match="exists and is not an artifact"), publish(target):
        pytest.fail("nothing may be written")
    assert os.listdir(tmp_path) == ["thesis"]
