"""LibreTranslate's dialect: /translate, /detect, /languages, /frontend/settings, /health.

Bodies are JSON or forms, and its older clients send no body but a query. Source: the specification and the code of
LibreTranslate 1.6; answers may have `warnings` besides, which the original never gives.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.api.shared import FAULTS, checked_texts, request_scope
from service.api.text_fields import first_wrong_text, text_schema, texts_schema
from service.engine.decoding.options import MAX_BEAM, DecodingOptions
from service.errors import ServiceError
from service.http.body_limit import REFUSALS
from service.http.error_formats import ErrorFormat, Errors, printable
from service.http.forms import form_content, read_fields
from service.models.options import TranslationOptions
from service.settings import Settings
from service.text.languages import language_name
from service.translation.request import AUTO, Detection, TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = ("/translate", "/detect", "/languages", "/frontend", "/health")
TRANSLATE_EXAMPLE = {"q": "Guten Morgen.", "source": "de", "target": "en", "format": "text", "alternatives": 0}
Language = Annotated[str, Field(min_length=1, max_length=35)]


class LibreTranslateError(BaseModel):
    """An error as LibreTranslate puts it."""

    error: str


def _error(fault: ServiceError, status: int, request_id: str, errors: Errors) -> dict[str, Any]:
    return {"error": printable(fault)}


ERROR_FORMAT = ErrorFormat(
    LibreTranslateError, _error,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403},
)  # fmt: skip


class LibreTranslateBody(BaseModel):
    """Texts to translate."""

    q: Annotated[
        str | list[str], BeforeValidator(first_wrong_text), Field(description="One text, or a list answered in order.")
    ]
    source: Annotated[Language, Field(description="A language, or auto.")] = AUTO
    target: Language
    format: Literal["text", "html", ""] | None = "text"
    alternatives: Annotated[int, Field(ge=0, lt=MAX_BEAM, description="How many other translations are wanted.")] = 0
    api_key: str | None = None


class DetectBody(BaseModel):
    """A text whose language is asked for."""

    q: str
    api_key: str | None = None


class DetectedLanguage(BaseModel):
    """A language, and how sure that is, in percent."""

    confidence: Annotated[float, Field(ge=0, le=100)]
    language: str


class LibreTranslateReply(BaseModel):
    """Translations; each a list where `q` is one."""

    model_config = ConfigDict(extra="forbid")

    translatedText: str | list[str]  # noqa: N815
    detectedLanguage: DetectedLanguage | list[DetectedLanguage | None] | None = None  # noqa: N815
    alternatives: list[str] | list[list[str]] | None = None
    warnings: list[str] | list[list[str]] | None = None


class ListedLanguage(BaseModel):
    """A language that texts may be in."""

    code: str
    name: str
    targets: list[str]


class NamedLanguage(BaseModel):
    """A language."""

    code: str
    name: str


class FrontendLanguages(BaseModel):
    """What a page chooses at first."""

    source: NamedLanguage
    target: NamedLanguage


class FrontendSettings(BaseModel):
    """What a page should know."""

    charLimit: int  # noqa: N815
    frontendTimeout: int = 500  # noqa: N815
    apiKeys: bool  # noqa: N815
    keyRequired: bool  # noqa: N815
    suggestions: bool = False
    filesTranslation: bool = False  # noqa: N815
    supportedFilesFormat: list[str] = []  # noqa: N815
    language: FrontendLanguages


class Health(BaseModel):
    """It answers."""

    status: Literal["ok"] = "ok"


def libretranslate_router(translator: Translator, settings: Settings) -> APIRouter:
    """The routes over the translator."""
    router = APIRouter(tags=["libretranslate"])
    errors = ERROR_FORMAT.responses(*FAULTS)

    @router.post(
        "/translate",
        responses=errors,
        response_model=LibreTranslateReply,
        openapi_extra=_translate_request(translator, settings),
    )
    async def translate(request: Request) -> JSONResponse:
        """Translate one text or a list of texts."""
        body = await read_fields(request, LibreTranslateBody)
        texts = checked_texts(body.q, settings, blank=isinstance(body.q, list))
        width = body.alternatives + 1
        options = TranslationOptions(DecodingOptions(beam_size=width, n_best=width))
        translation_request = TranslationRequest(
            texts, body.target, source=body.source, options=options, format=body.format or "text"
        )
        with request_scope(request, settings) as scope:
            done = await translator.translate(translation_request, scope)
        return JSONResponse(_reply(body, done.results))

    @router.post(
        "/detect", responses=errors, response_model=list[DetectedLanguage], openapi_extra=_detect_request(settings)
    )
    async def detect(request: Request) -> JSONResponse:
        """Find out a text's language; the most probable first."""
        body = await read_fields(request, DetectBody)
        texts = checked_texts(body.q, settings)
        with request_scope(request, settings) as scope:
            found = await translator.detect(texts, scope)
        return JSONResponse([_detected(one) for one in found[0]])

    @router.get("/languages", responses=ERROR_FORMAT.responses(*REFUSALS))
    async def languages() -> list[ListedLanguage]:
        """The languages that texts may be in, and those that each is translated to."""
        return [
            ListedLanguage(code=source, name=language_name(source), targets=targets)
            for source, targets in targets_of(translator).items()
        ]

    @router.get("/frontend/settings")
    async def frontend_settings() -> FrontendSettings:
        """What a page should know."""
        targets = sorted({target for targets in targets_of(translator).values() for target in targets}) or [""]
        target = NamedLanguage(code=targets[0], name=language_name(targets[0]))
        chosen = FrontendLanguages(source=NamedLanguage(code=AUTO, name="Auto Detect"), target=target)
        return FrontendSettings(
            charLimit=settings.max_text_characters,
            apiKeys=settings.closed,
            keyRequired=settings.closed,
            language=chosen,
        )

    @router.get("/health")
    async def health() -> Health:
        """The process answers."""
        return Health()

    return router


