"""LibreTranslate's dialect: /translate, /detect, /languages, /suggest, /frontend/settings, /health, /spec.

Bodies are JSON or forms; older clients send a query string instead of a body. Source: the specification and the code of
LibreTranslate 1.9. Errors have its words, which some clients compare. Responses may have `warnings`, an addition to the
original.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.api.libretranslate_spec import swagger_document
from service.api.shared import MODEL_ERRORS, checked_texts, request_scope
from service.api.text_fields import Texts, texts_schema
from service.documents.translation import EXTENSIONS
from service.engine.options import MAX_BEAM, DecodingOptions
from service.errors import (
    InvalidRequest,
    MissingKey,
    RateLimited,
    ServiceError,
    SuggestionsDisabled,
    Unauthorised,
    UnknownModel,
    UnsupportedDocument,
)
from service.http.error_formats import ErrorFormat, FieldErrors, error_message
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body, response_example
from service.models.options import TranslationOptions
from service.settings import Settings
from service.text.languages import language_name, match_language
from service.translation.request import AUTO, Detection, TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = ("/translate", "/detect", "/languages", "/suggest", "/frontend", "/health", "/spec")
# The original's own names of these languages, besides the usual tags.
ALIASES = {"pb": "pt-BR", "zt": "zh-Hant"}
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


COUNT_SCHEMA = {"anyOf": [{"type": "integer", "maximum": MAX_BEAM - 1}, {"type": "string", "pattern": "^-?[0-9]$"}]}
Count = Annotated[int | str, WithJsonSchema(COUNT_SCHEMA)]


class LibreTranslateError(BaseModel):
    """An error in the format of LibreTranslate."""

    error: str


def _error_body(error: ServiceError, status: int, request_id: str, fields: FieldErrors) -> dict[str, Any]:
    match error:
        case MissingKey():
            return {"error": "Please contact the server operator to get an API key"}
        case Unauthorised():
            return {"error": "Invalid API key"}
        case RateLimited():
            return {"error": f"Slowdown: {error_message(error)}"}
        case UnsupportedDocument():
            return {"error": f"Invalid request: file format not supported ({error_message(error)})"}
    if any(not one["field"] for one in fields):  # the body itself
        return {"error": "Invalid JSON format"}
    return {"error": error_message(error)}


ERROR_FORMAT = ErrorFormat(
    LibreTranslateError, _error_body,
    statuses={"invalid_request": 400, "empty_text": 400, "unknown_model": 400, "unauthorised": 403, MissingKey: 400},
)  # fmt: skip


class LibreTranslateBody(BaseModel):
    """Texts to translate. What may be missing here is checked by the route, in the original's words."""

    q: Annotated[Texts | None, Field(description="One text, or a list of texts; answered in order.")] = None
    source: Annotated[str | None, Field(description="Source language, or `auto` to detect it.")] = AUTO
    target: str | None = None
    format: Annotated[str | None, Field(description="`text` or `html`.")] = "text"
    alternatives: Annotated[Count, Field(description="Number of alternative translations to return.")] = 0
    api_key: str | None = None


