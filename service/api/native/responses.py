"""What the native dialect answers."""

from typing import Annotated

from pydantic import BaseModel, Field


class Usage(BaseModel):
    """Tokens of all texts together."""

    source_tokens: int
    target_tokens: int


class Timings(BaseModel):
    """Milliseconds: the longest wait of any text, the longest computation of any text, and the whole request."""

    queue: float
    compute: float
    total: float


class Token(BaseModel):
    """A token of an answer, as the vocabulary spells it."""

    id: int
    text: str
    log_probability: float


class Aligned(BaseModel):
    """A word of a translation and the word of the text that it comes from, as characters from start up to end."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int


class Detected(BaseModel):
    """The language that a text was found to be in, and how probable that is."""

    language: str
    confidence: float


class Alternative(BaseModel):
    """An answer; `length` says that it was cut at its limit of tokens.

    `score` is the sum of the tokens' log-probabilities, the end mark's included, divided by their number to the power
    of length_penalty.
    """

    text: str
    finish_reason: Annotated[str, Field(json_schema_extra={"enum": ["stop", "length", "loop"]})]
    score: float | None = None
    tokens: list[Token] | None = None
    alignment: list[Aligned] | None = None


class Translation(Alternative):
    """One text's best answer, and the next best where n_best asks for them."""

    source: str
    target: str
    detected: Annotated[Detected | None, Field(description="Where no source was given and langid decided.")] = None
    alternatives: list[Alternative] | None = None
    warnings: Annotated[
        list[str] | None, Field(examples=[["split_long_sentence"]], description="What the caller should look at.")
    ] = None


class TranslateReply(BaseModel):
    """As many translations as texts, in order."""

    model: str
    translations: list[Translation]
    usage: Usage
    timings_ms: Timings


class DeltaEvent(BaseModel):
    """What comes next of the translation of the text with this index."""

    index: int
    delta: str


class TranslationEvent(Translation):
    """The whole translation of the text with this index."""

    index: int


class DoneEvent(BaseModel):
    """The end of a stream."""

    model: str
    usage: Usage
    timings_ms: Timings


class Label(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class Labels(BaseModel):
    """One text's labels, the most probable first."""

    labels: list[Label]


class PairScore(BaseModel):
    """How probable a translation is.

    `log_probability` is the sum of the tokens' log-probabilities, the end mark's included, `score` that sum divided by
    their number. `tokens` ends with the end mark.
    """

    score: float
    log_probability: float
    source: str
    target: str
    tokens: list[Token] | None = None
    alignment: list[Aligned] | None = None


class ScoreReply(BaseModel):
    """As many scores as texts, in order."""

    model: str
    scores: list[PairScore]
    usage: Usage
    timings_ms: Timings


class ClassifyReply(BaseModel):
    """As many results as texts, in order."""

    model: str
    results: list[Labels]
    usage: Usage
    timings_ms: Timings


class DirectionInfo(BaseModel):
    """A translation direction."""

    source: str
    target: str


class ModelInfo(BaseModel):
    """A model that is being served."""

    name: str
    version: str
    task: str
    directions: list[DirectionInfo]
    labels: list[str]
    limits: dict[str, int]
    precision: str
    licence: str
    evaluation: list[dict[str, str | float]]


class ModelsReply(BaseModel):
    """All models."""

    models: list[ModelInfo]
