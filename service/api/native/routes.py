"""The native API: /v1/translate and /v1/classify."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from service.api.native.requests import ClassifyBody, TranslateBody, body_schema, classify_schema
from service.api.native.responses import (
    AlignedSpans,
    Alternative,
    ClassifyReply,
    DeltaEvent,
    DetectedSource,
    DoneEvent,
    TextClassification,
    TextTranslation,
    TokenScore,
    TranslateReply,
    TranslationEvent,
    Usage,
    json_response,
    large_json,
    large_json_response,
    timings,
)
from service.api.shared import (
    MODEL_ERRORS,
    check_pairs,
    checked_texts,
    decided_labels,
    ranked_labels,
    request_scope,
)
from service.http.forms import read_json
from service.http.openapi import json_body, response_example
from service.http.problem_json import PROBLEM_FORMAT
from service.http.sse import Event, event_stream
from service.models.registry import Registry
from service.models.request_scope import RequestScope
from service.models.served_model import Classification, ServedModel, Truncation
from service.settings import Settings
from service.translation.request import (
    Delta,
    TextFinished,
    TranslationRequest,
    TranslationResponse,
    TranslationResult,
)
from service.translation.translator import Translator

MAX_INLINE_LABELS = 1000  # up to so many, a reply is encoded in less time than another thread takes to begin with it
TRANSLATE_EXAMPLES = {
    "one text": {"text": "Guten Morgen.", "source": "de", "target": "en"},
    "a list of texts": {"text": ["I am hungry.", "Where is the station?"], "source": "en", "target": "de"},
    "HTML": {"text": "<p>I have <b>a big dog</b>.</p>", "target": "de", "format": "html"},
    "a stream": {"text": "It is late. Good night.", "source": "en", "target": "de", "stream": True},
}
CLASSIFY_EXAMPLES = {
    "one text": {"text": "Bonjour le monde"},
    "a list of texts": {"text": ["Hello there", "Hallo Welt"], "top_k": 3},
    "a long text, cut": {"text": "Bonjour le monde", "truncate": True},
}
TIMINGS_EXAMPLE = {"queue": 0.1, "compute": 9.8, "total": 11.2}
TRANSLATE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The translations; with `stream`, Server-Sent Events instead of JSON.",
        "content": {
            "application/json": {
                "example": {
                    "model": "translate-en-de-fr-es",
                    "translations": [
                        {"text": "Good morning.", "source": "de", "target": "en", "finish_reason": "stop"}
                    ],
                    "usage": {"source_tokens": 5, "target_tokens": 4},
                    "timings_ms": TIMINGS_EXAMPLE,
                }
            },
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event; its data is JSON.",
                    "properties": {
                        "event": {"enum": ["delta", "translation", "done", "error"]},
                        "data": {"type": "string"},
                    },
                    "required": ["event", "data"],
                },
                "example": {"event": "delta", "data": '{"index":0,"delta":"Gut"}'},
            },
        },
    }
}
CLASSIFY_RESPONSE = response_example(
    {
        "model": "langid",
        "results": [{"labels": [{"label": "fr", "score": 0.98}]}],
        "usage": {"source_tokens": 5, "target_tokens": 0},
        "timings_ms": TIMINGS_EXAMPLE,
    }
)


def native_router(registry: Registry, translator: Translator, settings: Settings) -> APIRouter:
    """Return the routes, with the settings' limits in their schemas."""
    router = APIRouter(prefix="/v1", tags=["native"])
    errors = PROBLEM_FORMAT.openapi_responses(*MODEL_ERRORS)

    @router.post(
        "/translate",
        responses=errors | TRANSLATE_RESPONSE,
        response_model=TranslateReply,
        openapi_extra=json_body(body_schema(TranslateBody, settings), TRANSLATE_EXAMPLES),
    )
    async def translate(request: Request) -> Response:
        """Translate one text or a list of texts."""
        started = time.monotonic()
        body = await read_json(request, TranslateBody)
        translation_request = body.translation_request(checked_texts(body.text, settings))
        scope = request_scope(request, settings)
        if body.stream:
            events = _sse_events(translator, translation_request, scope, started)
            return await event_stream(events, request.scope["request_id"])
        with scope:
            done = await translator.translate(translation_request, scope)
            if translation_request.long:
                return await scope.run(lambda: large_json_response(_reply(done, started)), in_thread=True)
        return json_response(_reply(done, started))

    @router.post(
        "/classify",
        responses=errors | CLASSIFY_RESPONSE,
        response_model=ClassifyReply,
        openapi_extra=json_body(classify_schema(settings, registry.reads_pairs), CLASSIFY_EXAMPLES),
    )
    async def classify(request: Request) -> Response:
        """Classify one text or a list of texts."""
        started = time.monotonic()
        body = await read_json(request, ClassifyBody)
        truncate: Truncation = "right" if body.truncate else None
        texts = checked_texts(body.text, settings, truncate=truncate)
        seconds = None
        if body.pair is not None:
            seconds = checked_texts(body.pair, settings, "pair", truncate=truncate)
            check_pairs(body.text, body.pair, "text", "pair")
        model = registry.classifier(body.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope, seconds, truncate)
            of_text = partial(_text_classification, model, body.given_top_k)
            results = await scope.run_in_turns(map(of_text, answered.probabilities))
            reply = _classify_reply(model, answered, results, started)
            if sum(len(result.labels) for result in results) > MAX_INLINE_LABELS:
                return await scope.run(lambda: large_json_response(reply), in_thread=True)
        return json_response(reply)

    return router


