"""DeepL's dialect: /v2/translate, /v2/languages, /v3/languages, /v2/usage.

Bodies are JSON or forms. Source: the OpenAPI document of DeepLcom/openapi 3, DeepLcom/deepl-mock 1.21, and the requests
of the official client, deepl 1.32. An option that would change the translation but is not supported is an error.
Responses may have `warnings`, an addition to the original.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema, field_validator

from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, request_scope
from service.api.text_fields import Texts, texts_schema
from service.documents.jobs import DocumentJob
from service.errors import InvalidRequest, ServiceError, UnknownModel
from service.glossaries.store import GlossaryStore
from service.glossaries.terms import GlossaryTerms
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body, response_example
from service.settings import Settings
from service.text.languages import language_name
from service.text.languages import match_language as find_language
from service.translation.request import TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = (
    "/v2/translate", "/v2/languages", "/v2/usage", "/v2/document", "/v2/glossaries", "/v2/glossary-language-pairs",
    "/v2/write", "/v2/admin", "/v3",  # not served: write, admin, and other resources of version 3
)  # fmt: skip
TRANSLATE_EXAMPLE = {"text": ["Guten Morgen.", "Wo ist der Bahnhof?"], "source_lang": "DE", "target_lang": "EN-GB"}
UNLIMITED = 1_000_000_000_000  # how the original reports that there is no limit
TRANSLATE_RESPONSE = response_example({"translations": [{"detected_source_language": "DE", "text": "Good morning."}]})
LANGUAGES_RESPONSE = response_example([{"language": "DE", "name": "German", "supports_formality": False}])
LANGUAGES_V3_RESPONSE = response_example([
    {
        "lang": "de", "name": "German", "status": "stable", "usable_as_source": True, "usable_as_target": True,
        "features": {"glossary": {"status": "stable"}, "tag_handling": {"status": "stable"}},
    }
])  # fmt: skip
USAGE_RESPONSE = response_example({
    "character_count": 180118, "character_limit": UNLIMITED, "document_count": 3, "document_limit": UNLIMITED,
})  # fmt: skip
# As targets, the original's clients accept these languages only with a region.
VARIANTS = {"EN": ["EN-GB", "EN-US"], "PT": ["PT-BR", "PT-PT"]}
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
# The features of languages by resource; "write" and others are not served.
V3_FEATURES = {"translate_text": ("glossary", "tag_handling"), "translate_document": (), "glossary": ()}
MODEL_TYPE_USED = "quality_optimized"  # there is one kind of model


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


class DeepLError(BaseModel):
    """An error in the format of DeepL."""

    message: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"message": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    DeepLError, _error_body,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip


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


class DeepLTranslation(BaseModel):
    """The translation of one text."""

    detected_source_language: str
    text: str
    billed_characters: int | None = None
    model_type_used: str | None = None
    warnings: list[str] | None = None


class DeepLReply(BaseModel):
    """One translation per text, in order."""

    translations: list[DeepLTranslation]


class DeepLLanguage(BaseModel):
    """A language; target languages also have `supports_formality`."""

    language: str
    name: str
    supports_formality: Literal[False] | None = None


class DeepLLanguageV3(BaseModel):
    """A language, and what is possible with it."""

    lang: str
    name: str
    status: Literal["stable"] = "stable"
    usable_as_source: bool
    usable_as_target: bool
    features: dict[str, dict[str, str]]


class DeepLUsage(BaseModel):
    """What was translated by this API since the process started."""

    character_count: int
    character_limit: int = UNLIMITED
    document_count: int
    document_limit: int = UNLIMITED


@dataclass
class UsageCounter:
    """Counts what is translated by this dialect."""

    characters: int = 0
    documents: int = 0

    def count_document(self, job: DocumentJob) -> None:
        """Count a document now, and its characters when its translation has ended."""
        self.documents += 1
        if job.task is not None:
            job.task.add_done_callback(lambda _: self.count_characters(job.progress.done))

    def count_characters(self, count: int) -> None:
        """Count characters that were translated."""
        self.characters += count


def deepl_router(
    translator: Translator, settings: Settings, glossaries: GlossaryStore, usage: UsageCounter
) -> APIRouter:
    """Return the routes over the translator."""
    router = APIRouter(tags=["deepl"])

    @router.post(
        "/v2/translate",
        responses=ERROR_FORMAT.openapi_responses(*MODEL_ERRORS) | TRANSLATE_RESPONSE,
        response_model=DeepLReply,
        openapi_extra=_translate_body(translator, settings),
    )
    async def translate(request: Request) -> JSONResponse:
        """Translate texts.

        Not supported, and an error if given: glossary_ids, style_id, translation_memory_id, custom_instructions, and a
        formality of `more` or `less`. Accepted without effect: context, split_sentences, preserve_formatting,
        model_type, outline_detection, non_splitting_tags.
        """
        body = await read_json_or_form(request, DeepLBody)
        body.check_supported()
        texts = checked_texts(body.text, settings, allow_blank=True)
        pairs = translator.language_pairs()
        target = match_language(body.target_lang, (target for _, target in pairs), "target_lang")
        source = body.source_lang and match_language(body.source_lang, (source for source, _ in pairs), "source_lang")
        with request_scope(request, settings) as scope:
            glossary: Mapping[str, str] = {}
            if body.glossary_id:
                terms = glossary_terms(glossaries, request, body.glossary_id, source, target)
                glossary = await scope.run(lambda: terms.find(texts, scope.check), in_thread=True)
            translation_request = TranslationRequest(
                texts,
                target=target,
                source=source,
                format=body.format,
                splitting=body.element_names(body.splitting_tags),
                ignored=body.element_names(body.ignore_tags),
                glossary=glossary,
            )
            done = await translator.translate(translation_request, scope)
        usage.count_characters(sum(map(len, texts)))
        translations = [_translation(body, result, text) for result, text in zip(done.results, texts, strict=True)]
        return JSONResponse({"translations": translations})

    @router.get(
        "/v2/languages",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, InvalidRequest) | LANGUAGES_RESPONSE,
        response_model_exclude_none=True,
    )
    async def languages(
        request: Request,
        type: Annotated[Literal["source", "target"] | None, Query(description="`source` by default.")] = None,
    ) -> list[DeepLLanguage]:
        """List the source or the target languages."""
        query = await read_json_or_form(request, DeepLLanguagesQuery)  # the official client sends `type` in a form
        sources, targets = _language_codes(translator)
        if query.type == "source":
            return [_language(code) for code in sources]
        return [_language(code, supports_formality=False) for code in targets]

    # Nextcloud and Rebased send a form to the list of languages.
    posted = json_or_form_body(DeepLLanguagesQuery.model_json_schema(), {"type": "target"})
    posted["requestBody"]["required"] = False
    router.post(
        "/v2/languages",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, InvalidRequest) | LANGUAGES_RESPONSE,
        response_model_exclude_none=True,
        openapi_extra=posted,
        name="post_languages",
    )(languages)

    @router.get("/v2/usage", responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS) | USAGE_RESPONSE)
    async def get_usage() -> DeepLUsage:
        """Return the numbers of characters and documents translated so far."""
        return DeepLUsage(character_count=usage.characters, document_count=usage.documents)

    @router.get(
        "/v3/languages",
        responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, InvalidRequest) | LANGUAGES_V3_RESPONSE,
    )
    async def languages_v3(
        resource: Annotated[
            Literal[
                "translate_text",
                "translate_document",
                "glossary",
                "voice",
                "write",
                "style_rules",
                "translation_memory",
            ],
            Query(description="What the languages are for."),
        ],
    ) -> list[DeepLLanguageV3]:
        """List the languages of a resource."""
        return _languages_v3(translator, resource)

    return router


def glossary_terms(
    store: GlossaryStore, request: Request, glossary_id: str, source: str | None, target: str
) -> GlossaryTerms:
    """Return the dictionary of a glossary for a request's languages.

    Raises:
        InvalidRequest: the request has no source language, or what it has is no id.
    """
    if not source:
        raise InvalidRequest("Use of a glossary requires the source_lang parameter to be specified")
    try:
        glossary = str(UUID(glossary_id))
    except ValueError:
        raise InvalidRequest("Value for 'glossary_id' not supported.") from None
    return GlossaryTerms(store, owner_of(request), glossary, (source, target))


def owner_of(request: Request) -> str:
    """Return whose glossaries a request means: the API key's, or where keys are not required those of all callers."""
    return request.scope.get("key") or ""


