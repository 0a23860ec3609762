"""The artifact, the only contract between export and service. The reader owns the schema; export writes through it.

An artifact is a folder {manifest.json, *.onnx, weights.bin, tokenizer.json, MODEL_CARD.md}. It is published by a single
rename, so a folder without a manifest is not an artifact. Reading checks everything and reports all problems at once.
No file of an artifact is unpickled.

Graphs by task, their tensors by name (B rows, S source length, T target length, D width, V vocabulary, L layers,
C candidates):
  translate  encode    source -> every `constant` and `replaced` state
             step      token (B,) int64, position (B,) int32 (target tokens before this step), source_length (B,) int32,
                       every state -> logits (B, V), every state's output
             select    logits (B, V), count (1,) int64 -> token (B, C) int64, log_probability (B, C), best first
             score     source, target (B, T) int64, label (B, T) int64
                       -> log_probability (B, T), cross_attention (B, L, T, S) if the decoder has attention
  classify   classify  source -> probability (B, labels)
A source is source (B, S) int64, padded, and source_length (B,) int32. A graph that computes no padding also declares
pack_index (N,) int64, the places of the N tokens in the flat source, and unpack_index (B, S) int64, each place's token
as a number below N: service/engine/models/source.py.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

FORMAT = 3
MANIFEST = "manifest.json"
GRAPHS = {"translate": ("encode", "step", "select", "score"), "classify": ("classify",)}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

# Limits of a manifest. They are far above the largest models, and keep an invalid manifest from taking all memory.
MAX_MANIFEST_BYTES = 32_000_000
MAX_LENGTH = 65_536  # tokens of a source or a target
MAX_IDS = 2**20  # token ids, and elements of an axis of fixed size
MAX_AXES = 8
MAX_ROW_BYTES = 4_000_000_000  # states of one row at full length
STATE_BYTES = {"float32": 4, "float16": 2, "int8": 1}  # of one element
MAX_TEXT = 1000  # characters of a name or a label
MAX_BEAM = 16

DECIDED = 0.5  # a text has a label, of several, from this probability on


class ArtifactError(ValueError):
    """An artifact that cannot be served; the message lists every problem found.

    `model` is the name that the manifest gives; empty if it cannot be read.
    """

    def __init__(self, message: str, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_shape(shape: list[int | str]) -> list[int | str]:
    if len(shape) > MAX_AXES:
        raise ValueError(f"{len(shape)} axes; at most {MAX_AXES} are supported")
    for axis in shape:
        if isinstance(axis, int) and not 1 <= axis <= MAX_IDS:
            raise ValueError(f"an axis of {axis} elements; use 1 to {MAX_IDS}")
    return shape


Text = Annotated[str, Field(max_length=MAX_TEXT)]
TokenId = Annotated[int, Field(ge=0, lt=MAX_IDS)]
Length = Annotated[int, Field(ge=1, le=MAX_LENGTH)]
Shape = Annotated[list[int | str], AfterValidator(_check_shape)]


class Tensor(_Schema):
    """An input or output of a graph; in its shape, symbolic axes are names and fixed axes are numbers."""

    name: Text
    dtype: Literal["float32", "float16", "int64", "int32", "int8"]
    shape: Shape


class Graph(_Schema):
    """One ONNX file."""

    file: Text
    inputs: list[Tensor]
    outputs: list[Tensor]


class State(_Schema):
    """An array that belongs to a row of the running batch.

    `growing`: a cache that the step graph appends to in place; its third axis is its capacity. `constant`: computed
    once by encode. `replaced`: computed by encode, then by every step. int8: a cache quantised by scales in the graphs.
    """

    input: Text
    output: Text
    dtype: Literal["float32", "float16", "int8"]
    shape: Shape
    kind: Literal["growing", "constant", "replaced"]


class Direction(_Schema):
    """A translation direction, and the ids that select it: before the source, and at the start of each translation."""

    source: Text
    target: Text
    prefix: list[TokenId]
    target_prefix: list[TokenId] = []


class SpecialTokens(_Schema):
    """Ids of the special tokens: padding, unknown, begin and end of a sequence."""

    pad: TokenId
    unk: TokenId
    bos: TokenId
    eos: TokenId


class Limits(_Schema):
    """Longest sequences in tokens, special tokens included."""

    source_length: Length
    target_length: Length


class GenerationDefaults(_Schema):
    """How a translator decodes if a request does not say; a field that a request gives has precedence."""

    beam_size: Annotated[int, Field(ge=1, le=MAX_BEAM)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 1.0
    early_stopping: bool = False
    no_repeat_ngram: Annotated[int, Field(ge=0, le=64)] = 0
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] = 1.0


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
    name: Text
    version: Text
    task: Literal["translate", "classify"]
    directions: list[Direction] = []
    labels: list[Text] = []
    files: dict[str, str]
    special_tokens: SpecialTokens
    limits: Limits
    generation: GenerationDefaults = GenerationDefaults()
    placeholder_tokens: list[str] = []  # texts, a token each, that the model copies: for what must not be translated
    multi_label: bool = False  # of a classifier: whether each label has a probability of its own, from 0 to 1
    pair_separator: list[TokenId] = []  # of a classifier of pairs of texts: the ids between the two; empty: no pairs
    append_eos: bool = False  # of a classifier: whether a text's ids end with eos (BERT)
    source_eos: bool = True  # of a translator: whether a source's ids end with eos (not in OpenNMT)
    graphs: dict[str, Graph]
    state: list[State] = []
    precision: Literal["fp32", "fp16", "int8"]
    evaluation: list[Evaluation] = []
    parity: Parity
    provenance: Provenance

    @property
    def vocabulary(self) -> int:
        """Size of the target vocabulary: the width of the logits of the step graph."""
        return int(_width(self.graphs["step"], "logits") or 0)


@dataclass(frozen=True)
class Artifact:
    """An artifact folder that has been checked.

    `number` tells artifacts of one model apart that are loaded at the same time.
    """

    path: Path
    manifest: Manifest
    number: int = 0

    @property
    def id(self) -> str:
        """What the artifact is called where others of the same model may be loaded: no name contains a `#`."""
        return f"{self.manifest.name}#{self.number}" if self.number else self.manifest.name

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
    manifest = read_manifest(path)
    problems = _file_problems(path, manifest) + _content_problems(manifest)
    if problems:
        raise ArtifactError(f"{path}: " + "; ".join(problems), _model_name(manifest.name))
    return Artifact(path, manifest)


def _read_manifest(path: Path) -> Any:
    """Return the JSON value in the manifest.

    Raises:
        ArtifactError: there is none, or it cannot be read.
    """
    file = path / MANIFEST
    try:
        if (size := file.stat().st_size) > MAX_MANIFEST_BYTES:
            raise ArtifactError(f"{path}: {MANIFEST} has {size} bytes; at most {MAX_MANIFEST_BYTES} are read")
        if not file.is_file():
            raise ArtifactError(f"{path}: {MANIFEST} cannot be read: not a file")
        return json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{path}: not an artifact (no {MANIFEST})") from None
    except ArtifactError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ArtifactError(f"{path}: {MANIFEST} cannot be read: {error}") from None


def _model_name(name: object) -> str:
    """Return the name of a model if it is valid, else an empty string."""
    return name if isinstance(name, str) and len(name) <= MAX_TEXT and NAME.fullmatch(name) else ""


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an artifact folder, and check its schema alone.

    Raises:
        ArtifactError: it is missing or invalid.
    """
    table = _read_manifest(path)
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
        problems = map(_schema_problem, error.errors(include_url=False))
        raise ArtifactError(f"{path}: {MANIFEST}: " + "; ".join(problems), _model_name(table.get("name"))) from None


def _schema_problem(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a member of the manifest; for a number, with its value and a remedy."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] in ("greater_than_equal", "less_than", "less_than_equal"):
        return f"{place} is {error['input']}: {error['msg']}; export the model again within this limit"
    return f"{place}: {error['msg']}"


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
    if (size := _row_bytes(manifest)) > MAX_ROW_BYTES:
        problems.append(
            f"the states of one row have {size} bytes at full length; at most {MAX_ROW_BYTES} are supported: export "
            "the model again with a lower target_length or source_length"
        )
    placeholders = manifest.placeholder_tokens
    if len(set(placeholders)) < len(placeholders) or not all(placeholders):
        problems.append(f"placeholder_tokens {placeholders} are not different texts")
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


def _row_bytes(manifest: Manifest) -> int:
    """Return the bytes of all states of one row with as many positions as the limits allow."""
    positions = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}

    def of_state(state: State) -> int:
        sizes = (positions.get(state.kind, 1) if isinstance(axis, str) else axis for axis in state.shape[1:])
        return math.prod(sizes) * STATE_BYTES[state.dtype]

    return sum(map(of_state, manifest.state))


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