def _text_classification(model: ServedModel, top_k: int | None, probabilities: list[float]) -> TextClassification:
    if top_k is None and model.manifest.multi_label:
        return TextClassification(labels=decided_labels(model, probabilities))
    return TextClassification(labels=ranked_labels(model, probabilities, top_k or 1))


def _classify_reply(
    model: ServedModel, answered: Classification, results: list[TextClassification], started: float
) -> ClassifyReply:
    return ClassifyReply(
        model=model.name,
        results=results,
        usage=Usage(source_tokens=answered.source_tokens, target_tokens=0),
        timings_ms=timings(answered.queue_ms, answered.compute_ms, started),
    )


def _reply(response: TranslationResponse, started: float) -> TranslateReply:
    translations = [_translation(result) for result in response.results]
    return TranslateReply(translations=translations, **_summary(response, started))


def _summary(response: TranslationResponse, started: float) -> dict[str, Any]:
    return {
        "model": response.model,
        "usage": Usage(source_tokens=response.source_tokens, target_tokens=response.target_tokens),
        "timings_ms": timings(response.queue_ms, response.compute_ms, started),
    }


async def _sse_events(
    translator: Translator, translation_request: TranslationRequest, scope: RequestScope, started: float
) -> AsyncGenerator[Event]:
    """Translate within the scope, and yield the events of the stream."""
    with scope:
        async with aclosing(translator.stream(translation_request, scope)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    yield _sse_event("delta", DeltaEvent(index=event.index, delta=event.text))
                elif isinstance(event, TextFinished):
                    encode = partial(_translation_event, event)
                    yield await scope.run(encode, in_thread=translation_request.long)
                else:
                    yield _sse_event("done", DoneEvent(**_summary(event, started)))


def _translation_event(event: TextFinished) -> Event:
    return Event("translation", large_json(TranslationEvent(index=event.index, **dict(_translation(event.result)))))


def _sse_event(name: str, data: BaseModel) -> Event:
    return Event(name, data.model_dump_json(exclude_none=True))


def _translation(result: TranslationResult) -> TextTranslation:
    alternatives = [Alternative(**_candidate_fields(candidate)) for candidate in result.alternatives]
    return TextTranslation(
        source=result.source,
        target=result.target,
        detected=DetectedSource(**vars(result.detected)) if result.detected else None,
        alternatives=alternatives or None,
        warnings=result.warnings or None,
        **_candidate_fields(result),
    )


def _candidate_fields(candidate: TranslationResult) -> dict[str, Any]:
    tokens, links = candidate.tokens, candidate.alignment
    return {
        "text": candidate.text,
        "finish_reason": candidate.finish_reason,
        "score": candidate.score,
        "tokens": None if tokens is None else [TokenScore(**vars(token)) for token in tokens],
        "alignment": None if links is None else [AlignedSpans(**link._asdict()) for link in links],
    }
