"""The routes /v2/translate, /v2/languages, /v3/languages and /v2/usage.

Bodies are JSON or forms. Responses may have `warnings`, an addition to the original.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from service.api.deepl.errors import ERROR_FORMAT
from service.api.deepl.glossaries import glossary_terms
from service.api.deepl.languages import describe_language, language_codes, languages_v3, match_language
from service.api.deepl.requests import DeepLBody, DeepLLanguagesQuery, translate_body
from service.api.deepl.responses import (
    LANGUAGES_RESPONSE,
    LANGUAGES_V3_RESPONSE,
    TRANSLATE_RESPONSE,
    USAGE_RESPONSE,
    DeepLLanguage,
    DeepLLanguageV3,
    DeepLReply,
    DeepLUsage,
)
from service.api.shared import MIDDLEWARE_ERRORS, MODEL_ERRORS, checked_texts, request_scope
from service.documents.jobs import DocumentJob
from service.errors import InvalidRequest
from service.glossaries.store import GlossaryStore
from service.http.forms import read_json_or_form
from service.http.openapi import json_or_form_body
from service.settings import Settings
from service.translation.request import TranslationRequest, TranslationResult
from service.translation.translator import Translator

PATHS = (
    "/v2/translate", "/v2/languages", "/v2/usage", "/v2/document", "/v2/glossaries", "/v2/glossary-language-pairs",
    "/v2/write", "/v2/admin", "/v3",  # not served: write, admin, and other resources of version 3
)  # fmt: skip
MODEL_TYPE_USED = "quality_optimized"  # there is one kind of model


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
        openapi_extra=translate_body(translator, settings),
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
        sources, targets = language_codes(translator)
        if query.type == "source":
            return [describe_language(code) for code in sources]
        return [describe_language(code, supports_formality=False) for code in targets]

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
    async def list_languages_v3(
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
        return languages_v3(translator, resource)

    return router


def _translation(body: DeepLBody, result: TranslationResult, text: str) -> dict[str, Any]:
    translation: dict[str, Any] = {"detected_source_language": result.source.upper(), "text": result.text}
    if body.shows_billed_characters:
        translation["billed_characters"] = len(text)
    if body.model_type is not None:
        translation["model_type_used"] = MODEL_TYPE_USED
    if result.warnings:
        translation["warnings"] = result.warnings
    return translation
