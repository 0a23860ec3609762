"""The artifact: the one contract between export and service. The reader owns it; export writes through it.

An artifact is a folder {manifest.json, *.onnx, weights.bin, tokenizer.json, MODEL_CARD.md}. It is published by a
rename, manifest included, so a folder without a manifest is no artifact. Reading checks everything and reports all
faults at once. Nothing is ever unpickled.

Graphs by task, their tensors by name (B rows, S source length, T target length, D width, V vocabulary, L layers):
  translate  encode    source (B, S) int64, source_length (B,) int32 -> every `constant` and `replaced` state
             step      token (B,) int64, position (B,) int32 (target tokens before this step), source_length (B,) int32,
                       every state -> logits (B, V), every state's output
             select    logits (B, V), count (1,) int64 -> token (B, C) int64, log_probability (B, C), best first
             score     source, source_length, target (B, T) int64, label (B, T) int64
                       -> log_probability (B, T), cross_attention (B, L, T, S) if the decoder has any
  classify   classify  source, source_length -> probability (B, labels)
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = 3
MANIFEST = "manifest.json"
GRAPHS = {"translate": ("encode", "step", "select", "score"), "classify": ("classify",)}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class ArtifactError(ValueError):
    """An artifact that cannot be served; the message lists every fault found."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(_Part):
    """An input or output of a graph; symbolic axes are named, the others are numbers."""

    name: str
    dtype: Literal["float32", "int64", "int32", "int8"]
    shape: list[int | str]


class Graph(_Part):
    """One ONNX file."""

    file: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class State(_Part):
    """An array that belongs to a row of the running batch.

    `growing`: a cache the step appends to in place, its third axis is capacity. `constant`: computed once by encode.
    `replaced`: computed by encode, then anew by every step. int8 is a cache quantised by scales inside the graphs.
    """

    input: str
    output: str
    dtype: Literal["float32", "int8"]
    shape: list[int | str]
    kind: Literal["growing", "constant", "replaced"]


class Direction(_Part):
    """A translation direction, with the ids that go before the source to ask for it."""

    source: str
    target: str
    prefix: list[int]


class SpecialTokens(_Part):
    """Special token ids."""

    pad: int
    unk: int
    bos: int
    eos: int


class Limits(_Part):
    """Longest sequences in tokens, special tokens included."""

    source_length: int = Field(ge=1)
    target_length: int = Field(ge=1)


class Evaluation(_Part):
    """A figure that the artifact was published with."""

    data: str
    split: str
    metric: str
    value: float
    signature: str = ""
    precision: str = "fp32"


class Parity(_Part):
    """What the export proved: largest differences in logits over the sentences compared, and equal greedy ids."""

    sentences: int
    cached: float
    onnx: float
    tolerance: float


class Provenance(_Part):
    """Where the weights come from."""

    description: str
    recipe: dict[str, object]
    licence: str


class Manifest(_Part):
    """The table of contents, see the module's docstring."""

    format: int
    name: str
    version: str
    task: Literal["translate", "classify"]
    directions: list[Direction] = []
    labels: list[str] = []
    files: dict[str, str]
    special_tokens: SpecialTokens
    limits: Limits
    graphs: dict[str, Graph]
    state: list[State] = []
    precision: Literal["fp32", "int8"]
    evaluation: list[Evaluation] = []
    parity: Parity
    provenance: Provenance

    @property
    def vocabulary(self) -> int:
        """Target tokens that the step graph chooses among."""
        return int(_width(self.graphs["step"], "logits") or 0)


@dataclass(frozen=True)
class Artifact:
    """A folder that has been checked."""

    path: Path
    manifest: Manifest

    def graph(self, name: str) -> Path:
        return self.path / self.manifest.graphs[name].file

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"


def read_artifact(path: Path) -> Artifact:
    """Read and check an artifact folder: schema, files, hashes, graphs of its task.

    Raises:
        ArtifactError: with every fault found.
    """
    manifest = _parse(path)
    faults = _file_faults(path, manifest) + _content_faults(manifest)
    if faults:
        raise ArtifactError(f"{path}: " + "; ".join(faults))
    return Artifact(path, manifest)


