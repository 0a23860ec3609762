"""A served model: its artifact, tokeniser and worker pools."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from service.artifact import Artifact, Direction, Manifest
from service.engine.interfaces import WorkerPool
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.errors import InvalidRequest, ModelRequired, TooLarge, UnknownModel
from service.metrics import ModelMetrics
from service.models.engine_client import EngineClient
from service.models.options import NONE, default_target_length, with_defaults
from service.models.request_scope import RequestScope
from service.models.scorer import PairScorer
from service.text.tokenizer import MAX_INLINE_CHARACTERS, TextCodec, fitting_lengths

MAX_CACHED_OPTIONS = 1024
Truncation = Literal["left", "right"] | None  # the side of a text that is cut off; None: a long text is refused


@dataclass(frozen=True)
class Classification:
    """Class probabilities of a request's texts, in order, and what they took."""

    probabilities: list[list[float]]  # of each text, in the order of the model's labels
    source_tokens: int
    queue_ms: float  # the longest wait of a text
    compute_ms: float  # the longest computation of a text


class ServedModel:
    """A model that translates or classifies: encodes texts for its worker pool and decodes what comes back."""

    def __init__(
        self,
        artifact: Artifact,
        codec: TextCodec,
        worker_pool: WorkerPool,
        observer: ModelMetrics,
        scorer: PairScorer | None = None,
    ) -> None:
        self.artifact = artifact
        self.manifest: Manifest = artifact.manifest
        self._scorer = scorer
        self.codec, self.worker_pool = codec, worker_pool
        self.engine_client = EngineClient(self.name, worker_pool.queue, observer)
        self._has_defaults = self.manifest.generation != NONE
        # Most requests have the same options, but for the length. Equal options also take less time to send to the
        # engine when they are one object.
        self._options = lru_cache(maxsize=MAX_CACHED_OPTIONS)(self._checked_options)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def pinned_name(self) -> str:
        """The name with the version: no other model that is served has it."""
        return f"{self.name}@{self.version}"

    def forget_options(self) -> None:
        """Break the only reference cycle of a model that nobody uses any more, so that its memory is freed at once."""
        del self._options

    @property
    def scorer(self) -> PairScorer:
        """The scorer of given translations.

        Raises:
            UnknownModel: the model does not translate.
        """
        if self._scorer is None:
            raise UnknownModel(f"model {self.name!r} does not translate, so it has nothing to score")
        return self._scorer

    @property
    def worker_pools(self) -> list[WorkerPool]:
        """All worker pools of the model: one, or two if it scores."""
        return [self.worker_pool] if self._scorer is None else [self.worker_pool, self._scorer.worker_pool]

    @property
    def problem(self) -> str:
        """Why the model cannot be used now; empty if it can."""
        for worker_pool in self.worker_pools:
            if worker_pool.problem:
                return worker_pool.problem
            if worker_pool.queue.closed:
                return "the service is stopping"
        return ""

    async def warm_up(self) -> None:
        """Run one tiny request per worker, so that the first caller finds all memory allocated."""
        requests = []
        for worker_pool in self.worker_pools:
            tiny = [EngineRequest([self.manifest.special_tokens.eos], translation=[]) for _ in range(worker_pool.size)]
            worker_pool.queue.submit(tiny)
            requests += tiny
        for request in requests:
            await request.future.wait()

    def direction(self, source: str | None, target: str) -> Direction:
        """Return the direction to `target` from `source`, or from the only source language there is.

        Raises:
            UnknownModel: the model has no such direction.
            ModelRequired: several source languages fit; give `source`.
        """
        found = [d for d in self.manifest.directions if d.target == target and source in (None, d.source)]
        if not found:
            offered = ", ".join(f"{d.source}-{d.target}" for d in self.manifest.directions) or "no translation"
            raise UnknownModel(
                f"model {self.name!r} does not translate {source or 'anything'} to {target}; it offers {offered}"
            )
        if len(found) > 1:
            raise ModelRequired(
                f"several languages translate to {target}: give source as one of "
                + ", ".join(sorted(d.source for d in found))
            )
        return found[0]

    def encode(self, texts: list[str], direction: Direction) -> list[list[int]]:
        """Return the source ids of texts to translate in a direction, special tokens included."""
        ids = self.codec.encode(texts, direction.prefix, append_eos=self.manifest.source_eos)
        # Without eos, a text of characters that the tokenizer drops would be empty, and there would be nothing to read.
        return [one or [self.manifest.special_tokens.unk] for one in ids]

    def with_defaults(self, decoding: DecodingOptions, given: frozenset[str]) -> DecodingOptions:
        """Return decoding options with the model's defaults for the fields that are not `given` by the request."""
        if not self._has_defaults:
            return decoding
        widest = min(self.worker_pool.queue.rows_per_worker, self.manifest.vocabulary // 2)
        return with_defaults(decoding, given, self.manifest.generation, widest)

    def engine_request(
        self,
        ids: list[int],
        direction: Direction,
        decoding: DecodingOptions,
        prefix: str = "",
        max_length: int | None = None,
        required: Sequence[str] = (),
    ) -> EngineRequest:
        """Return a request to translate source ids, with the prefix and the length in `decoding` replaced.

        The direction's target prefix comes before `prefix` and does not count in `max_length`. The translation will
        contain each of the `required` texts once, unless `max_length` leaves no room for them.

        Raises:
            InvalidRequest: options are out of range or contradict each other.
            TooLarge: `max_length` exceeds the model's limit.
        """
        limit = self.manifest.limits.target_length
        if max_length is not None and max_length > limit:
            raise TooLarge(f"max_length is {max_length}; model {self.name!r} writes at most {limit} tokens")
        prefix_ids = (*direction.target_prefix, *(self.codec.target_ids(prefix) if prefix else ()))
        wanted = max_length or default_target_length(len(ids), limit) + len(prefix_ids) - len(direction.target_prefix)
        length = min(limit, wanted + len(direction.target_prefix))
        sequences = tuple(tuple(self.codec.target_ids(text)) for text in required)
        return EngineRequest(ids, self._options(decoding, length, prefix_ids, sequences))

    def _checked_options(
        self,
        decoding: DecodingOptions,
        length: int,
        prefix: tuple[int, ...],
        required: tuple[tuple[int, ...], ...],
    ) -> DecodingOptions:
        """Return decoding options with another length and prefix, and with what is required, if there is room for it.

        Raises:
            InvalidRequest: options are out of range or contradict each other.
        """
        options = replace(decoding, max_length=length, prefix=prefix)
        if required and all(required) and len(prefix) + sum(map(len, required)) < length:
            options = replace(options, required=required, closing=self.codec.closing_tokens)
        limit = self.manifest.limits.target_length
        if errors := options.find_errors(self.manifest.vocabulary, limit, self.worker_pool.queue.rows_per_worker):
            raise InvalidRequest("; ".join(errors))
        return options

    async def classify(
        self, texts: list[str], scope: RequestScope, seconds: list[str] | None = None, truncate: Truncation = None
    ) -> Classification:
        """Classify texts, or pairs of them and their `seconds`, in one batch.

        With `truncate`, what exceeds the model's limit is cut off at that side, of a pair from the longer text.

        Raises:
            InvalidRequest: the model reads no pairs.
            TooLarge: a text exceeds the model's limit, or there are too many texts.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        if seconds is not None and not self.manifest.pair_separator:
            raise InvalidRequest(f"model {self.name!r} reads single texts, not pairs: leave out the second texts")
        await scope.reserve(self.engine_client, len(texts))
        limit = self.manifest.limits.source_length
        requests = await self._requests_to_classify(texts, seconds, truncate, scope)
        for i, request in enumerate(requests):
            if len(request.ids) > limit:
                raise TooLarge(
                    f"{'text' if seconds is None else 'pair'} {i} has {len(request.ids)} tokens; model {self.name!r} "
                    f"reads at most {limit}: send it in sentences, or set truncate"
                )
        results = await scope.results(self.engine_client, requests)
        return Classification(
            [result.probabilities for result in results],
            source_tokens=sum(len(request.ids) for request in requests),
            queue_ms=max(result.queue_ms for result in results),
            compute_ms=max(result.compute_ms for result in results),
        )

    async def _requests_to_classify(
        self, texts: list[str], seconds: list[str] | None, truncate: Truncation, scope: RequestScope
    ) -> list[EngineRequest]:
        """Return a request for each text, or each pair, cut to the model's limit if that is wanted."""
        # Tokenising a short request takes less time than passing it to another thread.
        if sum(map(len, texts)) + sum(map(len, seconds or ())) <= MAX_INLINE_CHARACTERS:
            return list(map(EngineRequest, self._classifier_ids(texts, seconds, truncate)))

        def encode_one(i: int) -> EngineRequest:
            scope.check()
            [ids] = self._classifier_ids([texts[i]], seconds and [seconds[i]], truncate)
            return EngineRequest(ids)

        encoded = map(encode_one, range(len(texts)))
        if max(map(len, (*texts, *(seconds or ())))) <= MAX_INLINE_CHARACTERS:
            return await scope.run_in_turns(encoded)
        return await scope.run(lambda: list(encoded), in_thread=True)

    def _classifier_ids(self, texts: list[str], seconds: list[str] | None, truncate: Truncation) -> list[list[int]]:
        manifest = self.manifest
        bos, append_eos, separator = [manifest.special_tokens.bos], manifest.append_eos, manifest.pair_separator
        if seconds is None and truncate is None:
            return self.codec.encode(texts, bos, append_eos)
        one = self.codec.encode(texts, [], append_eos=False)
        other = self.codec.encode(seconds, [], append_eos=False) if seconds else [[]] * len(one)
        room = manifest.limits.source_length - len(bos) - append_eos - (len(separator) if seconds else 0)
        end = [manifest.special_tokens.eos] if append_eos else []
        found = []
        for x, y in zip(one, other, strict=True):
            if truncate is not None:
                lengths = fitting_lengths(len(x), len(y), room)
                x, y = (
                    ids[:n] if truncate == "right" else ids[len(ids) - n :]
                    for ids, n in zip((x, y), lengths, strict=True)
                )
            found.append([*bos, *x, *(separator if seconds else ()), *y, *end])
        return found
