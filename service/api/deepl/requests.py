"""What DeepL's dialect is asked. An option that would change the translation but is not supported is an error."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema, field_validator

from service.api.deepl.languages import language_codes
from service.api.text_fields import Texts, texts_schema
from service.errors import InvalidRequest
from service.http.openapi import json_or_form_body
from service.settings import Settings
from service.translation.translator import Translator

TRANSLATE_EXAMPLE = {"text": ["Guten Morgen.", "Wo ist der Bahnhof?"], "source_lang": "DE", "target_lang": "EN-GB"}
UNSUPPORTED = ("glossary_ids", "style_id", "translation_memory_id", "custom_instructions")
# What an option may be, as strings; in JSON it may also be the number or the boolean.
CHOICES = {
    "model_type": ("quality_optimized", "latency_optimized", "prefer_quality_optimized"),
    "split_sentences": ("0", "1", "nonewlines"),
    "preserve_formatting": ("0", "1", "true", "false"),
    "outline_detection": ("0", "1", "true", "false"),
    "show_billed_characters": ("0", "1", "true", "false"),
    "tag_handling": ("html", "xml"),
    "tag_handling_version": ("v1", "v2"),
    "formality": ("default", "more", "less", "prefer_more", "prefer_less"),
}


def _split_tags(tags: Any) -> Any:
    """Split the names of tags at commas; they may be one string or a list of strings."""
    items = [tags] if isinstance(tags, str) else tags
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return tags
    return [name.strip() for item in items for name in item.split(",")]


TAGS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 1000}]}
Tags = Annotated[
    list[str], FailFast(), Field(max_length=1000), BeforeValidator(_split_tags), WithJsonSchema(TAGS_SCHEMA)
]


# Applications send an empty one for a text whose language they do not know: Mastodon, as `source_lang` alone in a form.
SourceLanguage = Annotated[
    str | None,
    Field(max_length=35, description="Empty or left out: detected."),
    AfterValidator(lambda code: code or None),
]

Choice = str | int | None


class DeepLBody(BaseModel):
    """Texts to translate. What an option may be is checked by `check_supported`, in the original's words."""

    text: Annotated[Texts, Field(description="Texts; answered in order.")]
    target_lang: Annotated[str, Field(min_length=1, max_length=35)]
    source_lang: SourceLanguage = None
    glossary_id: Annotated[
        str | None, Field(max_length=100, description="Of a glossary for these languages; needs source_lang.")
    ] = None
    tag_handling: Choice = None
    tag_handling_version: Choice = None
    show_billed_characters: Choice = None
    formality: Choice = None
    model_type: Choice = None
    split_sentences: Choice = None
    preserve_formatting: Choice = None
    outline_detection: Choice = None
    splitting_tags: Tags = []
    ignore_tags: Tags = []
    glossary_ids: Any = None
    style_id: Any = None
    translation_memory_id: Any = None
    custom_instructions: Any = None

    @field_validator(*CHOICES, mode="before")
    @classmethod
    def _spell_booleans(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value

    def check_supported(self) -> None:
        """Check the options, and that none is given that is not supported.

        Raises:
            InvalidRequest: an option has another value than the original knows, or is not supported here.
        """
        for name, values in CHOICES.items():
            value = getattr(self, name)
            if value is not None and str(value).lower() not in values:
                raise InvalidRequest(f"Value for '{name}' not supported.")
        if str(self.formality).lower() in ("more", "less"):
            raise InvalidRequest(f"Target language {ascii(self.target_lang.upper())} doesn't support formality.")
        if given := [name for name in UNSUPPORTED if getattr(self, name)]:
            raise InvalidRequest(f"{', '.join(given)}: not supported here; leave it out")

    @property
    def format(self) -> Literal["text", "html", "xml"]:
        """The format of the texts."""
        match str(self.tag_handling).lower():
            case "html":
                return "html"
            case "xml":
                return "xml"
        return "text"

    @property
    def shows_billed_characters(self) -> bool:
        """Whether the response has the number of characters of each text."""
        return str(self.show_billed_characters).lower() in ("1", "true")

    def element_names(self, tags: list[str]) -> frozenset[str]:
        """Return names of elements as the markup parser has them: in HTML in lower case."""
        return frozenset(name.lower() if self.format == "html" else name for name in tags)


class DeepLLanguagesQuery(BaseModel):
    """Which languages to list."""

    type: Literal["source", "target"] = "source"


def translate_body(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = DeepLBody.model_json_schema()
    properties = schema["properties"]
    sources, targets = language_codes(translator)
    properties["text"] |= texts_schema(settings, allow_blank=True)
    properties["source_lang"]["anyOf"][0]["enum"] = ["", *sources]
    properties["target_lang"]["enum"] = targets
    for name, values in CHOICES.items():
        properties[name] = _choice_schema([value for value in values if value not in ("more", "less")])
    for name in UNSUPPORTED:
        del properties[name]
    return json_or_form_body(schema, TRANSLATE_EXAMPLE)


def _choice_schema(values: list[str]) -> dict[str, Any]:
    """Return the schema of an option that may be one of these strings, or the number or boolean that one means."""
    schemas: list[dict[str, Any]] = [{"type": "string", "enum": values}, {"type": "null"}]
    if "true" in values:
        schemas.append({"type": "boolean"})
    if "0" in values:
        schemas.append({"type": "integer", "enum": [0, 1]})
    return {"anyOf": schemas}