class LibreTranslateDetectBody(BaseModel):
    """A text whose language to detect, or a list of texts in one language."""

    q: Texts | None = None
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
        texts = _checked_texts(body.q, settings)
        source, target = _languages(body.source, body.target, translator)
        if body.format not in (None, "", "text", "html"):
            raise InvalidRequest(f"{quoted(body.format)} format is not supported")
        alternatives = _alternatives(body)
        decoding = DecodingOptions(beam_size=alternatives + 1, n_best=alternatives + 1)
        translation_request = TranslationRequest(
            texts,
            target,
            source=None if source == AUTO else source,
            options=TranslationOptions(decoding),
            format="html" if body.format == "html" else "text",
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
        """Detect the language of a text, or of a list of texts together; the most probable first."""
        body = await read_json_or_form(request, LibreTranslateDetectBody)
        texts = _checked_texts(body.q, settings)
        with request_scope(request, settings) as scope:
            detections = await translator.detect(texts, scope)
        return JSONResponse([_detected_language(detection) for detection in _averaged(texts, detections)])

    @router.post("/suggest", include_in_schema=False)
    async def suggest() -> None:
        """Refuse a suggestion of a better translation, as the original does where it keeps none."""
        raise SuggestionsDisabled()

    @router.get("/languages", responses=LANGUAGES_RESPONSE)
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

    @router.get("/spec", include_in_schema=False)
    async def spec(request: Request) -> JSONResponse:
        """Return a description of this dialect, by which clients recognise a server."""
        return JSONResponse(swagger_document(request.app.version))

    return router


def targets_of(translator: Translator) -> dict[str, list[str]]:
    """Return the target languages of every source language, in alphabetical order."""
    targets: dict[str, list[str]] = {}
    for source, target in sorted(translator.language_pairs()):
        targets.setdefault(source, []).append(target)
    return targets


def quoted(text: str) -> str:
    """Return a client's word for an error message: shortened and printable."""
    return ascii(text[:40])[1:-1]


def served_language(code: str, languages: Collection[str]) -> str:
    """Return the served language that a code means; `auto`, if it is among the languages, in any case.

    Raises:
        UnknownModel: it is not served.
    """
    code = code.lower()
    language = AUTO if code == AUTO and AUTO in languages else match_language(ALIASES.get(code, code), languages)
    if language is None:
        raise UnknownModel(f"{quoted(code)} is not supported")
    return language


def missing(name: str) -> InvalidRequest:
    """Return the error for a missing parameter."""
    return InvalidRequest(f"Invalid request: missing {name} parameter")


def _checked_texts(q: str | list[str] | None, settings: Settings) -> list[str]:
    """Return the texts of a request.

    Raises:
        InvalidRequest: there are none, too many, or too long ones.
        TooLarge: see `checked_texts`.
    """
    if not q:
        raise missing("q")
    texts = [q] if isinstance(q, str) else q
    sizes = [(len(texts), settings.max_texts), *((len(text), settings.max_text_characters) for text in texts)]
    for size, limit in sizes:
        if size > limit:
            raise InvalidRequest(f"Invalid request: request ({size}) exceeds text limit ({limit})")
    return checked_texts(texts, settings, "q", allow_blank=True)


def _languages(source: str | None, target: str | None, translator: Translator) -> tuple[str, str]:
    """Return the served languages of a request; the source may be `auto`.

    Raises:
        InvalidRequest: one is missing.
        UnknownModel: one is not served, or nothing translates between them.
    """
    if not source:
        raise missing("source")
    if not target:
        raise missing("target")
    pairs = translator.language_pairs()
    languages = {language for pair in pairs for language in pair}
    source, target = served_language(source, {AUTO, *languages}), served_language(target, languages)
    if source not in (AUTO, target) and (source, target) not in pairs:
        raise UnknownModel(
            f"{language_name(target)} ({target}) is not available as a target language from "
            f"{language_name(source)} ({source})"
        )
    return source, target


def _alternatives(body: LibreTranslateBody) -> int:
    """Return the number of alternatives.

    Raises:
        InvalidRequest: it is not a number, or too large.
    """
    try:
        count = max(0, int(body.alternatives))
    except ValueError:
        raise InvalidRequest("Invalid request: alternatives parameter is not a number") from None
    if count >= MAX_BEAM:
        raise InvalidRequest(f"Invalid request: alternatives parameter must be <= {MAX_BEAM - 1}")
    return count


def _averaged(texts: Sequence[str], detections: Sequence[Sequence[Detection]]) -> list[Detection]:
    """Return the detections of all texts together: the mean confidence of each language, weighted by length."""
    if len(detections) == 1:
        return list(detections[0])
    totals: dict[str, float] = {}
    for text, ranked in zip(texts, detections, strict=True):
        for one in ranked:
            totals[one.language] = totals.get(one.language, 0.0) + one.confidence * len(text)
    length = sum(map(len, texts)) or 1
    found = [Detection(language, total / length) for language, total in totals.items()]
    return sorted(found, key=lambda one: -one.confidence)


def _reply(body: LibreTranslateBody, results: Sequence[TranslationResult]) -> dict[str, Any]:
    """Return the response; every field is a list if the request has a list of texts."""

    def unwrap(values: list[Any]) -> Any:
        return values if isinstance(body.q, list) else values[0]

    reply: dict[str, Any] = {"translatedText": unwrap([result.text for result in results])}
    if body.source is not None and body.source.lower() == AUTO:
        reply["detectedLanguage"] = unwrap(
            [result.detected and _detected_language(result.detected) for result in results]
        )
    if _alternatives(body):
        reply["alternatives"] = unwrap([[candidate.text for candidate in result.alternatives] for result in results])
    if any(result.warnings for result in results):
        reply["warnings"] = unwrap([result.warnings for result in results])
    return reply


def _detected_language(detection: Detection) -> dict[str, Any]:
    return {"confidence": round(100 * detection.confidence, 2), "language": detection.language}


def _translate_body(translator: Translator, settings: Settings) -> dict[str, Any]:
    schema = LibreTranslateBody.model_json_schema()
    pairs = translator.language_pairs()
    languages = {language for pair in pairs for language in pair}
    schema["properties"] |= {
        "q": _texts_schema(schema, settings),
        "source": {"type": "string", "enum": [AUTO, *sorted(languages)], "default": AUTO},
        "target": {"type": "string", "enum": sorted({target for _, target in pairs})},
        "format": {"anyOf": [{"type": "string", "enum": ["text", "html", ""]}, {"type": "null"}], "default": "text"},
    }
    schema["required"] = ["q", "target"]
    return json_or_form_body(schema, TRANSLATE_EXAMPLE)


def _detect_body(settings: Settings) -> dict[str, Any]:
    schema = LibreTranslateDetectBody.model_json_schema()
    schema["properties"]["q"] = _texts_schema(schema, settings)
    schema["required"] = ["q"]
    return json_or_form_body(schema, {"q": "Guten Morgen."})


def _texts_schema(schema: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the schema of `q`, which may be blank, but not empty."""
    texts = texts_schema(settings, allow_blank=True)
    texts["anyOf"][0] |= {"minLength": 1}
    field: dict[str, Any] = schema["properties"]["q"] | texts
    del field["default"]
    return field
