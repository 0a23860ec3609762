"""The native dialect's /v1/score: how probable a model finds given translations."""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from service.api.native.requests import ScoreBody, bounded
from service.api.native.responses import Aligned, PairScore, ScoreReply, Token, Usage
from service.api.shared import FAULTS, checked_texts, request_scope, timings, written_once
from service.artifact import Direction
from service.errors import InvalidRequest
from service.http.problem_json import responses
from service.models.registry import Registry
from service.models.scorer import Pair, ScoredPair
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.alignment import anchor_identical_words

EXAMPLES = [
    {"text": "Guten Morgen.", "translation": "Good morning.", "source": "de", "target": "en"},
    {
        "text": ["I am hungry.", "I am hungry."], "translation": ["Ich habe Hunger.", "Ich bin hungrig."],
        "source": "en", "target": "de", "include": ["tokens", "alignment"],
    },
]  # fmt: skip


def score_router(registry: Registry, settings: Settings) -> APIRouter:
    """The route, with the settings' limits in its schema."""
    router = APIRouter(prefix="/v1", tags=["native"])
    score_body = bounded(ScoreBody, settings)

    @router.post("/score", responses=responses(*FAULTS), response_model=ScoreReply)
    async def score(
        request: Request,
        body: Annotated[score_body, Body(examples=EXAMPLES)],  # type: ignore[valid-type]
    ) -> Response:
        """Score one pair of a text and its translation, or a list of pairs; each is read as one sentence."""
        started = time.monotonic()
        pairs = _pairs(body, settings)
        options: ScoreBody = body
        step = registry.direct_step(options.model, options.source, options.target)
        model, direction = step.model, step.direction
        with request_scope(request, settings) as scope:
            scored = await model.scorer.score(pairs, direction, scope)
        answers = [one.result for one in scored]
        queue, compute = max(a.queue_ms for a in answers), max(a.compute_ms for a in answers)
        reply = ScoreReply(
            model=model.name,
            scores=[_told(model, direction, one, options.include) for one in scored],
            usage=Usage(
                source_tokens=sum(len(one.encoded.request.ids) for one in scored),
                target_tokens=sum(len(answer.ids) for answer in answers),
            ),
            timings_ms=timings(queue, compute, started),
        )
        return written_once(reply)

    return router


def _pairs(body: ScoreBody, settings: Settings) -> list[Pair]:
    """The pairs of a request.

    Raises:
        InvalidRequest, EmptyText, TooLarge: see `checked_texts`; or not every text has its translation.
    """
    texts = checked_texts(body.text, settings)
    translations = checked_texts(body.translation, settings, "translation")
    if isinstance(body.text, str) != isinstance(body.translation, str) or len(texts) != len(translations):
        raise InvalidRequest(
            f"text is {_counted(body.text)} and translation {_counted(body.translation)}: give two strings, or two "
            "lists of the same length"
        )
    return list(map(Pair, texts, translations))


def _counted(texts: str | list[str]) -> str:
    return "a string" if isinstance(texts, str) else f"a list of {len(texts)}"


def _told(model: ServedModel, direction: Direction, scored: ScoredPair, include: Sequence[str]) -> PairScore:
    [hypothesis] = scored.result.hypotheses
    total = sum(hypothesis.log_probabilities)
    told = PairScore(
        score=total / len(hypothesis.log_probabilities),
        log_probability=total,
        source=direction.source,
        target=direction.target,
    )
    if "tokens" in include:
        ids = [*hypothesis.ids, model.manifest.special_tokens.eos]
        told.tokens = [
            Token(id=token, text=model.codec.token_text(token), log_probability=gain)
            for token, gain in zip(ids, hypothesis.log_probabilities, strict=True)
        ]
    if "alignment" in include:
        links = anchor_identical_words(scored.encoded.links(scored.result), *scored.encoded.pair)
        told.alignment = [Aligned(**link._asdict()) for link in links]
    return told
