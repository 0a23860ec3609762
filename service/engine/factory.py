"""Start the worker pools of artifacts in this process."""

from collections.abc import Callable, Sequence

from service.artifact import Artifact, ArtifactError
from service.engine.interfaces import Observer, PoolConfig, score_pool_name
from service.engine.models.classify import ClassifyEngine
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.queue import Queue
from service.engine.worker import Engine, LocalWorkerPool


def start_pools(
    artifacts: Sequence[Artifact], pool_config: PoolConfig, observer: Callable[[str], Observer]
) -> dict[str, LocalWorkerPool]:
    """Load the graphs of the artifacts, start their worker pools and return these by name.

    `observer` is called with the name of each pool and returns its observer.

    Raises:
        ArtifactError: graphs cannot be loaded; the message lists all of them.
    """
    loaded: dict[str, list[Engine]] = {}
    errors: list[str] = []
    for artifact in artifacts:
        try:
            loaded |= create_engines(artifact, pool_config)
        except ArtifactError as error:
            errors.append(str(error))
    if errors:
        raise ArtifactError("\n".join(errors))
    pools = {
        name: LocalWorkerPool(name, engines, Queue(pool_config.limits, pool_config.workers), observer(name))
        for name, engines in loaded.items()
    }
    for pool in pools.values():
        pool.start()
    return pools


def create_engines(artifact: Artifact, pool_config: PoolConfig) -> dict[str, list[Engine]]:
    """Return one engine per worker, by the name of the pool; the workers of a pool share its graphs.

    Raises:
        ArtifactError: a graph cannot be loaded.
    """
    name, workers = artifact.manifest.name, range(pool_config.workers)
    if artifact.manifest.task == "classify":
        graph = Session(artifact.graph("classify"), pool_config.threads)
        return {name: [ClassifyEngine(artifact, graph) for _ in workers]}
    graphs = TranslateGraphs.load(artifact, pool_config.threads)
    score = Session(artifact.graph("score"), pool_config.threads)
    return {
        name: [TranslateEngine(graphs, pool_config.rows_per_worker) for _ in workers],
        score_pool_name(name): [ScoreEngine(artifact, score) for _ in workers],
    }
