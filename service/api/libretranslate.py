"""LibreTranslate's dialect: /translate, /detect, /languages, /frontend/settings, /health.

Bodies are JSON or forms; older clients send a query string instead of a body. Source: the specification and the code of
LibreTranslate 1.6. Responses may have `warnings`, an addition to the original.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, request_scope
from service.api.text_fields import Texts, text_schema, texts_schema
from service.documents.translation import EXTENSIONS
from service.engine.options import MAX_BEAM, DecodingOptions
from service.errors import ServiceError
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body, response_example
from service.models.options import TranslationOptions
from service.settings import Settings
from service.text.languages import language_name
from service.translation.request import AUTO, Detection, TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = ("/translate", "/detect", "/languages", "/frontend", "/health")
TRANSLATE_EXAMPLE = {"q": "Guten Morgen.", "source": "de", "target": "en", "format": "text", "alternatives": 0}
TRANSLATE_RESPONSE = response_example(
    {
        "translatedText": "Where's the station?",
        "detectedLanguage": {"confidence": 84.32, "language": "de"},
        "alternatives": ["Where is the station?"],
    }
)
DETECT_RESPONSE = response_example([{"confidence": 84.32, "language": "de"}])
LANGUAGES_RESPONSE = response_example([{"code": "de", "name": "German", "targets": ["en"]}])
SETTINGS_RESPONSE = response_example({
    "charLimit": 20000, "frontendTimeout": 500, "apiKeys": False, "keyRequired": False, "suggestions": False,
    "filesTranslation": True, "supportedFilesFormat": [".docx", ".html", ".srt", ".txt"],
    "language": {"source": {"code": "auto", "name": "Auto Detect"}, "target": {"code": "de", "name": "German"}},
})  # fmt: skip
Language = Annotated[str, Field(min_length=1, max_length=35)]


class LibreTranslateError(BaseModel):
    """An error in the format of LibreTranslate."""

    error: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    return {"error": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    LibreTranslateError, _error_body,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip


class LibreTranslateBody(BaseModel):
    """Texts to translate."""

    q: Annotated[Texts, Field(description="One text, or a list of texts; answered in order.")]
    source: Annotated[Language, Field(description="Source language, or `auto` to detect it.")] = AUTO
    target: Language
    format: Literal["text", "html", ""] | None = "text"
    alternatives: Annotated[
        int, Field(ge=0, lt=MAX_BEAM, description="Number of alternative translations to return.")
    ] = 0
    api_key: str | None = None


class LibreTranslateDetectBody(BaseModel):
    """A text whose language to detect."""

    q: str
    api_key: str | None = None


class DetectedLanguage(BaseModel):
    """A language, and its probability in percent."""

    confidence: Annotated[float, Field(ge=0, le=100)]
    language: str


class LibreTranslateReply(BaseModel):
    """Translations; every field is a list if `q` is a list."""

    model_config = ConfigDict(extra="forbid")

    translatedText: str | list[str]  # noqa: N815
    detectedLanguage: DetectedLanguage | list[DetectedLanguage | None] | None = None  # noqa: N815
    alternatives: list[str] | list[list[str]] | None = None
    warnings: list[str] | list[list[str]] | None = None


class SourceLanguageInfo(BaseModel):
    """A source language and the languages it is translated to."""

    code: str
    name: str
    targets: list[str]


class LanguageName(BaseModel):
    """A language and its English name."""

    code: str
    name: str


class FrontendLanguages(BaseModel):
    """The languages that the web page selects at first."""

    source: LanguageName
    target: LanguageName


class FrontendSettings(BaseModel):
    """The settings of the web page."""

    charLimit: int  # noqa: N815
    frontendTimeout: int = 500  # noqa: N815
    apiKeys: bool  # noqa: N815
    keyRequired: bool  # noqa: N815
    suggestions: bool = False
    filesTranslation: bool  # noqa: N815
    supportedFilesFormat: list[str]  # noqa: N815
    language: FrontendLanguages


class LibreTranslateHealth(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


def libretranslate_router(translator: Translator, settings: Settings) -> APIRouter:
    """Return the routes over the translator."""
    router = APIRouter(tags=["libretranslate"])
    errors = ERROR_FORMAT.openapi_responses(*MODEL_ERRORS)

    @router.post(
        "/translate",
        responses=errors | TRANSLATE_RESPONSE,
        response_model=LibreTranslateReply,
        openapi_extra=_translate_body(translator, settings),
    )
    async def translate(request: Request) -> JSONResponse:
        """Translate one text or a list of texts."""
        body = await read_json_or_form(request, LibreTranslateBody)
        texts = checked_texts(body.q, settings, allow_blank=isinstance(body.q, list))
        beam_size = body.alternatives + 1
        options = TranslationOptions(DecodingOptions(beam_size=beam_size, n_best=beam_size))
        translation_request = TranslationRequest(
            texts, body.target, source=body.source, options=options, format=body.format or "text"
        )
        with request_scope(request, settings) as scope:
            done = await translator.translate(translation_request, scope)
        return JSONResponse(_reply(body, done.results))

    @router.post(
        "/detect",
        responses=errors | DETECT_RESPONSE,
        response_model=list[DetectedLanguage],
        openapi_extra=_detect_body(settings),
    )
    async def detect(request: Request) -> JSONResponse:
        """Detect the language of a text; the most probable first."""
        body = await read_json_or_form(request, LibreTranslateDetectBody)
        texts = checked_texts(body.q, settings)
        with request_scope(request, settings) as scope:
            detections = await translator.detect(texts, scope)
        return JSONResponse([_detected_language(detection) for detection in detections[0]])

    @router.get("/languages", responses=ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS) | LANGUAGES_RESPONSE)
    async def languages() -> list[SourceLanguageInfo]:
        """List the source languages, and the languages that each is translated to."""
        return [
            SourceLanguageInfo(code=source, name=language_name(source), targets=targets)
            for source, targets in targets_of(translator).items()
        ]

    @router.get("/frontend/settings", responses=SETTINGS_RESPONSE)
    async def frontend_settings() -> FrontendSettings:
        """Return the settings of the web page."""
        targets = sorted({target for targets in targets_of(translator).values() for target in targets}) or [""]
        target = LanguageName(code=targets[0], name=language_name(targets[0]))
        selected = FrontendLanguages(source=LanguageName(code=AUTO, name="Auto Detect"), target=target)
        return FrontendSettings(
            charLimit=settings.max_text_characters,
            apiKeys=settings.requires_key,
            keyRequired=settings.requires_key,
            filesTranslation=True,
            supportedFilesFormat=[f".{extension}" for extension in EXTENSIONS],
            language=selected,
        )

    @router.get("/health", responses=response_example({"status": "ok"}))
    async def health() -> LibreTranslateHealth:
        """Return 200 while the process answers."""
        return LibreTranslateHealth()

    return router


def targets_of(translator: Translator) -> dict[str, list[str]]:
    """Return the target languages of every source language, in alphabetical order."""
    targets: dict[str, list[str]] = {}
    for source, target in sorted(translator.language_pairs()):
        targets.setdefault(source, []).append(target)
    return targets


def _reply(body: LibreTranslateBody, results: Sequence[TranslationResult]) -> dict[str, Any]:
    """Return the response; every field is a list if the request has a list of texts."""

    def unwrap(values: list[Any]) -> Any:
        return values if isinstance(body.q, list) else values[0]

    reply: dict[str, Any] = {"translatedText": unwrap([result.text for result in results])}
    if body.source.lower() == AUTO:
        reply["detectedLanguage"] = unwrap(
            [result.detected and _detected_language(result.detected) for result in results]
        )
    if body.alternatives:
        reply["alternatives"] = unwrap([[candidate.text for candidate in result.alternatives] for result in results])
    if any(result.warnings for result in results):
        reply["warnings"] = unwrap([result.warnings for result in results])
    return reply


def _detected_language(detection: Detection) -> dict[str, Any]:
    return {"confidence": round(100 * detection.confidence, 2), "language": detection.language}


def _translate_body(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = LibreTranslateBody.model_json_schema()
    pairs = translator.language_pairs()
    properties = schema["properties"]
    properties["q"] |= texts_schema(settings, allow_blank=True)
    properties["source"]["enum"] = [AUTO, *sorted({source for source, _ in pairs})]
    properties["target"]["enum"] = sorted({target for _, target in pairs})
    return json_or_form_body(schema, TRANSLATE_EXAMPLE)


def _detect_body(settings: Settings) -> dict[str, Any]:
    schema = LibreTranslateDetectBody.model_json_schema()
    schema["properties"]["q"] |= text_schema(settings)
    return json_or_form_body(schema, {"q": "Guten Morgen."})
