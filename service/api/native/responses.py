"""The native API's response bodies."""

import time
from typing import Annotated, Literal

from fastapi import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from service.api.shared import LabelScore


class Usage(BaseModel):
    """Tokens of all texts together."""

    source_tokens: int
    target_tokens: int


class Timings(BaseModel):
    """Milliseconds: the longest wait of any text, the longest computation of any text, and the whole request."""

    queue: float
    compute: float
    total: float


class TokenScore(BaseModel):
    """A token of an answer as the vocabulary spells it, and its log-probability."""

    id: int
    text: str
    log_probability: float


class AlignedSpans(BaseModel):
    """A word of the translation and the word of the text that it corresponds to, as character ranges [start, end)."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int


class DetectedSource(BaseModel):
    """The detected language of a text, and its probability."""

    language: str
    confidence: float


class Alternative(BaseModel):
    """One translation of a text. The finish reason `length` means that it reached its limit of tokens.

    `score` is the sum of the tokens' log-probabilities, that of the end-of-sentence token included, divided by their
    number to the power of length_penalty.
    """

    text: str
    finish_reason: Annotated[str, Field(json_schema_extra={"enum": ["stop", "length", "loop"]})]
    score: float | None = None
    tokens: list[TokenScore] | None = None
    alignment: list[AlignedSpans] | None = None


class TextTranslation(Alternative):
    """The best translation of a text, and the next best if n_best asks for them."""

    source: str
    target: str
    detected: Annotated[
        DetectedSource | None, Field(description="Present if the request gave no source and it was detected.")
    ] = None
    alternatives: list[Alternative] | None = None
    warnings: Annotated[
        list[str] | None,
        Field(examples=[["split_long_sentence"]], description="What the caller should check in this translation."),
    ] = None


class TranslateReply(BaseModel):
    """One translation per text, in order."""

    model: str
    translations: list[TextTranslation]
    usage: Usage
    timings_ms: Timings


class DeltaEvent(BaseModel):
    """The next part of the translation of the text with this index."""

    index: int
    delta: str


class TranslationEvent(TextTranslation):
    """The whole translation of the text with this index."""

    index: int


class DoneEvent(BaseModel):
    """The end of a stream."""

    model: str
    usage: Usage
    timings_ms: Timings


class TextClassification(BaseModel):
    """The labels of one text, the most probable first; maybe none, if a text can have several."""

    labels: list[LabelScore]


class ClassifyReply(BaseModel):
    """One result per text, in order."""

    model: str
    results: list[TextClassification]
    usage: Usage
    timings_ms: Timings


class CrossAttention(BaseModel):
    """How much each token of a translation attends to each token of the text, from 0 to 1, special tokens included.

    A row of `weights` belongs to a token of `target`, the end of sentence last, a column to one of `source`. They are
    the mean over the heads of the decoder layer that aligns words best.
    """

    source: list[str]
    target: list[str]
    weights: list[list[float]]


class PairScore(BaseModel):
    """How probable the model finds a translation.

    `log_probability` is the sum of the tokens' log-probabilities, that of the end-of-sentence token included; `score`
    is that sum divided by the number of tokens. The last of `tokens` is the end-of-sentence token.
    """

    score: float
    log_probability: float
    source: str
    target: str
    tokens: list[TokenScore] | None = None
    alignment: list[AlignedSpans] | None = None
    attention: Annotated[CrossAttention | None, Field(description="Absent if the model has no cross-attention.")] = None


class ScoreReply(BaseModel):
    """One score per pair, in order."""

    model: str
    scores: list[PairScore]
    usage: Usage
    timings_ms: Timings


class DirectionInfo(BaseModel):
    """A translation direction."""

    source: str
    target: str


class ModelInfo(BaseModel):
    """A model. Of one that is faulty, only `name`, `state` and `reason` have a value."""

    name: str
    state: Literal["ready", "not_ready", "faulty"]
    reason: str = ""  # why it is not ready, or what is wrong with its artifact
    version: str = ""
    task: str = ""
    description: str = ""
    directions: list[DirectionInfo] = []
    labels: list[str] = []
    multi_label: bool = False  # whether a text can have several labels, each with a probability of its own
    limits: dict[str, int] = {}
    precision: str = ""
    licence: str = ""
    evaluation: list[dict[str, str | float]] = []
    files: dict[str, str] = {}  # SHA-256 of each file of the artifact


class ModelsReply(BaseModel):
    """All models: the served ones, then those whose artifact could not be loaded."""

    models: list[ModelInfo]


def timings(queue_ms: float, compute_ms: float, started: float) -> Timings:
    """Return the timings of a request that began at `started`, in seconds of the monotonic clock."""
    total = 1000 * (time.monotonic() - started)
    return Timings(queue=round(queue_ms, 3), compute=round(compute_ms, 3), total=round(total, 3))


def json_response(reply: BaseModel) -> Response:
    """Return a reply as JSON. FastAPI would validate a returned model again and serialise it in three passes."""
    return Response(reply.model_dump_json(exclude_none=True), media_type="application/json")


def large_json_response(reply: BaseModel) -> Response:
    """Return what `json_response` does; for replies that are made in another thread, see `large_json`."""
    return Response(large_json(reply), media_type="application/json")


def large_json(reply: BaseModel) -> str:
    """Return a reply as JSON, without the fields that are None.

    Each call of pydantic encodes one model of a list: a single call for all of them would hold the interpreter, and
    with it the event loop, for as long as a large reply takes.
    """
    fields = list(reply)
    if not any(_is_model_list(value) for _, value in fields):
        return reply.model_dump_json(exclude_none=True)
    members = []
    for name, value in fields:
        if _is_model_list(value):
            members.append(f'"{name}":[{",".join(map(large_json, value))}]')
        elif value is not None:
            members.append(f'"{name}":{to_json(value, exclude_none=True, inf_nan_mode="null").decode()}')
    return "{" + ",".join(members) + "}"


def _is_model_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel)
