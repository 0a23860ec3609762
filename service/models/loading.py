"""Load artifacts and start their worker pools."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from service.artifact import Artifact, ArtifactError, Manifest, read_artifact
from service.engine.cores import available_cores
from service.engine.interfaces import PoolConfig, StartPools, WorkerPool, score_pool_name
from service.engine.occupancy import QueueLimits
from service.metrics import Metrics
from service.models.registry import FaultyArtifact, Registry
from service.models.scorer import PairScorer
from service.models.served_model import ServedModel
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
    loaded, faulty = _read_artifacts(settings.models)
    started = start_pools([one.artifact for one in loaded], pool_config(settings), metrics.of_model)
    folders = {one.artifact.manifest.name: one.artifact.path for one in loaded}
    faulty += [_faulty(folders[name], reason, name) for name, reason in started.faults.items()]
    served = [one for one in loaded if one.artifact.manifest.name not in started.faults]
    try:
        _check_served(settings, [one.artifact.manifest for one in served], faulty)
    except ArtifactError:
        for worker_pool in started.pools.values():
            worker_pool.queue.close()
        raise
    for artifact in faulty:
        log.error("not served: %s", artifact.reason)
    metrics.faulty_artifacts.set(len(faulty))
    for name, worker_pool in started.pools.items():
        metrics.watch(name, worker_pool)
    models = [_serve(artifact, codec, started.pools, metrics) for artifact, codec in served]
    registry = Registry(models, settings.translator, settings.classifier, settings.detector, faulty)
    _log_choices(registry)
    return registry


def _read_artifacts(models: Path) -> tuple[list[LoadedArtifact], list[FaultyArtifact]]:
    """Read all artifact folders; return those that are good so far and have different names, and the others.

    Raises:
        ArtifactError: there is no folder.
    """
    folders = sorted(p for p in models.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ArtifactError(f"{models}: no artifact folder in it; set ATTENDANT_MODELS to a folder of artifacts")
    loaded: list[LoadedArtifact] = []
    faulty: list[FaultyArtifact] = []
    for folder in folders:
        name = ""
        try:
            artifact = read_artifact(folder)
            name = artifact.manifest.name
            loaded.append(LoadedArtifact(artifact, TextCodec(artifact.tokenizer, artifact.manifest)))
        except ArtifactError as error:
            faulty.append(_faulty(folder, str(error), name or error.model))
    loaded, doubled = _unique(loaded)
    return loaded, faulty + doubled


def _unique(loaded: Sequence[LoadedArtifact]) -> tuple[list[LoadedArtifact], list[FaultyArtifact]]:
    """Return one artifact of each name, that in the folder of the name or else the first, and the others."""
    chosen: dict[str, LoadedArtifact] = {}
    doubled: list[FaultyArtifact] = []
    for one in sorted(loaded, key=lambda one: one.artifact.path.name != one.artifact.manifest.name):
        folder, name = one.artifact.path, one.artifact.manifest.name
        if (other := chosen.setdefault(name, one)) is not one:
            reason = f"{folder}: its name {name!r} is also that of {other.artifact.path}, which is served; remove one"
            doubled.append(_faulty(folder, reason, ""))
    return [one for one in loaded if one in chosen.values()], doubled


def _faulty(folder: Path, reason: str, model: str) -> FaultyArtifact:
    """Return what is said about a faulty artifact, with paths that begin at the models folder."""
    return FaultyArtifact(model or folder.name, reason.replace(f"{folder.parent}{os.sep}", "")[:MAX_REASON])


def _check_served(settings: Settings, served: Sequence[Manifest], faulty: Sequence[FaultyArtifact]) -> None:
    """Check that the service may start with these models.

    Raises:
        ArtifactError: it may not.
    """
    errors = [artifact.reason for artifact in faulty] if settings.strict or not served else []
    errors += _unknown_defaults(settings, served, faulty)
    if errors and not served:
        errors.append(f"{settings.models}: no artifact can be served; export them again, or set ATTENDANT_MODELS")
    elif errors and faulty:
        errors.append(f"{settings.models}: {len(faulty)} artifacts are faulty and ATTENDANT_STRICT is set")
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


def _log_choices(registry: Registry) -> None:
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


def _serve(
    artifact: Artifact, codec: TextCodec, worker_pools: Mapping[str, WorkerPool], metrics: Metrics
) -> ServedModel:
    manifest = artifact.manifest
    scorer_name = score_pool_name(manifest.name)
    scorer = None
    if scorer_name in worker_pools:
        scorer = PairScorer(manifest, codec, worker_pools[scorer_name], metrics.of_model(scorer_name))
    return ServedModel(artifact, codec, worker_pools[manifest.name], metrics.of_model(manifest.name), scorer)
