"""The native dialect's bodies."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from service.settings import Settings


class Body(BaseModel):
    """A request body; an unknown field is an error, so a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TranslateBody(Body):
    """Texts to translate."""

    text: Any
    target: Annotated[str, Field(min_length=1, max_length=35, description="Target language.", examples=["en"])]
    source: Annotated[
        str | None,
        Field(min_length=1, max_length=35, description="Source language; may be left out where only one fits."),
    ] = None
    model: Annotated[str | None, Field(min_length=1, max_length=200, description="A name from GET /v1/models.")] = None
    max_length: Annotated[
        int | None,
        Field(
            ge=1, description="Target tokens at most; by default twice the source's and 16, within the model's limit."
        ),
    ] = None


class ClassifyBody(Body):
    """Texts to classify."""

    text: Any
    model: Annotated[str | None, Field(min_length=1, max_length=200, description="A name from GET /v1/models.")] = None
    top_k: Annotated[int, Field(ge=1, le=1000, description="How many labels, the most probable first.")] = 1


def bounded(body: type[Body], settings: Settings) -> type[Any]:
    """The body with the settings' limits written into its schema.

    The limits on texts are enforced by the route, which answers 413 in place of 422 and can name the text.
    """
    one = {"type": "string", "minLength": 1, "maxLength": settings.max_text_characters}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": settings.max_texts}
    schema = {"anyOf": [one, many], "examples": ["Guten Morgen."]}
    description = "One text, or a list of them answered in order."
    text = Annotated[
        str | list[str], BeforeValidator(_first_wrong_text), Field(description=description, json_schema_extra=schema)
    ]
    return create_model(body.__name__, __base__=body, __doc__=body.__doc__, text=text)


def _first_wrong_text(value: Any) -> Any:
    """One wrong text is told, not a megabyte of them: they would take seconds in which nobody else is served."""
    for i, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str):
            raise PydanticCustomError("string_type", "text {i} should be a valid string", {"i": i})
    return value


class Usage(BaseModel):
    """Tokens of all texts together."""

    source_tokens: int
    target_tokens: int


class Timings(BaseModel):
    """Milliseconds: the longest wait of any text, the longest computation of any text, and the whole request."""

    queue: float
    compute: float
    total: float


class Translation(BaseModel):
    """One text's answer; `length` says that it was cut at its limit of tokens."""

    text: str
    source: str
    target: str
    finish_reason: Annotated[str, Field(json_schema_extra={"enum": ["stop", "length"]})]


class TranslateReply(BaseModel):
    """As many translations as texts, in order."""

    model: str
    translations: list[Translation]
    usage: Usage
    timings_ms: Timings


class Label(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class Labels(BaseModel):
    """One text's labels, the most probable first."""

    labels: list[Label]


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


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []
