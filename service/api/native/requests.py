"""The native API's request bodies."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.text_fields import Texts, texts_schema
from service.artifact import DECIDED
from service.engine.options import MAX_BEAM, DecodingOptions
from service.http.openapi import Schema, inline_schema
from service.models.options import TranslationOptions
from service.settings import Settings
from service.translation.request import MAX_TERMS, TranslationRequest

MAX_UNKNOWN_FIELDS = 20  # reported one by one; to list thousands of them would block the service for a second


class NativeBody(BaseModel):
    """A request body. An unknown field is an error, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, body: Any) -> Any:
        """Convert 3.0 to the integer 3, as in JSON they are the same; reject many unknown fields with one error."""
        if not isinstance(body, dict):
            return body
        if (count := len(body.keys() - cls.model_fields.keys())) > MAX_UNKNOWN_FIELDS:
            raise PydanticCustomError("extra_forbidden", "{count} unknown fields; leave them out", {"count": count})
        return {
            name: int(value) if type(value) is float and value.is_integer() else value for name, value in body.items()
        }


NOT_SPACE = r"[^\s\x1c-\x1f]"  # neither white space of JSON Schema's patterns nor of Python's
Term = Annotated[str, Field(min_length=1, max_length=100, pattern=rf"^{NOT_SPACE}(.*{NOT_SPACE})?$")]
Language = Annotated[str, Field(min_length=1, max_length=35)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]


def _check_term_count(terms: Any) -> Any:
    """Reject too many terms before each is validated."""
    if isinstance(terms, dict) and len(terms) > MAX_TERMS:
        message = "{count} terms are too many; send at most {limit}"
        raise PydanticCustomError("too_long", message, {"count": len(terms), "limit": MAX_TERMS})
    return terms


class TranslateBody(NativeBody):
    """Texts to translate."""

    text: Annotated[
        Texts, Field(description="One text, or a list of texts; answered in order.", examples=["Guten Morgen."])
    ]
    target: Annotated[Language, Field(description="Target language.", examples=["en"])]
    source: Annotated[Language | None, Field(description="Source language. Detected if it is left out or `auto`.")] = (
        None
    )
    model: Annotated[ModelName | None, Field(description="A model name from GET /v1/models.")] = None
    max_length: Annotated[
        int | None,
        Field(
            ge=1,
            description="Maximum number of target tokens. Default: twice the source tokens plus 16, within the model's "
            "limit.",
        ),
    ] = None

    min_length: Annotated[int, Field(ge=0, description="Minimum number of target tokens.")] = 0
    beam_size: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_BEAM,
            description="Width of the beam search; 1 is greedy search. This and the length penalty, early stopping, "
            "and the two options against repetition default to what the model's artifact says, if it says anything.",
        ),
    ] = 1
    n_best: Annotated[
        int, Field(ge=1, le=MAX_BEAM, description="Number of translations to return, at most beam_size.")
    ] = 1
    length_penalty: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="A score is the sum of log-probabilities divided by length to this power; above 1 favours long "
            "translations.",
        ),
    ] = 1.0
    early_stopping: Annotated[
        bool,
        Field(
            description="Stop as soon as beam_size hypotheses have ended, even if a running one could get a better "
            "score."
        ),
    ] = False
    temperature: Annotated[
        float, Field(ge=0, le=10, description="Above 0: sample. The lower, the closer to the most probable tokens.")
    ] = 0.0
    top_k: Annotated[int, Field(ge=0, description="Sample among this many most probable tokens; 0 means all.")] = 0
    top_p: Annotated[
        float,
        Field(gt=0, le=1, description="Sample among the most probable tokens that together have this probability."),
    ] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**53, description="Random seed; the same seed gives the same sample.")] = 0
    prefix: Annotated[str, Field(max_length=1000, description="Text that every translation begins with.")] = ""
    no_repeat_ngram: Annotated[
        int, Field(ge=0, le=64, description="Never repeat n tokens in a row, with this n; 0 allows repetition.")
    ] = 0
    repetition_penalty: Annotated[
        float, Field(ge=0.1, le=10, description="Above 1 makes tokens that were already generated less probable.")
    ] = 1.0
    suppress: Annotated[
        list[Annotated[int, Field(ge=0)]],
        Field(max_length=1000, description="Ids of tokens that are never generated; `tokens` in a response has ids."),
    ] = []
    include: Annotated[
        list[Literal["score", "tokens", "alignment"]],
        Field(max_length=8, description="What to return in addition to the translation."),
    ] = []
    format: Annotated[
        Literal["text", "html", "markdown"],
        Field(
            description="`html`: tags, attributes and entities are preserved; tags inside a sentence move with the "
            "words they mark. `markdown`: the same for marks, code, links and tables."
        ),
    ] = "text"

    glossary: Annotated[
        dict[Term, Term],
        BeforeValidator(_check_term_count),
        Field(
            max_length=MAX_TERMS,
            description="Source terms and their translations, used wherever the model can be made to.",
            examples=[{"dog": "Köter"}],
        ),
    ] = {}
    stream: Annotated[bool, Field(description="Return Server-Sent Events while the translation is generated.")] = False

    @model_validator(mode="after")
    def _check_alignment(self) -> Self:
        if self.format == "html" and "alignment" in self.include:
            raise PydanticCustomError(
                "alignment", "alignment is only available for format text; leave out one of the two"
            )
        return self

    def options(self) -> TranslationOptions:
        """Return the decoding options."""
        options = DecodingOptions(
            min_length=self.min_length, beam_size=self.beam_size, n_best=self.n_best,
            length_penalty=self.length_penalty, early_stopping=self.early_stopping, temperature=self.temperature,
            top_k=self.top_k, top_p=self.top_p, seed=self.seed, no_repeat_ngram=self.no_repeat_ngram,
            repetition_penalty=self.repetition_penalty, suppressed=tuple(self.suppress),
            log_probabilities=bool({"score", "tokens"}.intersection(self.include)),
        )  # fmt: skip
        return TranslationOptions(options, self.prefix, self.max_length, frozenset(self.model_fields_set))

    def translation_request(self, texts: list[str]) -> TranslationRequest:
        """Return the request to the translator, with texts that were checked."""
        return TranslationRequest(
            texts,
            self.target,
            self.source,
            self.model,
            options=self.options(),
            format=self.format,
            glossary=self.glossary,
            include=frozenset(self.include),
        )