def targets_of(translator: Translator) -> dict[str, list[str]]:
    """The languages that are translated from, each with those that it is translated to, in alphabetical order."""
    found: dict[str, list[str]] = {}
    for source, target in sorted(translator.language_pairs()):
        found.setdefault(source, []).append(target)
    return found


def _reply(body: LibreTranslateBody, results: Sequence[TranslationResult]) -> dict[str, Any]:
    """The answer; a list in gives lists out."""

    def shaped(values: list[Any]) -> Any:
        return values if isinstance(body.q, list) else values[0]

    reply: dict[str, Any] = {"translatedText": shaped([result.text for result in results])}
    if body.source == AUTO:
        reply["detectedLanguage"] = shaped([result.detected and _detected(result.detected) for result in results])
    if body.alternatives:
        reply["alternatives"] = shaped([[other.text for other in result.alternatives] for result in results])
    if any(result.warnings for result in results):
        reply["warnings"] = shaped([result.warnings for result in results])
    return reply


def _detected(detection: Detection) -> dict[str, Any]:
    return {"confidence": round(100 * detection.confidence, 2), "language": detection.language}


def _translate_request(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = LibreTranslateBody.model_json_schema()
    pairs = translator.language_pairs()
    properties = schema["properties"]
    properties["q"] |= texts_schema(settings, blank=True)
    properties["source"]["enum"] = [AUTO, *sorted({source for source, _ in pairs})]
    properties["target"]["enum"] = sorted({target for _, target in pairs})
    return form_content(schema, TRANSLATE_EXAMPLE)


def _detect_request(settings: Settings) -> dict[str, Any]:
    schema = DetectBody.model_json_schema()
    schema["properties"]["q"] |= text_schema(settings)
    return form_content(schema, {"q": "Guten Morgen."})
