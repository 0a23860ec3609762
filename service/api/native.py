"""The native dialect: /v1/translate, /v1/classify, /v1/models."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel

from service.api.door import REFUSALS
from service.api.events import Event, event_stream
from service.api.problems import responses
from service.api.schemas import (
    Aligned,
    Alternative,
    ClassifyBody,
    ClassifyReply,
    DeltaEvent,
    Detected,
    DirectionInfo,
    DoneEvent,
    Label,
    Labels,
    ModelInfo,
    ModelsReply,
    Timings,
    Token,
    TranslateBody,
    TranslateReply,
    Translation,
    TranslationEvent,
    Usage,
    bounded,
)
from service.desk import Departure
from service.errors import (
    DeadlineExceeded,
    EmptyText,
    InternalError,
    InvalidRequest,
    ModelRequired,
    NotReady,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from service.job import Delta, Draft, Finished, News, Reading, Translated
from service.model import ServedModel
from service.registry import Registry
from service.settings import Settings
from service.translator import Translator

FAULTS = (
    *REFUSALS, ModelRequired, UnknownModel, TooLarge, InvalidRequest, InternalError, Overloaded, NotReady,
    DeadlineExceeded,
)  # fmt: skip
SURROGATE = re.compile("[\ud800-\udfff]")
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
        job = options.job(checked_texts(body.text, settings))  # type: ignore[attr-defined]
        asked = job, settings.request_timeout_seconds, departure(request)
        if options.stream:
            return await event_stream(_events(translator.stream(*asked), started), request.scope["request_id"])
        done = await translator.translate(*asked)
        return written_once(
            TranslateReply(translations=list(map(_translation, done.drafts)), **_account(done, started))
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
        answered = await model.classify(texts, settings.request_timeout_seconds, departure(request))
        results = [best_labels(model, answer.probabilities, options.top_k) for answer in answered.answers]
        usage = Usage(source_tokens=answered.source_tokens, target_tokens=0)
        timing = timings(answered.queue_ms, answered.compute_ms, started)
        return written_once(ClassifyReply(model=model.name, results=results, usage=usage, timings_ms=timing))

    @router.get("/models", responses=responses(*REFUSALS))
    async def models() -> ModelsReply:
        """What is being served."""
        return ModelsReply(models=[_describe(model) for model in registry])

    return router


def written_once(reply: BaseModel) -> Response:
    """A reply as JSON; what FastAPI returns from a model is validated again and written in three passes."""
    return Response(reply.model_dump_json(exclude_none=True), media_type="application/json")


def checked_texts(text: str | list[str], settings: Settings, name: str = "text", blank: bool = False) -> list[str]:
    """The texts of a request as a list, in which there may be blank ones where that is allowed.

    Raises:
        InvalidRequest: the list is empty, or a text is not Unicode.
        EmptyText: a text has nothing but white space, where that is not allowed.
        TooLarge: too many texts, or one of them too long.
    """
    texts = [text] if isinstance(text, str) else text
    if not texts:
        raise InvalidRequest(f"{name} is an empty list; give at least one text")
    if len(texts) > settings.max_texts:
        raise TooLarge(
            f"{len(texts)} texts in one request; at most {settings.max_texts} are taken: send several requests"
        )
    for i, one in enumerate(texts):
        if SURROGATE.search(one):
            raise InvalidRequest(
                f"{name} {i} has half of a surrogate pair in it, which is no character; send valid Unicode"
            )
        if not (blank or one.strip()):
            raise EmptyText(f"{name} {i} is empty; leave it out")
        if len(one) > settings.max_text_characters:
            raise TooLarge(
                f"{name} {i} has {len(one)} characters; at most {settings.max_text_characters} are taken: split it"
            )
    return texts


def _account(done: Translated, started: float) -> dict[str, Any]:
    return {
        "model": done.model,
        "usage": Usage(source_tokens=done.source_tokens, target_tokens=done.target_tokens),
        "timings_ms": timings(done.queue_ms, done.compute_ms, started),
    }


async def _events(news: AsyncGenerator[News], started: float) -> AsyncGenerator[Event]:
    async with aclosing(news):
        async for one in news:
            if isinstance(one, Delta):
                yield _event("delta", DeltaEvent(index=one.index, delta=one.text))
            elif isinstance(one, Finished):
                yield _event("translation", TranslationEvent(index=one.index, **dict(_translation(one.draft))))
            else:
                yield _event("done", DoneEvent(**_account(one, started)))


def _event(name: str, data: BaseModel) -> Event:
    return Event(name, data.model_dump_json(exclude_none=True))


def _translation(draft: Draft) -> Translation:
    others = [Alternative(**_told(reading)) for reading in draft.alternatives]
    return Translation(
        source=draft.source, target=draft.target, detected=Detected(**vars(draft.detected)) if draft.detected else None,
        alternatives=others or None, warnings=draft.warnings or None, **_told(draft),
    )  # fmt: skip


def _told(reading: Reading) -> dict[str, Any]:
    tokens, links = reading.tokens, reading.alignment
    return {
        "text": reading.text,
        "finish_reason": reading.finish_reason,
        "score": reading.score,
        "tokens": None if tokens is None else [Token(**vars(token)) for token in tokens],
        "alignment": None if links is None else [Aligned(**link._asdict()) for link in links],
    }


def departure(request: Request) -> Departure:
    """Resolves when the caller closes the connection."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return left


def best_labels(model: ServedModel, probabilities: list[float], count: int) -> Labels:
    """The most probable labels, first the best; equal ones in the model's order."""
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:count]
    return Labels(labels=[Label(label=model.manifest.labels[i], score=probabilities[i]) for i in order])


def all_labels(model: ServedModel, probabilities: list[float]) -> list[dict[str, Any]]:
    """Every label with its score, first the best, as the dialects of classifiers write them."""
    return [one.model_dump() for one in best_labels(model, probabilities, len(probabilities)).labels]


def timings(queue_ms: float, compute_ms: float, started: float) -> Timings:
    total = 1000 * (time.monotonic() - started)
    return Timings(queue=round(queue_ms, 3), compute=round(compute_ms, 3), total=round(total, 3))


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