class DeepLLanguagesQuery(BaseModel):
    """Which languages to list."""

    type: Literal["source", "target"] = "source"


def match_language(code: str, languages: Iterable[str], field: str) -> str:
    """Return the served language for a code such as DE, EN-GB or ZH-HANS.

    Raises:
        UnknownModel: it is not served.
    """
    served = frozenset(languages)
    language = find_language(code, served)
    if language is None:
        known = ", ".join(sorted(map(str.upper, served))) or "no language"
        raise UnknownModel(f"Value for '{field}' not supported: {code!r}; there is {known}")
    return language


def _language_codes(translator: Translator) -> tuple[list[str], list[str]]:
    """Return the source and the target languages, in the original's spelling."""
    pairs = translator.language_pairs()
    sources = sorted({source.upper() for source, _ in pairs})
    targets = sorted({target.upper() for _, target in pairs})
    return sources, [variant for code in targets for variant in VARIANTS.get(code, [code])]


def _translation(body: DeepLBody, result: TranslationResult, text: str) -> dict[str, Any]:
    translation: dict[str, Any] = {"detected_source_language": result.source.upper(), "text": result.text}
    if body.shows_billed_characters:
        translation["billed_characters"] = len(text)
    if body.model_type is not None:
        translation["model_type_used"] = MODEL_TYPE_USED
    if result.warnings:
        translation["warnings"] = result.warnings
    return translation


