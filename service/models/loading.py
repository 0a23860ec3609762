"""Load artifacts and start their worker pools."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from service.artifact import Artifact, ArtifactError, Manifest, read_artifact
from service.engine.cores import available_cores
from service.engine.interfaces import PoolConfig, StartPools, WorkerPool, pool_name, score_pool_id
from service.engine.occupancy import QueueLimits
from service.metrics import Metrics
from service.models.registry import FaultyArtifact, Registry
from service.models.scorer import PairScorer
from service.models.served_model import ServedModel
from service.models.sources import Found, ModelSources
from service.settings import Settings
from service.text.tokenizer import TextCodec

log = logging.getLogger("attendant")

MAX_REASON = 1000  # characters


class LoadedArtifact(NamedTuple):
    """An artifact that has been checked, and its tokenisers."""

    artifact: Artifact
    codec: TextCodec


def load_models(settings: Settings, metrics: Metrics, start_pools: StartPools) -> Registry:
    """Load the artifacts in the models folder and start their worker pools; faulty ones are logged and not served.

    `start_pools` starts them in this process or in another one.

    Raises:
        ArtifactError: no artifact can be served, or with the setting `strict` not all of them. The message has what is
            wrong with each, so that one start shows everything.
    """
    sources = ModelSources(str(settings.models), settings.cache)
    loaded, faulty = _read_artifacts(sources.find())
    by_id = {one.artifact.id: one for one in loaded}
    artifacts = [one.artifact for one in loaded]
    started = start_pools(artifacts, pool_config(settings), lambda id: metrics.of_model(pool_name(id)))
    for id, reason in started.faults.items():
        artifact = by_id[id].artifact
        faulty.append(faulty_artifact(artifact.path, reason, artifact.manifest.name))
    served = [one for id, one in by_id.items() if id not in started.faults]
    try:
        _check_served(settings, sources, [one.artifact.manifest for one in served], faulty)
    except ArtifactError:
        for worker_pool in started.pools.values():
            worker_pool.queue.close()
        raise
    for one in faulty:
        log.error("not served: %s", one.reason)
    metrics.faulty_artifacts.set(len(faulty))
    models = [served_model(one, started.pools, metrics, settings) for one in served]
    registry = Registry(
        models, settings.translator, settings.classifier, settings.detector, faulty, settings.canary_version
    )
    watch(registry, metrics)
    log_choices(registry)
    _log_canary(registry, settings)
    return registry


def _read_artifacts(found: Found) -> tuple[list[LoadedArtifact], list[FaultyArtifact]]:
    """Read all artifact folders; return those that are good so far, each version of a model once, and the others."""
    read = [read_folder(folder) for folder in found.folders]
    faulty = [one for one in read if isinstance(one, FaultyArtifact)] + not_fetched(found)
    loaded = [one for one in read if isinstance(one, LoadedArtifact)]
    doubled = find_doubled([one.artifact for one in loaded])
    versions = Counter[str]()
    unique = []
    for artifact, codec in loaded:
        if artifact.path not in doubled:
            name = artifact.manifest.name
            unique.append(LoadedArtifact(replace(artifact, number=versions[name]), codec))
            versions[name] += 1
    return unique, faulty + list(doubled.values())


def not_fetched(found: Found) -> list[FaultyArtifact]:
    """Return what is said about the URLs whose artifact is not there."""
    return [FaultyArtifact(name, reason[:MAX_REASON]) for name, reason in found.missing.items()]


def read_folder(folder: Path) -> LoadedArtifact | FaultyArtifact:
    """Read and check an artifact folder, and load its tokenisers."""
    name = ""
    try:
        artifact = read_artifact(folder)
        name = artifact.manifest.name
        return LoadedArtifact(artifact, TextCodec(artifact.tokenizer, artifact.manifest))
    except ArtifactError as error:
        return faulty_artifact(folder, str(error), name or error.model)


def find_doubled(artifacts: Iterable[Artifact], served: Collection[Path] = ()) -> dict[Path, FaultyArtifact]:
    """Return the artifacts, by folder, whose name and version another one has: one that is served already, or that in
    the folder of the name, or else the first."""

    def rank(artifact: Artifact) -> tuple[bool, bool]:
        return artifact.path not in served, artifact.path.name != artifact.manifest.name

    chosen: dict[tuple[str, str], Path] = {}
    doubled = {}
    for artifact in sorted(artifacts, key=rank):
        folder, name, version = artifact.path, artifact.manifest.name, artifact.manifest.version
        if (other := chosen.setdefault((name, version), folder)) is not folder:
            reason = f"its name {name!r} and version {version!r} are also those of {other}, which is served; remove one"
            doubled[folder] = FaultyArtifact(folder.name, _shortened(f"{folder}: {reason}", folder))
    return doubled


def faulty_artifact(folder: Path, reason: str, model: str = "") -> FaultyArtifact:
    """Return what is said about a faulty artifact."""
    return FaultyArtifact(model or folder.name, _shortened(reason, folder))


def _shortened(reason: str, folder: Path) -> str:
    """Return a reason with paths that begin at the models folder."""
    return reason.replace(f"{folder.parent}{os.sep}", "")[:MAX_REASON]


def _check_served(
    settings: Settings, sources: ModelSources, served: Sequence[Manifest], faulty: Sequence[FaultyArtifact]
) -> None:
    """Check that the service may start with these models.

    Raises:
        ArtifactError: it may not.
    """
    errors = [artifact.reason for artifact in faulty] if settings.strict or not served else []
    errors += _unknown_defaults(settings, served, faulty)
    if errors and not served:
        errors.append(f"{sources}: no artifact can be served; export them again, or set ATTENDANT_MODELS")
    elif errors and faulty:
        errors.append(f"{sources}: {len(faulty)} artifacts are faulty and ATTENDANT_STRICT is set")
    if errors:
        raise ArtifactError("\n".join(errors))


def _unknown_defaults(settings: Settings, manifests: Sequence[Manifest], faulty: Sequence[FaultyArtifact]) -> list[str]:
    """Return an error for every setting that names a model that does not exist or does another task."""
    errors = []
    not_served = {artifact.name for artifact in faulty}
    for name, task in (("translator", "translate"), ("classifier", "classify")):
        value, served = getattr(settings, name), sorted(one.name for one in manifests if one.task == task)
        if value and value not in {*served, *not_served}:
            there = ", ".join(served) or "none"
            errors.append(f"ATTENDANT_{name.upper()} is {value!r}, which is not served to {task}; there is {there}")
    return errors


def _log_canary(registry: Registry, settings: Settings) -> None:
    if settings.canary and registry.canary is None:
        log.warning("ATTENDANT_CANARY is %s, and that version is not served: it takes no requests", settings.canary)


def watch(registry: Registry, metrics: Metrics) -> None:
    """Read the gauges of each model from its newest version."""
    for model in registry.newest:
        for worker_pool in model.worker_pools:
            metrics.watch(pool_name(worker_pool.id), worker_pool)


def log_choices(registry: Registry) -> None:
    """Log which of several translators of a direction was chosen, so that a new one takes no traffic unnoticed."""
    for (source, target), (first, *others) in registry.ambiguous_directions().items():
        log.warning(
            "%s to %s: %s translates requests that name no model, before %s; ATTENDANT_TRANSLATOR names the one to use",
            source, target, first, ", ".join(others),
        )  # fmt: skip


def pool_config(settings: Settings) -> PoolConfig:
    """Return the configuration of every worker pool, for the cores of this machine."""
    workers, threads = settings.workers_and_threads(available_cores())
    limits = QueueLimits(
        rows=settings.rows,
        encode_tokens=settings.encode_tokens,
        queue_segments=settings.queue_segments,
        queue_tokens=settings.queue_tokens,
    )
    return PoolConfig(workers, threads, limits, settings.device, settings.workers or 1)


def served_model(
    loaded: LoadedArtifact, worker_pools: Mapping[str, WorkerPool], metrics: Metrics, settings: Settings
) -> ServedModel:
    """Return the model of an artifact, over its worker pools by id."""
    artifact, codec = loaded
    scorer_id = score_pool_id(artifact.id)
    canary, pinned_name = settings.canary_version, f"{artifact.manifest.name}@{artifact.manifest.version}"
    label = pinned_name if canary and canary.name == pinned_name else artifact.manifest.name
    scorer = None
    if scorer_id in worker_pools:
        observer = metrics.of_model(pool_name(scorer_id))
        scorer = PairScorer(artifact.manifest, codec, worker_pools[scorer_id], observer)
    return ServedModel(artifact, codec, worker_pools[artifact.id], metrics.of_model(label), scorer)
