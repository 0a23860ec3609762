"""The native dialect: /v1/translate, /v1/classify, /v1/models."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel

from service.api.native.requests import ClassifyBody, TranslateBody, bounded
from service.api.native.responses import (
    Aligned,
    Alternative,
    ClassifyReply,
    DeltaEvent,
    Detected,
    DirectionInfo,
    DoneEvent,
    ModelInfo,
    ModelsReply,
    Token,
    TranslateReply,
    Translation,
    TranslationEvent,
    Usage,
)
from service.api.shared import FAULTS, best_labels, checked_texts, request_scope, timings, written_once
from service.http.body_limit import REFUSALS
from service.http.problem_json import responses
from service.http.sse import Event, event_stream
from service.models.registry import Registry
from service.models.request_scope import RequestScope
from service.models.served_model import ServedModel
from service.settings import Settings
from service.translation.request import (
    Delta,
    TextFinished,
    TranslationRequest,
    TranslationResponse,
    TranslationResult,
)
from service.translation.translator import Translator

TRANSLATE_EXAMPLES = [
    {"text": "Guten Morgen.", "source": "de", "target": "en"},
    {"text": ["I am hungry.", "Where is the station?"], "source": "en", "target": "de"},
    {"text": "<p>I have <b>a big dog</b>.</p>", "target": "de", "format": "html"},
    {"text": "It is late. Good night.", "source": "en", "target": "de", "stream": True},
]
EVENTS = ("delta", "translation", "done", "error")
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The translations; with `stream`, Server-Sent Events in place of JSON.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event; its data is JSON.",
                    "properties": {"event": {"enum": list(EVENTS)}, "data": {"type": "string"}},
                    "required": ["event", "data"],
                },
                "example": {"event": "delta", "data": '{"index":0,"delta":"Gut"}'},
            }
        },
    }
}
CLASSIFY_EXAMPLES = [{"text": "Bonjour le monde"}, {"text": ["Hello there", "Hallo Welt"], "top_k": 3}]


def native_router(registry: Registry, translator: Translator, settings: Settings) -> APIRouter:
    """The routes, with the settings' limits in their schemas."""
    router = APIRouter(prefix="/v1", tags=["native"])
    translate_body, classify_body = bounded(TranslateBody, settings), bounded(ClassifyBody, settings)

    @router.post("/translate", responses=STREAM | responses(*FAULTS), response_model=TranslateReply)
    async def translate(
        request: Request,
        body: Annotated[translate_body, Body(examples=TRANSLATE_EXAMPLES)],  # type: ignore[valid-type]
    ) -> Response:
        """Translate one text or a list of texts."""
        started = time.monotonic()
        options: TranslateBody = body
        translation_request = options.translation_request(checked_texts(body.text, settings))  # type: ignore[attr-defined]
        scope = request_scope(request, settings)
        if options.stream:
            events = _events(translator, translation_request, scope, started)
            return await event_stream(events, request.scope["request_id"])
        with scope:
            done = await translator.translate(translation_request, scope)
        return written_once(
            TranslateReply(translations=list(map(_translation, done.results)), **_account(done, started))
        )

    @router.post("/classify", responses=responses(*FAULTS), response_model=ClassifyReply)
    async def classify(
        request: Request,
        body: Annotated[classify_body, Body(examples=CLASSIFY_EXAMPLES)],  # type: ignore[valid-type]
    ) -> Response:
        """Classify one text or a list of texts."""
        started = time.monotonic()
        texts = checked_texts(body.text, settings)  # type: ignore[attr-defined]
        options: ClassifyBody = body
        model = registry.classifier(options.model)
        with request_scope(request, settings) as scope:
            answered = await model.classify(texts, scope)
        results = [best_labels(model, row, options.top_k) for row in answered.probabilities]
        usage = Usage(source_tokens=answered.source_tokens, target_tokens=0)
        timing = timings(answered.queue_ms, answered.compute_ms, started)
        return written_once(ClassifyReply(model=model.name, results=results, usage=usage, timings_ms=timing))

    @router.get("/models", responses=responses(*REFUSALS))
    async def models() -> ModelsReply:
        """What is being served."""
        return ModelsReply(models=[_describe(model) for model in registry])

    return router


def _account(done: TranslationResponse, started: float) -> dict[str, Any]:
    return {
        "model": done.model,
        "usage": Usage(source_tokens=done.source_tokens, target_tokens=done.target_tokens),
        "timings_ms": timings(done.queue_ms, done.compute_ms, started),
    }


async def _events(
    translator: Translator, translation_request: TranslationRequest, scope: RequestScope, started: float
) -> AsyncGenerator[Event]:
    with scope:
        async with aclosing(translator.stream(translation_request, scope)) as events:
            async for one in events:
                if isinstance(one, Delta):
                    yield _event("delta", DeltaEvent(index=one.index, delta=one.text))
                elif isinstance(one, TextFinished):
                    yield _event("translation", TranslationEvent(index=one.index, **dict(_translation(one.result))))
                else:
                    yield _event("done", DoneEvent(**_account(one, started)))


def _event(name: str, data: BaseModel) -> Event:
    return Event(name, data.model_dump_json(exclude_none=True))


def _translation(result: TranslationResult) -> Translation:
    others = [Alternative(**_told(reading)) for reading in result.alternatives]
    return Translation(
        source=result.source, target=result.target, detected=Detected(**vars(result.detected)) if result.detected
        else None,
        alternatives=others or None, warnings=result.warnings or None, **_told(result),
    )  # fmt: skip


def _told(reading: TranslationResult) -> dict[str, Any]:
    tokens, links = reading.tokens, reading.alignment
    return {
        "text": reading.text,
        "finish_reason": reading.finish_reason,
        "score": reading.score,
        "tokens": None if tokens is None else [Token(**vars(token)) for token in tokens],
        "alignment": None if links is None else [Aligned(**link._asdict()) for link in links],
    }


def _describe(model: ServedModel) -> ModelInfo:
    manifest = model.manifest
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        directions=[DirectionInfo(source=d.source, target=d.target) for d in manifest.directions],
        labels=manifest.labels,
        limits=manifest.limits.model_dump(),
        precision=manifest.precision,
        licence=manifest.provenance.licence,
        evaluation=[evaluation.model_dump() for evaluation in manifest.evaluation],
    )
