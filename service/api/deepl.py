"""DeepL's dialect: /v2/translate, /v2/languages, /v2/usage.

Bodies are JSON or forms. Source: the OpenAPI document of DeepLcom/openapi 3, and the requests of the official client,
deepl 1.32. An option that would change the translation but is not supported is an error. Responses may have `warnings`,
an addition to the original.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema

from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, request_scope
from service.api.text_fields import Texts, texts_schema
from service.errors import InvalidRequest, ServiceError, UnknownModel
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body, response_example
from service.settings import Settings
from service.text.languages import language_name
from service.text.languages import match_language as find_language
from service.translation.request import TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = (
    "/v2/translate", "/v2/languages", "/v2/usage",
    "/v2/document", "/v2/glossaries", "/v2/glossary-language-pairs", "/v2/write",  # the last four are not served
)  # fmt: skip
TRANSLATE_EXAMPLE = {"text": ["Guten Morgen.", "Wo ist der Bahnhof?"], "source_lang": "DE", "target_lang": "EN-GB"}
UNLIMITED = 1_000_000_000_000  # how the original reports that there is no limit
TRANSLATE_RESPONSE = response_example({"translations": [{"detected_source_language": "DE", "text": "Good morning."}]})
LANGUAGES_RESPONSE = response_example([{"language": "DE", "name": "German", "supports_formality": False}])
USAGE_RESPONSE = response_example({"character_count": 180118, "character_limit": UNLIMITED})
# As targets, the original's clients accept these languages only with a region.
VARIANTS = {"EN": ["EN-GB", "EN-US"], "PT": ["PT-BR", "PT-PT"]}
UNSUPPORTED = ("glossary_id", "glossary_ids", "style_id", "translation_memory_id", "custom_instructions")


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


class DeepLError(BaseModel):
    """An error in the format of DeepL."""

    message: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"message": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    DeepLError, _error_body,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip


class DeepLBody(BaseModel):
    """Texts to translate."""

    text: Annotated[Texts, Field(description="Texts; answered in order.")]
    target_lang: Annotated[str, Field(min_length=1, max_length=35)]
    source_lang: Annotated[str | None, Field(min_length=1, max_length=35)] = None
    tag_handling: Literal["html", "xml"] | None = None
    show_billed_characters: bool = False
    formality: Literal["default", "prefer_more", "prefer_less"] | None = None
    splitting_tags: Tags = []
    ignore_tags: Tags = []
    glossary_id: Any = None
    glossary_ids: Any = None
    style_id: Any = None
    translation_memory_id: Any = None
    custom_instructions: Any = None

    def check_supported(self) -> None:
        """Check that no unsupported option is given.

        Raises:
            InvalidRequest: some are.
        """
        if given := [name for name in UNSUPPORTED if getattr(self, name)]:
            raise InvalidRequest(f"{', '.join(given)}: not supported here; leave it out")

    def element_names(self, tags: list[str]) -> frozenset[str]:
        """Return names of elements as the markup parser has them: in HTML in lower case."""
        return frozenset(name.lower() if self.tag_handling == "html" else name for name in tags)


class DeepLTranslation(BaseModel):
    """The translation of one text."""

    detected_source_language: str
    text: str
    billed_characters: int | None = None
    warnings: list[str] | None = None


class DeepLReply(BaseModel):
    """One translation per text, in order."""

    translations: list[DeepLTranslation]


class DeepLLanguage(BaseModel):
    """A language; target languages also have `supports_formality`."""

    language: str
    name: str
    supports_formality: Literal[False] | None = None


class DeepLUsage(BaseModel):
    """Characters translated by this API since the process started."""

    character_count: int
    character_limit: int = UNLIMITED


def deepl_router(translator: Translator, settings: Settings) -> APIRouter:
    """Return the routes over the translator."""
    router = APIRouter(prefix="/v2", tags=["deepl"])
    usage = DeepLUsage(character_count=0)

    @router.post(
        "/translate",
        responses=ERROR_FORMAT.openapi_responses(*MODEL_ERRORS) | TRANSLATE_RESPONSE,
        response_model=DeepLReply,
        openapi_extra=_translate_body(translator, settings),
    )
    async def translate(request: Request) -> JSONResponse:
        """Translate texts.

        Not supported, and an error if given: glossary_id, glossary_ids, style_id, translation_memory_id,
        custom_instructions, and a formality of `more` or `less`. Accepted without effect: context, split_sentences,
        preserve_formatting, model_type, outline_detection, non_splitting_tags.
        """
        body = await read_json_or_form(request, DeepLBody)
        body.check_supported()
        texts = checked_texts(body.text, settings, allow_blank=True)
        pairs = translator.language_pairs()
        translation_request = TranslationRequest(
            texts,
            target=match_language(body.target_lang, (target for _, target in pairs), "target_lang"),
            source=body.source_lang
            and match_language(body.source_lang, (source for source, _ in pairs), "source_lang"),
            format=body.tag_handling or "text",
            splitting=body.element_names(body.splitting_tags),
            ignored=body.element_names(body.ignore_tags),
        )
        with request_scope(request, settings) as scope:
            done = await translator.translate(translation_request, scope)
        usage.character_count += sum(map(len, texts))
        translations = [
            _translation(result, len(text) if body.show_billed_characters else None)
            for result, text in zip(done.results, texts, strict=True)
        ]
        return JSONResponse({"translations": translations})

    @router.get(
        "/languages",
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

    @router.get("/usage", responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS) | USAGE_RESPONSE)
    async def get_usage() -> DeepLUsage:
        """Return the number of characters translated so far."""
        return usage

    return router


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


def _translation(result: TranslationResult, billed_characters: int | None) -> dict[str, Any]:
    translation: dict[str, Any] = {"detected_source_language": result.source.upper(), "text": result.text}
    if billed_characters is not None:
        translation["billed_characters"] = billed_characters
    if result.warnings:
        translation["warnings"] = result.warnings
    return translation


def _language(code: str, supports_formality: Literal[False] | None = None) -> DeepLLanguage:
    return DeepLLanguage(language=code, name=language_name(code), supports_formality=supports_formality)


def _translate_body(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = DeepLBody.model_json_schema()
    properties = schema["properties"]
    sources, targets = _language_codes(translator)
    properties["text"] |= texts_schema(settings, allow_blank=True)
    properties["source_lang"]["anyOf"][0]["enum"] = sources
    properties["target_lang"]["enum"] = targets
    for name in UNSUPPORTED:
        del properties[name]
    return json_or_form_body(schema, TRANSLATE_EXAMPLE)
