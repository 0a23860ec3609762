"""From artifacts to worker pools at work: which workers a model takes, and what they compute with."""

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
    """Crews at work in this process, by name; `observer` gives each the one who is told what it does.

    Raises:
        ArtifactError: with the faults of every graph.
    """
    found: dict[str, list[Engine]] = {}
    faults: list[str] = []
    for artifact in artifacts:
        try:
            found |= engines(artifact, pool_config)
        except ArtifactError as error:
            faults.append(str(error))
    if faults:
        raise ArtifactError("\n".join(faults))
    worker_pools = {
        name: LocalWorkerPool(name, hired, Queue(pool_config.limits, pool_config.workers), observer(name))
        for name, hired in found.items()
    }
    for worker_pool in worker_pools.values():
        worker_pool.start()
    return worker_pools


def engines(artifact: Artifact, pool_config: PoolConfig) -> dict[str, list[Engine]]:
    """The engines of a model's workers, by the name of their worker pool; a model's workers share its graphs.

    Raises:
        ArtifactError: a graph is none.
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
