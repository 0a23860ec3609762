"""Scoring of given translations: their log-probability, and which words correspond."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from service.artifact import Direction, Manifest
from service.engine.interfaces import WorkerPool
from service.engine.types import EngineRequest, EngineResult
from service.errors import TooLarge
from service.metrics import ModelMetrics
from service.models.engine_client import EngineClient
from service.models.request_scope import RequestScope
from service.text.alignment import AlignmentLink, links_from_attention
from service.text.tokenizer import MAX_INLINE_CHARACTERS, TextCodec, TokenizedText


class Pair(NamedTuple):
    """A sentence and its translation."""

    text: str
    translation: str


@dataclass(frozen=True)
class EncodedPair:
    """A pair, tokenised, with the engine request that scores it."""

    pair: Pair
    source: TokenizedText
    target: TokenizedText
    request: EngineRequest
    direction: Direction

    def without_prefix(self, result: EngineResult) -> EngineResult:
        """Return the result of the translation alone, without the tokens that the direction puts before it."""
        first = len(self.direction.target_prefix)
        if not first:
            return result
        [scored] = result.hypotheses
        log_probs = scored.log_probabilities[first:]
        score = sum(log_probs) / len(log_probs)
        own = replace(scored, ids=scored.ids[first:], score=score, log_probabilities=log_probs)
        attention = None if result.attention is None else result.attention[first:]
        return replace(result, hypotheses=[own], attention=attention)

    def links(self, result: EngineResult) -> tuple[AlignmentLink, ...]:
        """Return where each word of the translation comes from, by a result `without_prefix`; nothing if the model has
        no attention."""
        if result.attention is None:
            return ()
        first = len(self.direction.prefix)
        attention = result.attention[:, first : first + len(self.source.ids)]  # (T+1, S)
        return links_from_attention(
            attention, self.pair.text, self.source.spans, self.pair.translation, self.target.spans
        )


class ScoredPair(NamedTuple):
    """A pair and the engine's result for it."""

    encoded: EncodedPair
    result: EngineResult


class PairScorer:
    """Scores pairs with one translation model, in a worker pool of its own."""

    def __init__(self, manifest: Manifest, codec: TextCodec, worker_pool: WorkerPool, observer: ModelMetrics) -> None:
        self.manifest, self.codec, self.worker_pool = manifest, codec, worker_pool
        self.engine_client = EngineClient(manifest.name, worker_pool.queue, observer)

    def encode(self, pairs: list[Pair], direction: Direction) -> list[EncodedPair]:
        """Tokenise pairs."""
        tokenised = self.codec.tokenise_pairs(*([pair[side] for pair in pairs] for side in (0, 1)))
        special, prefix = self.manifest.special_tokens, direction.prefix
        suffix = [special.eos] if self.manifest.source_eos else []
        return [
            EncodedPair(
                pair,
                source,
                target,
                EngineRequest(
                    [*prefix, *source.ids, *suffix] or [special.unk],  # see ServedModel.encode
                    translation=[*direction.target_prefix, *target.ids],
                ),
                direction,
            )
            for pair, (source, target) in zip(pairs, tokenised, strict=True)
        ]

    def length_error(self, encoded: EncodedPair) -> str | None:
        """Describe which side of a pair exceeds the model's limits; None if neither does."""
        limits, read = self.manifest.limits, len(encoded.request.ids)
        written = len(encoded.direction.target_prefix) + len(encoded.target.ids) + 1
        if read > limits.source_length:
            return f"the text has {read} tokens; model {self.manifest.name!r} reads at most {limits.source_length}"
        if written > limits.target_length:
            return (
                f"the translation has {written} tokens; model {self.manifest.name!r} writes at most "
                f"{limits.target_length}"
            )
        return None

    async def score(self, pairs: list[Pair], direction: Direction, scope: RequestScope) -> list[ScoredPair]:
        """Score pairs in one batch.

        Raises:
            TooLarge: a pair exceeds the model's limits, or there are too many pairs.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """

        def encode_one(pair: Pair) -> EncodedPair:
            scope.check()
            [encoded] = self.encode([pair], direction)
            return encoded

        is_long = sum(len(pair.text) + len(pair.translation) for pair in pairs) > MAX_INLINE_CHARACTERS
        encoded = await scope.run(lambda: list(map(encode_one, pairs)), in_thread=is_long)
        for i, one in enumerate(encoded):
            if error := self.length_error(one):
                raise TooLarge(f"pair {i}: {error}, special tokens included: send it in sentences")
        results = await scope.results(self.engine_client, [one.request for one in encoded])
        own = (one.without_prefix(result) for one, result in zip(encoded, results, strict=True))
        return list(map(ScoredPair, encoded, own))