def _languages_v3(translator: Translator, resource: str) -> list[DeepLLanguageV3]:
    """Return the languages of a resource; none if it is not served."""
    if resource not in V3_FEATURES:
        return []
    pairs = translator.language_pairs()
    sources, targets = {source for source, _ in pairs}, {target for _, target in pairs}
    return [
        DeepLLanguageV3(
            lang=language,
            name=language_name(language),
            usable_as_source=language in sources,
            usable_as_target=language in targets,
            features={feature: {"status": "stable"} for feature in V3_FEATURES[resource]},
        )
        for language in sorted(sources | targets)
    ]


def _language(code: str, supports_formality: Literal[False] | None = None) -> DeepLLanguage:
    return DeepLLanguage(language=code, name=language_name(code), supports_formality=supports_formality)


def _choice_schema(values: list[str]) -> dict[str, Any]:
    """Return the schema of an option that may be one of these strings, or the number or boolean that one means."""
    schemas: list[dict[str, Any]] = [{"type": "string", "enum": values}, {"type": "null"}]
    if "true" in values:
        schemas.append({"type": "boolean"})
    if "0" in values:
        schemas.append({"type": "integer", "enum": [0, 1]})
    return {"anyOf": schemas}


def _translate_body(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = DeepLBody.model_json_schema()
    properties = schema["properties"]
    sources, targets = _language_codes(translator)
    properties["text"] |= texts_schema(settings, allow_blank=True)
    properties["source_lang"]["anyOf"][0]["enum"] = ["", *sources]
    properties["target_lang"]["enum"] = targets
    for name, values in CHOICES.items():
        properties[name] = _choice_schema([value for value in values if value not in ("more", "less")])
    for name in UNSUPPORTED:
        del properties[name]
    return json_or_form_body(schema, TRANSLATE_EXAMPLE)
