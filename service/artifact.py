"""The artifact, the only contract between export and service. The reader owns the schema; export writes through it.

An artifact is a folder {manifest.json, *.onnx, weights.bin, tokenizer.json, MODEL_CARD.md}. It is published by a single
rename, so a folder without a manifest is not an artifact. Reading checks everything and reports all problems at once.
No file of an artifact is unpickled.

Graphs by task, their tensors by name (B rows, S source length, T target length, D width, V vocabulary, L layers,
C candidates):
  translate  encode    source (B, S) int64, source_length (B,) int32 -> every `constant` and `replaced` state
             step      token (B,) int64, position (B,) int32 (target tokens before this step), source_length (B,) int32,
                       every state -> logits (B, V), every state's output
             select    logits (B, V), count (1,) int64 -> token (B, C) int64, log_probability (B, C), best first
             score     source, source_length, target (B, T) int64, label (B, T) int64
                       -> log_probability (B, T), cross_attention (B, L, T, S) if the decoder has attention
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
    """An artifact that cannot be served; the message lists every problem found."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(_Schema):
    """An input or output of a graph; in its shape, symbolic axes are names and fixed axes are numbers."""

    name: str
    dtype: Literal["float32", "int64", "int32", "int8"]
    shape: list[int | str]


class Graph(_Schema):
    """One ONNX file."""

    file: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class State(_Schema):
    """An array that belongs to a row of the running batch.

    `growing`: a cache that the step graph appends to in place; its third axis is its capacity. `constant`: computed
    once by encode. `replaced`: computed by encode, then by every step. int8: a cache quantised by scales in the graphs.
    """

    input: str
    output: str
    dtype: Literal["float32", "int8"]
    shape: list[int | str]
    kind: Literal["growing", "constant", "replaced"]


class Direction(_Schema):
    """A translation direction and the ids before the source that select it."""

    source: str
    target: str
    prefix: list[int]


class SpecialTokens(_Schema):
    """Ids of the special tokens: padding, unknown, begin and end of a sequence."""

    pad: int
    unk: int
    bos: int
    eos: int


class Limits(_Schema):
    """Longest sequences in tokens, special tokens included."""

    source_length: int = Field(ge=1)
    target_length: int = Field(ge=1)


class Evaluation(_Schema):
    """A quality metric of the published model."""

    data: str
    split: str
    metric: str
    value: float
    signature: str = ""
    precision: str = "fp32"


class Parity(_Schema):
    """The parity check of the export: the largest differences in logits; greedy ids were equal for all sentences."""

    sentences: int
    cached: float
    onnx: float
    tolerance: float


class Provenance(_Schema):
    """The origin of the weights."""

    description: str
    recipe: dict[str, object]
    licence: str


class Manifest(_Schema):
    """The contents of manifest.json."""

    format: int
    name: str
    version: str
    task: Literal["translate", "classify"]
    directions: list[Direction] = []
    labels: list[str] = []
    files: dict[str, str]
    special_tokens: SpecialTokens
    limits: Limits
    append_eos: bool = False  # of a classifier: whether a text's ids end with eos (BERT); a translator's do
    graphs: dict[str, Graph]
    state: list[State] = []
    precision: Literal["fp32", "int8"]
    evaluation: list[Evaluation] = []
    parity: Parity
    provenance: Provenance

    @property
    def vocabulary(self) -> int:
        """Size of the target vocabulary: the width of the logits of the step graph."""
        return int(_width(self.graphs["step"], "logits") or 0)


@dataclass(frozen=True)
class Artifact:
    """An artifact folder that has been checked."""

    path: Path
    manifest: Manifest

    def graph(self, name: str) -> Path:
        """Return the ONNX file of a graph."""
        return self.path / self.manifest.graphs[name].file

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"


def read_artifact(path: Path) -> Artifact:
    """Read and check an artifact folder: schema, files, hashes, graphs of its task.

    Raises:
        ArtifactError: the artifact cannot be served; the message lists every problem found.
    """
    manifest = _parse(path)
    problems = _file_problems(path, manifest) + _content_problems(manifest)
    if problems:
        raise ArtifactError(f"{path}: " + "; ".join(problems))
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
        errors = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ArtifactError(f"{path}: {MANIFEST}: " + "; ".join(errors)) from None


def _file_problems(path: Path, manifest: Manifest) -> list[str]:
    required = {graph.file for graph in manifest.graphs.values()} | {"tokenizer.json"}
    problems = [f"{name} is not listed in files" for name in sorted(required - manifest.files.keys())]
    return problems + [problem for item in manifest.files.items() if (problem := _file_problem(path, *item))]


def _file_problem(path: Path, name: str, expected: str) -> str | None:
    if name in ("", "..") or Path(name).name != name:
        return f"{name!r} is not a plain file name"
    if not (path / name).is_file():
        return f"{name} is missing"
    try:
        found = sha256(path / name)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None if found == expected else f"{name} has sha256 {found[:12]}…, the manifest says {expected[:12]}…"


def _content_problems(manifest: Manifest) -> list[str]:
    problems = [
        f"a {manifest.task} artifact needs the graph {name!r}"
        for name in GRAPHS[manifest.task]
        if name not in manifest.graphs
    ]
    if not NAME.fullmatch(manifest.name):
        problems.append(f"name {manifest.name!r} is not made of lower-case letters, digits, '.', '_' and '-'")
    return problems + (_translate_problems(manifest) if manifest.task == "translate" else _classify_problems(manifest))


def _translate_problems(manifest: Manifest) -> list[str]:
    problems = [] if manifest.directions else ["no directions"]
    if step := manifest.graphs.get("step"):
        for state in manifest.state:
            problems += _tensor_problem(state, state.input, step.inputs, "an input of step")
            problems += _tensor_problem(state, state.output, step.outputs, "an output of step")
        if not isinstance(_width(step, "logits"), int):
            problems.append("step does not write logits (B, V) with a V that is a number")
    if encode := manifest.graphs.get("encode"):
        for state in manifest.state:
            if state.kind != "growing":
                problems += _tensor_problem(state, state.input, encode.outputs, "an output of encode")
    return problems


def _tensor_problem(state: State, name: str, tensors: list[Tensor], role: str) -> list[str]:
    found = next((tensor for tensor in tensors if tensor.name == name), None)
    if found is None:
        return [f"state {name} is not {role}"]
    return [] if found.dtype == state.dtype else [f"state {name} is {state.dtype}, but {found.dtype} as {role}"]


def _classify_problems(manifest: Manifest) -> list[str]:
    labels, classify = len(manifest.labels), manifest.graphs.get("classify")
    problems = [] if labels >= 2 else ["fewer than two labels"]
    if classify and (width := _width(classify, "probability")) != labels:
        problems.append(f"classify writes {width} probabilities for {labels} labels")
    return problems


def _width(graph: Graph, output: str) -> int | str | None:
    """Return the last axis of an output; None if there is no such output."""
    return next((t.shape[-1] for t in graph.outputs if t.name == output and t.shape), None)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Provide a folder to write an artifact into: it is renamed to `path` on success and removed on failure.

    An existing artifact at `path` is replaced.

    Raises:
        ArtifactError: `path` exists and is not an artifact.
    """
    if path.exists() and not (path / MANIFEST).is_file():
        raise ArtifactError(f"{path}: exists and is not an artifact; choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.mkdir()
    try:
        yield unfinished
        if path.exists():
            shutil.rmtree(path)
        os.rename(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; call it after all other files are written."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1, exclude_defaults=True), "utf-8")
