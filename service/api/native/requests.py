"""The native dialect's bodies."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from service.api.text_fields import texts_field
from service.engine.decoding.options import MAX_BEAM, DecodingOptions
from service.models.options import TranslationOptions
from service.settings import Settings
from service.translation.request import TranslationRequest

TOLD = 20  # unknown fields one by one; to list a megabyte of them would take a second in which nobody is served
TERMS = 200


class Body(BaseModel):
    """A request body; an unknown field is an error, so a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, body: Any) -> Any:
        """To JSON 3.0 is the integer 3; and not every one of ten thousand unknown fields is told."""
        if not isinstance(body, dict):
            return body
        if (count := len(body.keys() - cls.model_fields.keys())) > TOLD:
            raise PydanticCustomError(
                "extra_forbidden", "{count} fields are not known; leave them out", {"count": count}
            )
        return {name: int(one) if type(one) is float and one.is_integer() else one for name, one in body.items()}


_SEEN = r"[^\s\x1c-\x1f]"  # nor what is white space to Python alone
Term = Annotated[str, Field(min_length=1, max_length=100, pattern=rf"^{_SEEN}(.*{_SEEN})?$")]


def _few_terms(given: Any) -> Any:
    """Before each is looked at."""
    if isinstance(given, dict) and len(given) > TERMS:
        message = "{count} terms are too many; send at most {limit}"
        raise PydanticCustomError("too_long", message, {"count": len(given), "limit": TERMS})
    return given


class TranslateBody(Body):
    """Texts to translate."""

    text: Any
    target: Annotated[str, Field(min_length=1, max_length=35, description="Target language.", examples=["en"])]
    source: Annotated[
        str | None,
        Field(min_length=1, max_length=35, description="Source language; left out or `auto`: found out."),
    ] = None
    model: Annotated[str | None, Field(min_length=1, max_length=200, description="A name from GET /v1/models.")] = None
    max_length: Annotated[
        int | None,
        Field(
            ge=1, description="Target tokens at most; by default twice the source's and 16, within the model's limit."
        ),
    ] = None

    min_length: Annotated[int, Field(ge=0, description="Target tokens at least.")] = 0
    beam_size: Annotated[
        int, Field(ge=1, le=MAX_BEAM, description="Hypotheses searched side by side; 1 is greedy.")
    ] = 1
    n_best: Annotated[int, Field(ge=1, le=MAX_BEAM, description="Answers wanted, at most beam_size.")] = 1
    length_penalty: Annotated[
        float, Field(ge=0, le=10, description="Scores are divided by length to this power; above 1 favours long ones.")
    ] = 1.0
    early_stopping: Annotated[
        bool, Field(description="End as soon as beam_size hypotheses have ended, even if a running one scores better.")
    ] = False
    temperature: Annotated[
        float, Field(ge=0, le=10, description="Above 0: sample; lower is closer to the most probable.")
    ] = 0.0
    top_k: Annotated[int, Field(ge=0, description="Sample among so many tokens; 0 is all.")] = 0
    top_p: Annotated[float, Field(gt=0, le=1, description="Sample among the most probable with this much mass.")] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**53, description="Same seed, same sample.")] = 0
    prefix: Annotated[str, Field(max_length=1000, description="What every translation starts with.")] = ""
    no_repeat_ngram: Annotated[int, Field(ge=0, le=64, description="No n tokens in a row twice; 0 allows it.")] = 0
    repetition_penalty: Annotated[
        float, Field(ge=0.1, le=10, description="Above 1 makes tokens written before less probable.")
    ] = 1.0
    suppress: Annotated[
        list[Annotated[int, Field(ge=0)]],
        Field(max_length=1000, description="Ids of tokens never to write, as `tokens` tells them."),
    ] = []
    include: Annotated[
        list[Literal["score", "tokens", "alignment"]],
        Field(max_length=8, description="What to tell beside the text."),
    ] = []
    format: Annotated[
        Literal["text", "html"],
        Field(description="`html`: tags, attributes and entities stay, and tags within a line follow their words."),
    ] = "text"

    glossary: Annotated[
        dict[Term, Term],
        BeforeValidator(_few_terms),
        Field(
            max_length=TERMS,
            description="Terms of the source and what they are to become, where the model can be brought to it.",
            examples=[{"dog": "Köter"}],
        ),
    ] = {}
    stream: Annotated[bool, Field(description="Answer Server-Sent Events, bit by bit.")] = False

    @model_validator(mode="after")
    def _aligned_text(self) -> Self:
        if self.format == "html" and "alignment" in self.include:
            raise PydanticCustomError("alignment", "alignment is told of format text; leave out one of the two")
        return self

    def options(self) -> TranslationOptions:
        """The options for the engine."""
        options = DecodingOptions(
            min_length=self.min_length, beam_size=self.beam_size, n_best=self.n_best,
            length_penalty=self.length_penalty, early_stopping=self.early_stopping, temperature=self.temperature,
            top_k=self.top_k, top_p=self.top_p, seed=self.seed, no_repeat_ngram=self.no_repeat_ngram,
            repetition_penalty=self.repetition_penalty, suppressed=tuple(self.suppress),
            log_probabilities=bool({"score", "tokens"}.intersection(self.include)),
        )  # fmt: skip
        return TranslationOptions(options, self.prefix, self.max_length)

    def translation_request(self, texts: list[str]) -> TranslationRequest:
        """What to ask of the translator, for texts that were checked."""
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


class ClassifyBody(Body):
    """Texts to classify."""

    text: Any
    model: Annotated[str | None, Field(min_length=1, max_length=200, description="A name from GET /v1/models.")] = None
    top_k: Annotated[int, Field(ge=1, le=1000, description="How many labels, the most probable first.")] = 1


class ScoreBody(Body):
    """Texts and translations of them to score."""

    text: Any
    translation: Any
    target: Annotated[
        str, Field(min_length=1, max_length=35, description="Language of the translations.", examples=["en"])
    ]
    source: Annotated[
        str | None,
        Field(min_length=1, max_length=35, description="Language of the texts; may be left out where only one fits."),
    ] = None
    model: Annotated[str | None, Field(min_length=1, max_length=200, description="A name from GET /v1/models.")] = None
    include: Annotated[
        list[Literal["tokens", "alignment"]], Field(max_length=8, description="What to tell beside the score.")
    ] = []


def bounded(body: type[Body], settings: Settings) -> type[Any]:
    """The body with the settings' limits written into its schema.

    The limits on texts are enforced by the route, which answers 413 in place of 422 and can name the text.
    """
    fields = {"text": texts_field(settings, "One text, or a list of them answered in order.", "Guten Morgen.")}
    if "translation" in body.model_fields:
        description = "The text's translation, or as many as there are texts, in their order."
        fields["translation"] = texts_field(settings, description, "Good morning.")
    return create_model(body.__name__, __base__=body, __doc__=body.__doc__, **fields)
