"""The models folder while the service runs: new versions are loaded, swapped in and unloaded without losing a request.

A new version is read, verified (checksums, a trial request) and warmed up beside the old one. Then it takes the old
one's place in the registry, between two requests. The old one is unloaded when the last request has ended that could
use it. A version that fails on this way is listed as faulty, and the old one goes on serving.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

from service.artifact import ArtifactError, Manifest, read_manifest
from service.engine.interfaces import ModelLoader, pool_name
from service.engine.process.runtime import release_memory
from service.engine.queue import Closed, Unavailable
from service.engine.types import EngineFailure
from service.errors import NotLoaded, UnknownModel
from service.metrics import Metrics
from service.models.loading import (
    LoadedArtifact,
    faulty_artifact,
    find_doubled,
    log_choices,
    not_fetched,
    pool_config,
    read_folder,
    served_model,
    watch,
)
from service.models.open_requests import OpenRequests
from service.models.registry import FaultyArtifact, Registry
from service.models.served_model import ServedModel
from service.models.sources import Found, ModelSources
from service.settings import Settings

log = logging.getLogger("attendant")

WARM_UP_SECONDS = 60.0  # for the first request of a new version
FIRST_NUMBER = 1_000_000  # of artifacts that are loaded later; those loaded at start have lower ones


class _Found(NamedTuple):
    """What is in the models folder: artifacts to load, folders whose artifact is served, and what is faulty."""

    new: list[LoadedArtifact]
    unchanged: set[Path]
    faulty: dict[Path, FaultyArtifact]


class ModelRepository:
    """Changes which models are served: those in the models folder, or those that an operator names.

    Use it in the event loop. One change is made after the other.
    """

    def __init__(self, settings: Settings, metrics: Metrics, registry: Registry, engine: ModelLoader) -> None:
        self._settings, self._metrics, self._registry, self._engine = settings, metrics, registry, engine
        self._sources = ModelSources(str(settings.models), settings.cache)
        self._numbers = count(FIRST_NUMBER)
        self._lock = asyncio.Lock()
        self._unloaded: dict[Path, Manifest] = {}  # artifacts that an operator has unloaded: not loaded unless named
        self._retiring: set[asyncio.Task[None]] = set()

    async def reload(self) -> None:
        """Serve what is in the models folder now: load new and changed artifacts, unload those that are gone.

        Raises:
            ArtifactError: there is no artifact in it; the served models stay.
        """
        async with self._lock:
            found = await asyncio.to_thread(self._sources.find)
            await self._reconcile(found, found.folders, list(self._registry), not_fetched(found))

    async def load(self, name: str) -> ServedModel:
        """Load new and changed versions of a model from the models folder; return the newest, now served.

        Raises:
            UnknownModel: no artifact there has this name.
            NotLoaded: one cannot be loaded; what was served before still is.
        """
        async with self._lock:
            there = await asyncio.to_thread(self._find_all)
            folders = self._folders_of(name, there)
            for folder in folders:
                self._unloaded.pop(folder, None)
            own = [model for model in self._registry if name in (model.name, model.pinned_name)]
            names = {name, *(folder.name for folder in folders)} - set(there.missing)
            others = [one for one in self._registry.faulty if one.name not in names]
            if faulty := await self._reconcile(there, folders, own, others):
                reasons = "; ".join(artifact.reason for artifact in faulty)
                raise NotLoaded(f"model {name[:80]!r} is not loaded: {reasons}{self._note_on(faulty[0].name)}")
            return self._registry.get(name)

    async def unload(self, name: str) -> None:
        """Serve a model no longer: all of its versions, or one that is given as NAME@VERSION.

        Raises:
            UnknownModel: no such model is served.
        """
        async with self._lock:
            models = [model for model in self._registry if name in (model.name, model.pinned_name)]
            if not models:
                self._registry.get(name)
            self._unloaded |= {model.artifact.path: model.manifest for model in models}
            self._replace(models, [], self._registry.faulty)

    async def stop(self) -> None:
        """Make no more changes, and wait for no more requests of earlier versions; then drain the registry."""
        await self._lock.acquire()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _find_all(self) -> Found:
        """Return all artifact folders that there are.

        Raises:
            UnknownModel: there is none.
        """
        try:
            return self._sources.find()
        except ArtifactError as error:
            raise UnknownModel(str(error)) from None

    def _folders_of(self, name: str, there: Found) -> list[Path]:
        """Return the folders with a model of this name, or that had one.

        Raises:
            UnknownModel: there is none.
        """
        model, _, version = name.partition("@")
        served = {model.artifact.path: model.manifest for model in self._registry}
        names = {folder: _names(folder, served.get(folder)) for folder in there.folders}
        found = [folder for folder in there.folders if (name if version else model) in names[folder]]
        if not found:
            known = sorted({one for of_folder in names.values() for one in of_folder if "@" not in one})
            reasons = "".join(f"; {reason}" for reason in there.missing.values())
            raise UnknownModel(
                f"no artifact of a model {name[:80]!r} in {self._sources}; there is {', '.join(known)}{reasons}"
            )
        return found

    async def _reconcile(
        self,
        there: Found,
        folders: Sequence[Path],
        models: Iterable[ServedModel],
        other_faulty: Sequence[FaultyArtifact],
    ) -> list[FaultyArtifact]:
        """Serve what these folders have; return what is faulty. Of `models` those are unloaded whose folder is gone."""
        found = await asyncio.to_thread(self._find, there, folders)
        faulty = dict(found.faulty)
        served = {model.artifact.path: model for model in self._registry}
        gone = [model for model in models if self._sources.is_gone(model.artifact.path, there)]
        for one in found.new:
            folder = one.artifact.path
            try:
                model = await self._load(one)
            except (ArtifactError, EngineFailure) as error:
                faulty[folder] = faulty_artifact(folder, str(error), one.artifact.manifest.name)
                continue
            before = [served[folder]] if folder in served else []
            before += [old for old in gone if old.pinned_name == model.pinned_name]
            self._replace(before, [model], self._registry.faulty)
        still = set(self._registry)
        self._replace([model for model in gone if model in still], [], [*other_faulty, *faulty.values()])
        for artifact in faulty.values():
            log.error("not loaded: %s%s", artifact.reason, self._note_on(artifact.name))
        return list(faulty.values())

    def _find(self, there: Found, folders: Sequence[Path]) -> _Found:
        """Read the folders, except those whose artifact is served or was unloaded."""
        served = {model.artifact.path: model.artifact for model in self._registry}
        found = _Found([], set(), {})
        for folder in folders:
            known = [served[folder].manifest] if folder in served else []
            known += [self._unloaded[folder]] if folder in self._unloaded else []
            if known and _manifest(folder) in known:
                found.unchanged.add(folder)
            elif isinstance(read := read_folder(folder), LoadedArtifact):
                found.new.append(read)
            else:
                found.faulty[folder] = read
        stay = [artifact for path, artifact in served.items() if path in found.unchanged or path not in folders]
        stay = [artifact for artifact in stay if not self._sources.is_gone(artifact.path, there)]
        doubled = find_doubled([*stay, *(one.artifact for one in found.new)], [artifact.path for artifact in stay])
        found.faulty.update(doubled)
        return found._replace(new=[one for one in found.new if one.artifact.path not in doubled])

    async def _load(self, loaded: LoadedArtifact) -> ServedModel:
        """Return the model of an artifact, ready to serve.

        Raises:
            ArtifactError, EngineFailure: that is not possible.
        """
        artifact = replace(loaded.artifact, number=next(self._numbers))
        pools = await self._engine.load(
            artifact, pool_config(self._settings), lambda id: self._metrics.of_model(pool_name(id))
        )
        model = served_model(LoadedArtifact(artifact, loaded.codec), pools, self._metrics, self._settings)
        try:
            async with asyncio.timeout(WARM_UP_SECONDS):
                await model.warm_up()
        except (EngineFailure, Closed, Unavailable, TimeoutError) as error:
            self._retire(model)
            problem = f"the first request fails: {type(error).__name__} {error}"
            raise ArtifactError(f"{artifact.path}: {problem}") from None
        return model

    def _replace(
        self, old: Iterable[ServedModel], new: Iterable[ServedModel], faulty: Sequence[FaultyArtifact]
    ) -> None:
        """Have new models take the place of old ones, for all requests that begin from now on."""
        old, new = list(old), list(new)
        staying = [model for model in self._registry if model not in old]
        self._registry.replace(sorted([*staying, *new], key=lambda model: model.artifact.path), faulty)
        self._metrics.faulty_artifacts.set(len(faulty))
        watch(self._registry, self._metrics)
        for model in new:
            log.info("serving %s version %s", model.name, model.version)
        names = {model.name for model in self._registry}
        for model in old:
            log.info("no longer serving %s version %s to new requests", model.name, model.version)
            for pool in model.worker_pools if model.name not in names else ():
                self._metrics.unwatch(pool_name(pool.id))
            self._retire(model)
        if old or new:
            log_choices(self._registry)

    def _retire(self, model: ServedModel) -> None:
        """Unload a model when the requests have ended that may use it."""
        self._engine.retire(model.artifact.id)
        task = asyncio.ensure_future(self._unload(model))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _unload(self, model: ServedModel) -> None:
        try:
            await OpenRequests.of(asyncio.get_running_loop()).wait_for_earlier()
            await self._engine.unload(model.artifact.id)
        except asyncio.CancelledError:
            for pool in model.worker_pools:
                pool.drain(0)
            raise
        model.forget_options()
        log.info("unloaded %s version %s", model.name, model.version)
        del model
        await asyncio.to_thread(release_memory)

    def _note_on(self, name: str) -> str:
        """Return what to add to an error about an artifact: which versions of the model are served."""
        versions = [model.version for model in self._registry if model.name == name]
        return f"; {name} goes on with version {', '.join(versions)}" if versions else ""


def _manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, or None if it cannot be read."""
    try:
        return read_manifest(folder)
    except ArtifactError:
        return None


def _names(folder: Path, served: Manifest | None) -> set[str]:
    """Return the names, with and without version, of the model that a folder has, and of the one served from it.

    Of a folder where there is neither, return its own name.
    """
    names = set()
    for manifest in (_manifest(folder), served):
        if manifest is not None:
            names |= {manifest.name, f"{manifest.name}@{manifest.version}"}
    return names or {folder.name}