def _parse(path: Path) -> Manifest:
    try:
        table = json.loads((path / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: not an artifact (no {MANIFEST})") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {MANIFEST} cannot be read: {error}") from None
    version = table.get("format") if isinstance(table, dict) else None
    if type(version) is int and version == 2 and "marks" in table:  # format 3 only renamed this key
        table["special_tokens"], version = table.pop("marks"), FORMAT
        table["format"] = FORMAT
    if type(version) is not int or version != FORMAT:
        raise ArtifactError(
            f"{path}: format {version!r} is unknown, this service reads format {FORMAT}; export it again"
        )
    try:
        return Manifest.model_validate(table)
    except ValidationError as error:
        places = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ArtifactError(f"{path}: {MANIFEST}: " + "; ".join(places)) from None


def _file_faults(path: Path, manifest: Manifest) -> list[str]:
    wanted = {graph.file for graph in manifest.graphs.values()} | {"tokenizer.json"}
    faults = [f"{name} is not listed in files" for name in sorted(wanted - manifest.files.keys())]
    return faults + [fault for item in manifest.files.items() if (fault := _file_fault(path, *item))]


def _file_fault(path: Path, name: str, expected: str) -> str | None:
    if name in ("", "..") or Path(name).name != name:
        return f"{name!r} is not a plain file name"
    if not (path / name).is_file():
        return f"{name} is missing"
    try:
        found = sha256(path / name)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None if found == expected else f"{name} has sha256 {found[:12]}…, the manifest says {expected[:12]}…"


def _content_faults(manifest: Manifest) -> list[str]:
    faults = [
        f"a {manifest.task} artifact needs the graph {name!r}"
        for name in GRAPHS[manifest.task]
        if name not in manifest.graphs
    ]
    if not NAME.fullmatch(manifest.name):
        faults.append(f"name {manifest.name!r} is not made of lower-case letters, digits, '.', '_' and '-'")
    return faults + (_translate_faults(manifest) if manifest.task == "translate" else _classify_faults(manifest))


def _translate_faults(manifest: Manifest) -> list[str]:
    faults = [] if manifest.directions else ["no directions"]
    if step := manifest.graphs.get("step"):
        for state in manifest.state:
            faults += _tensor_fault(state, state.input, step.inputs, "an input of step")
            faults += _tensor_fault(state, state.output, step.outputs, "an output of step")
        if not isinstance(_width(step, "logits"), int):
            faults.append("step does not write logits (B, V) with a V that is a number")
    if encode := manifest.graphs.get("encode"):
        for state in manifest.state:
            if state.kind != "growing":
                faults += _tensor_fault(state, state.input, encode.outputs, "an output of encode")
    return faults


def _tensor_fault(state: State, name: str, tensors: list[Tensor], place: str) -> list[str]:
    found = next((tensor for tensor in tensors if tensor.name == name), None)
    if found is None:
        return [f"state {name} is not {place}"]
    return [] if found.dtype == state.dtype else [f"state {name} is {state.dtype}, but {found.dtype} as {place}"]


def _classify_faults(manifest: Manifest) -> list[str]:
    labels, classify = len(manifest.labels), manifest.graphs.get("classify")
    faults = [] if labels >= 2 else ["fewer than two labels"]
    if classify and (width := _width(classify, "probability")) != labels:
        faults.append(f"classify writes {width} probabilities for {labels} labels")
    return faults


def _width(graph: Graph, output: str) -> int | str | None:
    """An output's last axis, None where there is no such output."""
    return next((t.shape[-1] for t in graph.outputs if t.name == output and t.shape), None)


def sha256(file: Path) -> str:
    """The file's hash in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """A folder to write an artifact into: renamed to `path` on success, removed on failure.

    An artifact already at `path` is replaced; anything else there is left alone and refused.
    """
    if path.exists() and not (path / MANIFEST).is_file():
        raise ArtifactError(f"{path}: exists and is not an artifact; choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    result = path.with_name(f".{path.name}.{os.getpid()}.draft")
    result.mkdir()
    try:
        yield result
        if path.exists():
            shutil.rmtree(path)
        os.rename(result, path)
    finally:
        shutil.rmtree(result, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of an artifact."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1, exclude_defaults=True), "utf-8")
