"""Given translations: how probable a model finds them, and which of their words come from which of the text's."""

import asyncio
from dataclasses import dataclass
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
    """A text and a translation of it, each as the model reads and writes them: a sentence."""

    text: str
    translation: str


@dataclass(frozen=True)
class EncodedPair:
    """A pair as the graph reads it."""

    pair: Pair
    source: TokenizedText
    target: TokenizedText
    engine_request: EngineRequest
    prefix: int  # marks before the source

    def links(self, answer: EngineResult) -> tuple[AlignmentLink, ...]:
        """Where each word of the translation comes from; none by a model that reads without attention."""
        if answer.attention is None:
            return ()
        attention = answer.attention[:, self.prefix : self.prefix + len(self.source.ids)]
        return links_from_attention(
            attention, self.pair.text, self.source.spans, self.pair.translation, self.target.spans
        )


class ScoredPair(NamedTuple):
    """A pair and its answer."""

    given: EncodedPair
    answer: EngineResult


class PairScorer:
    """The workers that score a model's translations, and the desk before them."""

    def __init__(self, manifest: Manifest, codec: TextCodec, worker_pool: WorkerPool, observer: ModelMetrics) -> None:
        self.manifest, self.codec, self.worker_pool = manifest, codec, worker_pool
        self.engine_client = EngineClient(manifest.name, worker_pool.queue, observer)

    def given(self, pairs: list[Pair], direction: Direction) -> list[EncodedPair]:
        """Pairs with requests to hand in."""
        located = self.codec.tokenise_pairs(*([pair[side] for pair in pairs] for side in (0, 1)))
        before, after = direction.prefix, [self.manifest.special_tokens.eos]
        return [
            EncodedPair(
                pair, source, target, EngineRequest([*before, *source.ids, *after], translation=target.ids), len(before)
            )
            for pair, (source, target) in zip(pairs, located, strict=True)
        ]

    def fault(self, given: EncodedPair) -> str | None:
        """What of a pair is longer than the model's limits."""
        limits, read, written = self.manifest.limits, len(given.engine_request.ids), len(given.target.ids) + 1
        if read > limits.source_length:
            return f"the text has {read} tokens; model {self.manifest.name!r} reads at most {limits.source_length}"
        if written > limits.target_length:
            return (
                f"the translation has {written} tokens; model {self.manifest.name!r} writes at most "
                f"{limits.target_length}"
            )
        return None

    async def score(self, pairs: list[Pair], direction: Direction, scope: RequestScope) -> list[ScoredPair]:
        """Score pairs, all together.

        Raises:
            TooLarge: one of them is longer than the model reads or writes, or they are too many.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        short = sum(len(pair.text) + len(pair.translation) for pair in pairs) <= MAX_INLINE_CHARACTERS
        given = self.given(pairs, direction) if short else await asyncio.to_thread(self.given, pairs, direction)
        for i, one in enumerate(given):
            if fault := self.fault(one):
                raise TooLarge(f"pair {i}: {fault}, marks included: send it in sentences")
        answers = await scope.results(self.engine_client, [one.engine_request for one in given])
        return list(map(ScoredPair, given, answers))
