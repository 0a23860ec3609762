"""Load artifacts and start their worker pools."""

from collections.abc import Mapping

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
    """Load every artifact in the models folder and start its worker pools.

    `start_pools` starts them in this process or in another one.

    Raises:
        ArtifactError: with the errors of all artifacts, so that one start shows all of them.
    """
    folders = sorted(p for p in settings.models.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ArtifactError(
            f"{settings.models}: no artifact folder in it; set ATTENDANT_MODELS to a folder of artifacts"
        )
    loaded: list[tuple[Artifact, TextCodec]] = []
    errors: list[str] = []
    for folder in folders:
        try:
            artifact = read_artifact(folder)
            loaded.append((artifact, TextCodec(artifact.tokenizer, artifact.manifest)))
        except ArtifactError as error:
            errors.append(str(error))
    names = [artifact.manifest.name for artifact, _ in loaded]
    errors += [f"{settings.models}: two artifacts are named {n!r}" for n in sorted(set(names)) if names.count(n) > 1]
    if settings.classifier and settings.classifier not in names:
        served = ", ".join(sorted(names))
        errors.append(f"ATTENDANT_CLASSIFIER is {settings.classifier!r}, which is not served; there is {served}")
    try:
        worker_pools = start_pools([artifact for artifact, _ in loaded], pool_config(settings), metrics.of_model)
    except ArtifactError as error:
        raise ArtifactError("\n".join([*errors, str(error)])) from None
    if errors:
        for worker_pool in worker_pools.values():
            worker_pool.queue.close()
        raise ArtifactError("\n".join(errors))
    for name, worker_pool in worker_pools.items():
        metrics.watch(name, worker_pool)
    models = [_serve(artifact, codec, worker_pools, metrics) for artifact, codec in loaded]
    return Registry(models, settings.classifier)


def pool_config(settings: Settings) -> PoolConfig:
    """Return the configuration of every worker pool, for the cores of this machine."""
    workers, threads = settings.workers_and_threads(available_cores())
    limits = QueueLimits(
        rows=settings.rows,
        encode_tokens=settings.encode_tokens,
        queue_segments=settings.queue_segments,
        queue_tokens=settings.queue_tokens,
    )
    return PoolConfig(workers, threads, limits)


def _serve(
    artifact: Artifact, codec: TextCodec, worker_pools: Mapping[str, WorkerPool], metrics: Metrics
) -> ServedModel:
    manifest = artifact.manifest
    scorer_name = score_pool_name(manifest.name)
    scorer = None
    if scorer_name in worker_pools:
        scorer = PairScorer(manifest, codec, worker_pools[scorer_name], metrics.of_model(scorer_name))
    return ServedModel(artifact, codec, worker_pools[manifest.name], metrics.of_model(manifest.name), scorer)
