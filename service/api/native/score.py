"""The native API's /v1/score: how probable a model finds given translations."""

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from service.api.native.requests import ScoreBody, body_schema
from service.api.native.responses import (
    AlignedSpans,
    CrossAttention,
    PairScore,
    ScoreReply,
    TokenScore,
    Usage,
    json_response,
    timings,
)
from service.api.shared import MODEL_ERRORS, check_pairs, checked_texts, request_scope
from service.artifact import Direction
from service.errors import TooLarge
from service.http.forms import read_json
from service.http.openapi import json_body, response_example
from service.http.problem_json import PROBLEM_FORMAT
from service.models.registry import Registry
from service.models.scorer import Pair, ScoredPair
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.alignment import anchor_identical_words

MAX_WEIGHTS = 250_000  # of attention in one reply, which takes a tenth of a second to write
WEIGHT_DIGITS = 4
MAX_INLINE_TOKENS = 500  # up to so many, the scores of tokens take less time than passing them to another thread
EXAMPLES = {
    "one pair": {"text": "Guten Morgen.", "translation": "Good morning.", "source": "de", "target": "en"},
    "a list of pairs": {
        "text": ["I am hungry.", "I am hungry."], "translation": ["Ich habe Hunger.", "Ich bin hungrig."],
        "source": "en", "target": "de", "include": ["tokens", "alignment"],
    },
}  # fmt: skip
RESPONSE = response_example(
    {
        "model": "translate-en-de-fr-es",
        "scores": [{"score": -0.29, "log_probability": -1.46, "source": "de", "target": "en"}],
        "usage": {"source_tokens": 5, "target_tokens": 4},
        "timings_ms": {"queue": 0.1, "compute": 9.8, "total": 11.2},
    }
)


def score_router(registry: Registry, settings: Settings) -> APIRouter:
    """Return the route, with the settings' limits in its schema."""
    router = APIRouter(prefix="/v1", tags=["native"])

    @router.post(
        "/score",
        responses=PROBLEM_FORMAT.openapi_responses(*MODEL_ERRORS) | RESPONSE,
        response_model=ScoreReply,
        openapi_extra=json_body(body_schema(ScoreBody, settings), EXAMPLES),
    )
    async def score(request: Request) -> Response:
        """Score a text and its translation, or a list of such pairs; each text is read as one sentence."""
        started = time.monotonic()
        body = await read_json(request, ScoreBody)
        pairs = _pairs(body, settings)
        step = registry.direct_step(body.model, *registry.match_languages(body.model, body.source, body.target))
        model, direction = step.model, step.direction
        with request_scope(request, settings) as scope:
            scored = await model.scorer.score(pairs, direction, scope)
            if "attention" in body.include:
                _check_weights(scored)
            results = [one.result for one in scored]
            scores = await scope.run(
                lambda: [_pair_score(model, direction, one, body.include) for one in scored],
                in_thread=bool(body.include) and sum(len(result.ids) for result in results) > MAX_INLINE_TOKENS,
            )
        queue, compute = max(r.queue_ms for r in results), max(r.compute_ms for r in results)
        reply = ScoreReply(
            model=model.name,
            scores=scores,
            usage=Usage(
                source_tokens=sum(len(one.encoded.request.ids) for one in scored),
                target_tokens=sum(len(result.ids) for result in results),
            ),
            timings_ms=timings(queue, compute, started),
        )
        return json_response(reply)

    return router


def _pairs(body: ScoreBody, settings: Settings) -> list[Pair]:
    """Return the pairs of a request.

    Raises:
        InvalidRequest, EmptyText, TooLarge: see `checked_texts`; or the texts and translations do not pair up.
    """
    texts = checked_texts(body.text, settings)
    translations = checked_texts(body.translation, settings, "translation")
    check_pairs(body.text, body.translation, "text", "translation")
    return list(map(Pair, texts, translations))


def _check_weights(scored: Sequence[ScoredPair]) -> None:
    """Check that the attention of all pairs is not too much for one reply.

    Raises:
        TooLarge: it is.
    """
    weights = sum(one.result.attention.size for one in scored if one.result.attention is not None)
    if weights > MAX_WEIGHTS:
        raise TooLarge(
            f"the attention of {len(scored)} pairs has {weights} weights; at most {MAX_WEIGHTS} are returned: send "
            "fewer pairs in one request"
        )


def _pair_score(model: ServedModel, direction: Direction, scored: ScoredPair, include: Sequence[str]) -> PairScore:
    [hypothesis] = scored.result.hypotheses
    total = sum(hypothesis.log_probabilities)
    ids = [*hypothesis.ids, model.manifest.special_tokens.eos]
    pair_score = PairScore(
        score=total / len(hypothesis.log_probabilities),
        log_probability=total,
        source=direction.source,
        target=direction.target,
    )
    if "tokens" in include:
        pair_score.tokens = [
            TokenScore(id=token, text=model.codec.token_text(token), log_probability=log_probability)
            for token, log_probability in zip(ids, hypothesis.log_probabilities, strict=True)
        ]
    if "alignment" in include:
        links = anchor_identical_words(scored.encoded.links(scored.result), *scored.encoded.pair)
        pair_score.alignment = [AlignedSpans(**link._asdict()) for link in links]
    if "attention" in include and scored.result.attention is not None:
        pair_score.attention = CrossAttention(
            source=[model.codec.source_token_text(token) for token in scored.encoded.request.ids],
            target=[model.codec.token_text(token) for token in ids],
            weights=scored.result.attention.round(WEIGHT_DIGITS).tolist(),
        )
    return pair_score