class ClassifyBody(NativeBody):
    """Texts to classify."""

    text: Annotated[
        Texts, Field(description="One text, or a list of texts; answered in order.", examples=["Bonjour le monde"])
    ]
    pair: Annotated[
        Texts | None,
        Field(
            description="The second text of each pair, for a model that classifies pairs (a premise and a hypothesis, "
            "a question and a passage): a string or a list, like `text`."
        ),
    ] = None
    model: Annotated[ModelName | None, Field(description="A model name from GET /v1/models.")] = None
    top_k: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Number of labels to return per text, the most probable first. If it is left out and texts can "
            f"have several labels, those with a probability of at least {DECIDED} are returned, maybe none.",
        ),
    ] = 1
    truncate: Annotated[
        bool,
        Field(
            description="Cut off what exceeds the model's limit; of a pair, from the longer text. A text may then have "
            "more characters than the limit too, as many as the body may have."
        ),
    ] = False

    @property
    def given_top_k(self) -> int | None:
        """`top_k`, or None if the body leaves it out."""
        return self.top_k if "top_k" in self.model_fields_set else None


class ScoreBody(NativeBody):
    """Pairs of texts and translations to score."""

    text: Annotated[
        Texts, Field(description="One text, or a list of texts; answered in order.", examples=["Guten Morgen."])
    ]
    translation: Annotated[
        Texts, Field(description="The translation of the text, or one per text in order.", examples=["Good morning."])
    ]
    target: Annotated[Language, Field(description="Language of the translations.", examples=["en"])]
    source: Annotated[
        Language | None,
        Field(description="Language of the texts; may be left out if the model has only one for this target."),
    ] = None
    model: Annotated[ModelName | None, Field(description="A model name from GET /v1/models.")] = None
    include: Annotated[
        list[Literal["tokens", "alignment", "attention"]],
        Field(max_length=8, description="What to return in addition to the score."),
    ] = []


def body_schema(body: type[NativeBody], settings: Settings) -> Schema:
    """Return the JSON schema of a body with the settings' limits on texts.

    The route checks those limits itself, so that the error has status 413 and names the text.
    """
    schema = inline_schema(body)
    for name in ("text", "translation", "pair"):
        if name in schema["properties"]:
            schema["properties"][name] |= texts_schema(settings)
    return schema


def classify_schema(settings: Settings, pairs: bool) -> Schema:
    """Return the schema of `ClassifyBody`; without a model that reads `pairs`, a second text is not offered."""
    schema = body_schema(ClassifyBody, settings)
    if not pairs:
        del schema["properties"]["pair"]
    return schema
