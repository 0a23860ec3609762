"""DeepL's dialect: /v2/translate, /v2/languages, /v2/usage.

Bodies are JSON or forms. Source: the OpenAPI document of DeepLcom/openapi 3, and what the official client, deepl 1.32,
sends. What would change a translation and cannot be done is refused; answers may have `warnings` besides.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema

from service.api.shared import FAULTS, checked_texts, request_scope
from service.api.text_fields import first_wrong_text, texts_schema
from service.errors import InvalidRequest, ServiceError, UnknownModel
from service.http.body_limit import REFUSALS
from service.http.error_formats import ErrorFormat, Errors, printable
from service.http.forms import form_content, read_fields
from service.settings import Settings
from service.text.languages import language_name
from service.translation.request import TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = (
    "/v2/translate", "/v2/languages", "/v2/usage",
    "/v2/document", "/v2/glossaries", "/v2/glossary-language-pairs", "/v2/write",  # not found, in DeepL's words
)  # fmt: skip
EXAMPLE = {"text": ["Guten Morgen.", "Wo ist der Bahnhof?"], "source_lang": "DE", "target_lang": "EN-GB"}
UNLIMITED = 1_000_000_000_000  # how the original writes that there is no limit
# The original's clients refuse to translate to these without saying which kind.
VARIANTS = {"EN": ["EN-GB", "EN-US"], "PT": ["PT-BR", "PT-PT"]}
REFUSED = ("glossary_id", "glossary_ids", "style_id", "translation_memory_id", "custom_instructions")


def _divided(tags: Any) -> Any:
    """Names may come as a list or with commas between them."""
    rows = [tags] if isinstance(tags, str) else tags
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        return tags
    return [name.strip() for row in rows for name in row.split(",")]


TAGS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 1000}]}
Tags = Annotated[list[str], FailFast(), Field(max_length=1000), BeforeValidator(_divided), WithJsonSchema(TAGS_SCHEMA)]


class DeepLError(BaseModel):
    """An error as DeepL puts it."""

    message: str


def _error(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    return {"message": printable(fault)}


ERROR_FORMAT = ErrorFormat(
    DeepLError, _error,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip


class DeepLBody(BaseModel):
    """Texts to translate."""

    text: Annotated[str | list[str], BeforeValidator(first_wrong_text), Field(description="Texts, answered in order.")]
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

    def refuse(self) -> None:
        """Raise InvalidRequest for what cannot be done."""
        if given := [name for name in REFUSED if getattr(self, name)]:
            raise InvalidRequest(f"{', '.join(given)}: not supported here; leave it out")

    def names(self, tags: list[str]) -> frozenset[str]:
        """Names of elements as the markup has them; HTML has no capitals."""
        return frozenset(name.lower() if self.tag_handling == "html" else name for name in tags)


class DeepLTranslation(BaseModel):
    """One text's translation."""

    detected_source_language: str
    text: str
    billed_characters: int | None = None
    warnings: list[str] | None = None


class DeepLReply(BaseModel):
    """As many translations as texts, in order."""

    translations: list[DeepLTranslation]


class DeepLLanguage(BaseModel):
    """A language; whether it has degrees of formality is told of target languages."""

    language: str
    name: str
    supports_formality: Literal[False] | None = None


class DeepLUsage(BaseModel):
    """Characters translated in this dialect since the process started; the limit is so high as to be none."""

    character_count: int
    character_limit: int = UNLIMITED


def deepl_router(translator: Translator, settings: Settings) -> APIRouter:
    """The routes over the translator."""
    router = APIRouter(prefix="/v2", tags=["deepl"])
    usage = DeepLUsage(character_count=0)

    @router.post(
        "/translate",
        responses=ERROR_FORMAT.responses(*FAULTS),
        response_model=DeepLReply,
        openapi_extra=_request(translator, settings),
    )
    async def translate(request: Request) -> JSONResponse:
        """Translate texts.

        Refused, because no model here could: glossary_id, glossary_ids, style_id, translation_memory_id,
        custom_instructions, and a formality of more or less. Hints that make no difference: context,
        split_sentences, preserve_formatting, model_type, outline_detection, non_splitting_tags.
        """
        body = await read_fields(request, DeepLBody)
        body.refuse()
        texts = checked_texts(body.text, settings, blank=isinstance(body.text, list))
        translation_request = TranslationRequest(
            texts,
            target=served(body.target_lang, (target for _, target in translator.language_pairs()), "target_lang"),
            source=body.source_lang
            and served(body.source_lang, (source for source, _ in translator.language_pairs()), "source_lang"),
            format=body.tag_handling or "text",
            splitting=body.names(body.splitting_tags),
            ignored=body.names(body.ignore_tags),
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
        "/languages", responses=ERROR_FORMAT.responses(*REFUSALS, InvalidRequest), response_model_exclude_none=True
    )
    async def languages(
        request: Request,
        type: Annotated[Literal["source", "target"] | None, Query(description="By default source.")] = None,
    ) -> list[DeepLLanguage]:
        """The languages; the official client asks for its type in a form."""
        wish = await read_fields(request, LanguagesQuery)
        sources, targets = _listed(translator)
        if wish.type == "source":
            return [_language(code) for code in sources]
        return [_language(code, supports_formality=False) for code in targets]

    @router.get("/usage", responses=ERROR_FORMAT.responses(*REFUSALS))
    async def used() -> DeepLUsage:
        """How much was translated."""
        return usage

    return router


class LanguagesQuery(BaseModel):
    """Which languages are asked for."""

    type: Literal["source", "target"] = "source"


def served(code: str, languages: Iterable[str], field: str) -> str:
    """The language of ours that is meant by DE, EN-GB or ZH-HANS: the same, or the same without its region.

    Raises:
        UnknownModel: there is none.
    """
    ours = {language.lower(): language for language in languages}
    wanted = code.lower()
    found = ours.get(wanted) or ours.get(wanted.partition("-")[0])
    if found is None:
        known = ", ".join(sorted(language.upper() for language in ours)) or "no language"
        raise UnknownModel(f"Value for '{field}' not supported: {code!r}; there is {known}")
    return found


def _listed(translator: Translator) -> tuple[list[str], list[str]]:
    """The source and the target languages, in the original's spelling."""
    pairs = translator.language_pairs()
    targets = sorted({target.upper() for _, target in pairs})
    return sorted({source.upper() for source, _ in pairs}), [
        kind for code in targets for kind in VARIANTS.get(code, [code])
    ]


def _translation(result: TranslationResult, billed: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"detected_source_language": result.source.upper(), "text": result.text}
    if billed is not None:
        told["billed_characters"] = billed
    if result.warnings:
        told["warnings"] = result.warnings
    return told


def _language(code: str, supports_formality: Literal[False] | None = None) -> DeepLLanguage:
    return DeepLLanguage(language=code, name=language_name(code), supports_formality=supports_formality)


def _request(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = DeepLBody.model_json_schema()
    properties = schema["properties"]
    sources, targets = _listed(translator)
    properties["text"] |= texts_schema(settings, blank=True)
    properties["source_lang"]["anyOf"][0]["enum"] = sources
    properties["target_lang"]["enum"] = targets
    for name in REFUSED:
        del properties[name]
    return form_content(schema, EXAMPLE)
