"""The artifact: the one contract between export and service. The reader owns it; export writes through it.

An artifact is a folder {manifest.json, *.onnx, weights.bin, tokenizer.json, MODEL_CARD.md}. It is published by a
rename, manifest included, so a folder without a manifest is no artifact. Reading checks everything and reports all
faults at once. Nothing is ever unpickled.

Graphs by task, their tensors by name (B rows, S source length, T target length, D width, V vocabulary, L layers):
  translate  encode    source (B, S) int64, source_length (B,) int32 -> every `constant` and `replaced` state
             step      token (B,) int64, position (B,) int32 (target tokens before this step), source_length (B,) int32,
                       every state -> logits (B, V), every state's output
             score     source, source_length, target (B, T) int64, label (B, T) int64
                       -> log_probability (B, T), cross_attention (B, L, T, S)
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

FORMAT = 1
MANIFEST = "manifest.json"
GRAPHS = {"translate": ("encode", "step", "score"), "classify": ("classify",)}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class ArtifactError(ValueError):
    """An artifact that cannot be served; the message lists every fault found."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(_Part):
    """An input or output of a graph; symbolic axes are named, the others are numbers."""

    name: str
    dtype: Literal["float32", "int64", "int32"]
    shape: list[int | str]


class Graph(_Part):
    """One ONNX file."""

    file: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class State(_Part):
    """An array that belongs to a row of the running batch.

    `growing`: a cache the step appends to in place, its third axis is capacity. `constant`: computed once by encode.
    `replaced`: computed by encode, then anew by every step.
    """

    input: str
    output: str
    dtype: Literal["float32"]
    shape: list[int | str]
    kind: Literal["growing", "constant", "replaced"]


class Direction(_Part):
    """A translation direction, with the ids that go before the source to ask for it."""

    source: str
    target: str
    prefix: list[int]


class Marks(_Part):
    """Special token ids."""

    pad: int
    unk: int
    bos: int
    eos: int


class Limits(_Part):
    """In tokens, marks included."""

    source_length: int = Field(ge=1)
    target_length: int = Field(ge=1)


class Evaluation(_Part):
    """A figure that the artifact was published with."""

    data: str
    split: str
    metric: str
    value: float
    signature: str = ""


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
    marks: Marks
    limits: Limits
    graphs: dict[str, Graph]
    state: list[State] = []
    precision: Literal["fp32"]
    evaluation: list[Evaluation] = []
    parity: Parity
    provenance: Provenance


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
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: {MANIFEST} cannot be read: {error}") from None
    version = table.get("format") if isinstance(table, dict) else None
    if version != FORMAT:
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
    for name, expected in manifest.files.items():
        file = path / name
        if Path(name).name != name:
            faults.append(f"{name!r} is not a plain file name")
        elif not file.is_file():
            faults.append(f"{name} is missing")
        elif (found := sha256(file)) != expected:
            faults.append(f"{name} has sha256 {found[:12]}…, the manifest says {expected[:12]}…")
    return faults


def _content_faults(manifest: Manifest) -> list[str]:
    faults = [
        f"a {manifest.task} artifact needs the graph {name!r}"
        for name in GRAPHS[manifest.task]
        if name not in manifest.graphs
    ]
    if not NAME.fullmatch(manifest.name):
        faults.append(f"name {manifest.name!r} is not made of lower-case letters, digits, '.', '_' and '-'")
    if manifest.task == "translate" and not manifest.directions:
        faults.append("no directions")
    if manifest.task == "classify" and len(manifest.labels) < 2:
        faults.append("fewer than two labels")
    if "step" in manifest.graphs:
        inputs = {tensor.name for tensor in manifest.graphs["step"].inputs}
        outputs = {tensor.name for tensor in manifest.graphs["step"].outputs}
        faults += [f"state {s.input} is not an input of step" for s in manifest.state if s.input not in inputs]
        faults += [f"state {s.output} is not an output of step" for s in manifest.state if s.output not in outputs]
    return faults


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
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            shutil.rmtree(path)
        os.rename(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of an artifact."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1, exclude_defaults=True), "utf-8")
