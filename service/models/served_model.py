"""A served model: texts to requests, answers to texts, and a desk for what is between."""

import asyncio
from dataclasses import dataclass, replace

from service.artifact import Artifact, Direction, Manifest
from service.engine.interfaces import WorkerPool
from service.engine.types import EngineRequest, EngineResult
from service.errors import InvalidRequest, ModelRequired, TooLarge, UnknownModel
from service.metrics import ModelMetrics
from service.models.engine_client import EngineClient
from service.models.options import TranslationOptions, default_target_length
from service.models.request_scope import RequestScope
from service.models.scorer import PairScorer
from service.text.tokenizer import MAX_INLINE_CHARACTERS, TextCodec


@dataclass
class Answered:
    """The answers to a request's texts, in order, with what they took."""

    answers: list[EngineResult]
    source_tokens: int

    @property
    def queue_ms(self) -> float:
        """The longest wait of any text."""
        return max(answer.queue_ms for answer in self.answers)

    @property
    def compute_ms(self) -> float:
        """The longest computation of any text."""
        return max(answer.compute_ms for answer in self.answers)


class ServedModel:
    """An artifact with its tokeniser, its workers, and the desk before them."""

    def __init__(
        self,
        artifact: Artifact,
        codec: TextCodec,
        worker_pool: WorkerPool,
        observer: ModelMetrics,
        scorer: PairScorer | None = None,
    ) -> None:
        self.manifest: Manifest = artifact.manifest
        self._scorer = scorer
        self.codec, self.worker_pool = codec, worker_pool
        self.engine_client = EngineClient(self.name, worker_pool.queue, observer)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def scorer(self) -> PairScorer:
        """What scores given translations.

        Raises:
            UnknownModel: the model does not translate.
        """
        if self._scorer is None:
            raise UnknownModel(f"model {self.name!r} does not translate, so it has nothing to score")
        return self._scorer

    @property
    def worker_pools(self) -> list[WorkerPool]:
        """All the model's workers."""
        return [self.worker_pool] if self._scorer is None else [self.worker_pool, self._scorer.worker_pool]

    @property
    def serves(self) -> bool:
        """Whether every worker is alive and takes requests."""
        return all(worker_pool.alive and not worker_pool.queue.closed for worker_pool in self.worker_pools)

    async def warm_up(self) -> None:
        """Answer made-up requests, so that the first caller finds everything allocated."""
        engine_requests = []
        for worker_pool in self.worker_pools:
            made_up = [
                EngineRequest([self.manifest.special_tokens.eos], translation=[]) for _ in range(worker_pool.size)
            ]
            worker_pool.queue.submit(made_up)
            engine_requests += made_up
        for engine_request in engine_requests:
            await asyncio.wrap_future(engine_request.future)

    def direction(self, source: str | None, target: str) -> Direction:
        """The direction to `target`, from `source` or from the only language that there is.

        Raises:
            UnknownModel: this model has no such direction.
            ModelRequired: `source` is needed to choose.
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

    def sources(self, texts: list[str], direction: Direction) -> list[list[int]]:
        """Texts as the encoder reads them in a direction."""
        return self.codec.encode(texts, direction.prefix, append_eos=True)

    def engine_request(self, ids: list[int], wanted: TranslationOptions) -> EngineRequest:
        """A request for a source.

        Raises:
            InvalidRequest: the options are out of range or contradict each other.
            TooLarge: more target tokens are asked for than the model writes.
        """
        limit = self.manifest.limits.target_length
        if wanted.max_length is not None and wanted.max_length > limit:
            raise TooLarge(f"max_length is {wanted.max_length}; model {self.name!r} writes at most {limit} tokens")
        prefix = self.codec.target_ids(wanted.prefix) if wanted.prefix else []
        length = wanted.max_length or min(limit, default_target_length(len(ids), limit) + len(prefix))
        options = replace(wanted.options, max_length=length, prefix=tuple(prefix), end_loops=wanted.guarded)
        if faults := options.find_errors(self.manifest.vocabulary, limit, self.worker_pool.queue.rows_per_worker):
            raise InvalidRequest("; ".join(faults))
        return EngineRequest(ids, options)

    async def classify(self, texts: list[str], scope: RequestScope) -> Answered:
        """Classify texts, all together.

        Raises:
            TooLarge: a text is longer than the model reads, or they are too many.
            Overloaded, NotReady, DeadlineExceeded, ClientGone, InternalError: see `RequestScope`.
        """
        sources = await self._class_sources(texts)
        limit = self.manifest.limits.source_length
        for i, ids in enumerate(sources):
            if len(ids) > limit:
                raise TooLarge(
                    f"text {i} has {len(ids)} tokens; model {self.name!r} reads at most {limit}: send it in sentences"
                )
        answers = await scope.results(self.engine_client, [EngineRequest(ids) for ids in sources])
        return Answered(answers, sum(map(len, sources)))

    async def _class_sources(self, texts: list[str]) -> list[list[int]]:
        # A short request is tokenised sooner than it could be handed to another thread.
        arguments = texts, [self.manifest.special_tokens.bos], False
        if sum(map(len, texts)) <= MAX_INLINE_CHARACTERS:
            return self.codec.encode(*arguments)
        return await asyncio.to_thread(self.codec.encode, *arguments)
