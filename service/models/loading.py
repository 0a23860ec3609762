"""Load artifacts and start their workers."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.artifact import Artifact, ArtifactError, read_artifact
from service.engine.cores import available_cores
from service.engine.interfaces import PoolConfig, StartPools, WorkerPool, score_pool_name
from service.engine.queue import QueueLimits
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.scorer import PairScorer
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import TextCodec


def load_models(settings: Settings, metrics: Metrics, start_pools: StartPools) -> Registry:
    """Load every artifact in the models folder; `start_pools` puts worker pools to work on them, here or in another
    process.

    Raises:
        ArtifactError: with the faults of every artifact, so that one start shows all of them.
    """
    folders = sorted(p for p in settings.models.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ArtifactError(
            f"{settings.models}: no artifact folder in it; set ATTENDANT_MODELS to a folder of artifacts"
        )
    loaded: list[Loaded] = []
    faults: list[str] = []
    for folder in folders:
        try:
            artifact = read_artifact(folder)
            loaded.append(Loaded(artifact, TextCodec(artifact.tokenizer, artifact.manifest)))
        except ArtifactError as error:
            faults.append(str(error))
    names = [one.artifact.manifest.name for one in loaded]
    faults += [f"{settings.models}: two artifacts are named {n!r}" for n in sorted(set(names)) if names.count(n) > 1]
    if settings.classifier and settings.classifier not in names:
        there = ", ".join(sorted(names))
        faults.append(f"ATTENDANT_CLASSIFIER is {settings.classifier!r}, which is not served; there is {there}")
    try:
        worker_pools = start_pools([one.artifact for one in loaded], pool_config(settings), metrics.of_model)
    except ArtifactError as error:
        raise ArtifactError("\n".join([*faults, str(error)])) from None
    if faults:
        for worker_pool in worker_pools.values():
            worker_pool.queue.close()
        raise ArtifactError("\n".join(faults))
    for name, worker_pool in worker_pools.items():
        metrics.watch(name, worker_pool)
    return Registry([_serve(one, worker_pools, metrics) for one in loaded], settings.classifier)


@dataclass(frozen=True)
class Loaded:
    """An artifact that can be served."""

    artifact: Artifact
    codec: TextCodec


def pool_config(settings: Settings) -> PoolConfig:
    """What the settings grant every worker pool, on the cores that there are."""
    workers, threads = settings.workers_and_threads(available_cores())
    limits = QueueLimits(
        rows=settings.rows,
        encode_tokens=settings.encode_tokens,
        queue_segments=settings.queue_segments,
        queue_tokens=settings.queue_tokens,
    )
    return PoolConfig(workers, threads, limits)


def _serve(loaded: Loaded, worker_pools: Mapping[str, WorkerPool], metrics: Metrics) -> ServedModel:
    manifest, codec = loaded.artifact.manifest, loaded.codec
    scores = score_pool_name(manifest.name)
    scorer = None
    if scores in worker_pools:
        scorer = PairScorer(manifest, codec, worker_pools[scores], metrics.of_model(scores))
    return ServedModel(loaded.artifact, codec, worker_pools[manifest.name], metrics.of_model(manifest.name), scorer)
