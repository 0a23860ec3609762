"""Start the worker pools of artifacts in this process."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.artifact import Artifact, ArtifactError
from service.engine.device import CPU, Device
from service.engine.interfaces import Observer, PoolConfig, StartedPools, score_pool_id
from service.engine.models.classify import ClassifyEngine
from service.engine.models.probe import find_device
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.queue import Queue
from service.engine.types import EngineRequest
from service.engine.worker import Engine, LocalWorkerPool

log = logging.getLogger(__name__)

MAX_TRIAL_LENGTH = 256  # tokens


def start_pools(
    artifacts: Sequence[Artifact], pool_config: PoolConfig, observer: Callable[[str], Observer]
) -> StartedPools[LocalWorkerPool]:
    """Load the graphs of the artifacts, compute a trial request with each, and start the worker pools.

    `observer` is called with the id of each pool and returns its observer.

    Raises:
        DeviceError: the device of the configuration cannot be used.
    """
    found = find_device(pool_config.device)
    pools: dict[str, LocalWorkerPool] = {}
    faults: dict[str, str] = {}
    for artifact in artifacts:
        device = _device_of(artifact, found)
        workers = pool_config.gpu_workers if device.kind == "cuda" else pool_config.workers
        config = replace(pool_config, workers=workers)
        try:
            engines = create_engines(artifact, config, device)
            for of_pool in engines.values():
                _try_engine(artifact, of_pool[0])
        except ArtifactError as error:
            faults[artifact.id] = str(error)
            continue
        for id, of_pool in engines.items():
            pools[id] = LocalWorkerPool(id, of_pool, Queue(config.limits, config.workers), observer(id))
    for pool in pools.values():
        pool.start()
    return StartedPools(pools, faults)


def _device_of(artifact: Artifact, found: Device) -> Device:
    """Return the device for a model: the GPU computes in fp16 only, other precisions stay on the CPU."""
    manifest = artifact.manifest
    if found.kind == "cuda" and manifest.precision != "fp16":
        log.warning(
            "%s is %s and runs on the CPU; `python -m export --fp16` makes an artifact for the GPU",
            manifest.name, manifest.precision,
        )  # fmt: skip
        return CPU
    return found


def _try_engine(artifact: Artifact, engine: Engine) -> None:
    """Compute a tiny request, so that graphs that do not fit the manifest are found before anybody is served.

    Raises:
        ArtifactError: it fails.
    """
    manifest = artifact.manifest
    prefixes = {token: None for direction in manifest.directions for token in direction.prefix}
    length = min(MAX_TRIAL_LENGTH, manifest.limits.source_length) - 1
    request = EngineRequest([*list(prefixes)[:length], manifest.special_tokens.eos], translation=[])
    try:
        engine.join([request])
        outcomes = [outcome for _, outcome in engine.step()]
        engine.clear()
    except Exception as error:  # onnxruntime has one exception class for each kind of failure, numpy has others
        raise ArtifactError(f"{artifact.path}: a trial request fails: {type(error).__name__}: {error}") from None
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise ArtifactError(f"{artifact.path}: a trial request fails: {outcome}")


def create_engines(artifact: Artifact, pool_config: PoolConfig, device: Device = CPU) -> dict[str, list[Engine]]:
    """Return one engine per worker, by the id of the pool; the workers of a pool share its graphs.

    Raises:
        ArtifactError: a graph cannot be loaded.
    """
    id, workers = artifact.id, range(pool_config.workers)
    if artifact.manifest.task == "classify":
        graph = Session(artifact.graph("classify"), pool_config.threads, device)
        return {id: [ClassifyEngine(artifact, graph) for _ in workers]}
    graphs = TranslateGraphs.load(artifact, pool_config.threads, device)
    score = Session(artifact.graph("score"), pool_config.threads, device)
    return {
        id: [TranslateEngine(graphs, pool_config.rows_per_worker) for _ in workers],
        score_pool_id(id): [ScoreEngine(artifact, score) for _ in workers],
    }
