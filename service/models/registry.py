"""The served models, looked up by name, task or translation direction."""

import copy
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.artifact import Direction
from service.errors import FaultyModel, ModelRequired, UnknownModel
from service.models.served_model import ServedModel
from service.settings import Canary
from service.text.languages import match_language

PIVOT = "en"


@dataclass(frozen=True, eq=False)
class RouteStep:
    """A model, and the direction in which it translates."""

    model: ServedModel
    direction: Direction


# One step for a direction that a model has, two by way of the pivot language, none for a text that stays as it is.
Route = Sequence[RouteStep]


class FaultyArtifact(NamedTuple):
    """An artifact that is not served: the name of its model, or else of its folder, and what is wrong with it."""

    name: str
    reason: str


class _Languages(NamedTuple):
    """What is translated: (source, target) of each pair, in order, and the languages on both sides."""

    pairs: list[tuple[str, str]]
    sources: frozenset[str]
    targets: frozenset[str]


_NO_LANGUAGES = _Languages([], frozenset(), frozenset())


def newest_last(version: str) -> list[tuple[int, str]]:
    """Return the sort key of a version: numbers in it are compared as numbers."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", version)]


class Registry:
    """The served models by name, and which of them answer requests that name none.

    `translator` translates such requests wherever it can, directly or by way of the pivot language; `classifier`
    classifies them, or else the only classifier besides `detector`, the one that detects languages. `faulty` are the
    artifacts that could not be loaded.

    Of several versions of a model, the newest has its name; each has the name NAME@VERSION. A `canary` has the name in
    its share of the snapshots, and never in the others unless it is the only version. `replace` changes what is served;
    a request that looks models up several times does so in one `snapshot`.
    """

    def __init__(
        self,
        models: list[ServedModel],
        translator: str = "",
        classifier: str = "",
        detector: str = "",
        faulty: Sequence[FaultyArtifact] = (),
        canary: Canary | None = None,
    ) -> None:
        self._translator, self._classifier, self._detector = translator, classifier, detector
        self._canary, self._due = canary, 0.0
        self._is_snapshot = False
        self.replace(models, faulty)

    def replace(self, models: Sequence[ServedModel], faulty: Sequence[FaultyArtifact]) -> None:
        """Serve these models from now on, and list these artifacts as faulty."""
        self._all = list(models)
        self._versions = {model.pinned_name: model for model in self._all}
        self._tried = self._versions.get(self._canary.name) if self._canary else None
        self._name_versions([model for model in models if model is not self._tried])
        self.faulty = sorted(faulty)
        self._snapshots: tuple[Registry, Registry] | None = None  # without and with the canary

    def _name_versions(self, preferred: Sequence[ServedModel]) -> None:
        """Have the newest version of each model its name, of those preferred if there is one."""
        by_age = sorted(self._all, key=lambda model: (model in preferred, newest_last(model.version)))
        newest = {model.name: model for model in by_age}
        self._models = {model.name: newest[model.name] for model in self._all}
        self._names_by_task = {task: self._find_names(task) for task in (None, "translate", "classify")}
        self._languages = {name: self._find_languages(name) for name in (None, *self._models, *self._versions)}

    @property
    def snapshot(self) -> "Registry":
        """The registry as it is now, which stays so; in the canary's share of the calls, its name is the canary's."""
        if self._is_snapshot:
            return self
        if self._snapshots is None:
            self._snapshots = copy.copy(self), copy.copy(self)
            for one in self._snapshots:
                one._is_snapshot = True
            if self._tried is not None:
                self._snapshots[1]._name_versions([self._tried])
        if self._canary is not None and self._tried is not None:
            self._due += self._canary.share
            if self._due >= 1:
                self._due -= 1
                return self._snapshots[1]
        return self._snapshots[0]

    @property
    def canary(self) -> ServedModel | None:
        """The version that is tried out, if it is served."""
        return self._tried

    def __iter__(self) -> Iterator[ServedModel]:
        """Iterate over all versions of all models."""
        return iter(self._all)

    @property
    def newest(self) -> list[ServedModel]:
        """The newest version of each model."""
        return list(self._models.values())

    def get(self, name: str, task: str | None = None) -> ServedModel:
        """Return the model of that name, or of a name and a version: NAME@VERSION.

        Raises:
            UnknownModel: there is no such model, or it does another task.
            FaultyModel: its artifact could not be loaded.
        """
        model = self._models.get(name) or self._versions.get(name)
        if model is None:
            self.check_not_faulty(name)
        if model is None or task not in (None, model.manifest.task):
            purpose = f" to {task}" if task else ""
            raise UnknownModel(f"no model {name[:80]!r}{purpose}; there is {', '.join(self._names(task)) or 'none'}")
        return model

    def check_not_faulty(self, name: str) -> None:
        """Check that no faulty artifact has this name.

        Raises:
            FaultyModel: one has it.
        """
        for artifact in self.faulty:
            if artifact.name == name:
                raise FaultyModel(f"model {name[:80]!r} is not served: {artifact.reason}")

    def _faulty_note(self) -> str:
        """Return what to add to an error that may be due to a faulty artifact."""
        names = ", ".join(artifact.name for artifact in self.faulty)
        return f"; faulty and not served, see GET /v1/models: {names}"[:500] if names else ""

    def direct_step(self, model: str | None, source: str | None, target: str) -> RouteStep:
        """Return the named model, or else the default or the first by name, that has the direction itself.

        Raises:
            UnknownModel: there is none.
            ModelRequired: several source languages fit; give `source`.
        """
        if model is not None:
            named = self.get(model, "translate")
            return RouteStep(named, named.direction(source, target))
        errors: list[UnknownModel | ModelRequired] = []
        for name in sorted(self._names("translate"), key=lambda name: name != self._translator):
            try:
                return RouteStep(self._models[name], self._models[name].direction(source, target))
            except (UnknownModel, ModelRequired) as error:
                errors.append(error)
        ambiguous = [error for error in errors if isinstance(error, ModelRequired)]
        if ambiguous or len(errors) == 1:
            raise (ambiguous or errors)[0]
        raise UnknownModel(f"no model translates {source or 'anything'} to {target}{self._faulty_note()}")

    def route(self, model: str | None, source: str, target: str) -> Route:
        """Return the step from source to target, or the two steps by way of the pivot language.

        Raises:
            UnknownModel: there is neither.
        """
        if model is None and self._translator and (source, target) in self.language_pairs(self._translator):
            model = self._translator
        try:
            return [self.direct_step(model, source, target)]
        except UnknownModel:
            if (source, target) in self.language_pairs(model):
                return [self.direct_step(model, source, PIVOT), self.direct_step(model, PIVOT, target)]
            raise

    def language_pairs(self, model: str | None = None) -> list[tuple[str, str]]:
        """Return (source, target) of all directions of all models, or of one; those by way of the pivot too."""
        return self._languages_of(model).pairs

    def _languages_of(self, model: str | None) -> "_Languages":
        return self._languages.get(model, _NO_LANGUAGES)

    def _find_languages(self, model: str | None) -> "_Languages":
        models = [self._models.get(model) or self._versions[model]] if model else self.newest
        direct = {(d.source, d.target) for one in models for d in one.manifest.directions}
        to_pivot = {source for source, target in direct if target == PIVOT}
        from_pivot = {target for source, target in direct if source == PIVOT}
        pairs = direct | {(source, target) for source in to_pivot for target in from_pivot if source != target}
        return _Languages(
            sorted(pairs), frozenset(source for source, _ in pairs), frozenset(target for _, target in pairs)
        )

    def ambiguous_directions(self) -> dict[tuple[str, str], list[str]]:
        """Return the directions that several models have and the default translator has not, with their names.

        The first of them answers requests that name none.
        """
        models: dict[tuple[str, str], list[str]] = {}
        default = set(self.language_pairs(self._translator)) if self._translator else set[tuple[str, str]]()
        for name in self._names("translate"):
            for direction in self._models[name].manifest.directions:
                models.setdefault((direction.source, direction.target), []).append(name)
        return {pair: names for pair, names in models.items() if len(names) > 1 and pair not in default}

    def match_languages(self, model: str | None, source: str | None, target: str) -> tuple[str | None, str]:
        """Return the languages of a request in the spelling of the models: see `match_language`.

        A language that no model, or not the named one, can translate is returned as it is.
        """
        _, sources, targets = self._languages_of(model)
        if source is not None:
            source = match_language(source, sources) or match_language(source, targets) or source
        return source, match_language(target, targets) or match_language(target, sources) or target

    def classifier(self, name: str | None) -> ServedModel:
        """Return the named classifier, or else the default one, or else the only one besides the detector.

        Raises:
            UnknownModel: there is no classifier, or none of that name.
            FaultyModel: its artifact could not be loaded.
            ModelRequired: there are several, and no default.
        """
        if not self._is_snapshot:
            return self.snapshot.classifier(name)
        if name is None:
            name = self._classifier or None
        if name is not None:
            return self.get(name, "classify")
        served = self._names("classify")
        if not served:
            raise UnknownModel(f"there is no model to classify with{self._faulty_note()}")
        names = [name for name in served if name != self._detector] or served
        if len(names) > 1:
            raise ModelRequired(f"give model as one of {', '.join(names)}, or set ATTENDANT_CLASSIFIER to one of them")
        return self._models[names[0]]

    @property
    def reads_pairs(self) -> bool:
        """Whether a served classifier reads pairs of texts."""
        return any(model.manifest.pair_separator for model in self)

    def detector(self, name: str) -> ServedModel | None:
        """Return the classifier of that name, or None if it is not served."""
        return self._models[name] if name in self._names("classify") else None

    def _names(self, task: str | None) -> list[str]:
        return self._names_by_task[task]

    def _find_names(self, task: str | None) -> list[str]:
        return sorted(name for name, model in self._models.items() if task in (None, model.manifest.task))

    def describe(self) -> list[str]:
        """Return a line for each model: name, version, precision, task, and its directions or number of labels."""
        lines = []
        for model in sorted(self._all, key=lambda model: model.name):
            manifest = model.manifest
            directions = [f"{direction.source}-{direction.target}" for direction in manifest.directions]
            what = ", ".join(directions) or f"{len(manifest.labels)} labels"
            lines.append(f"{manifest.name} {manifest.version} ({manifest.precision}): {manifest.task} {what}")
        return lines

    def drain(self, timeout: float) -> None:
        """Close all queues, then wait up to `timeout` seconds for the admitted requests to finish."""
        worker_pools = [worker_pool for model in self for worker_pool in model.worker_pools]
        for worker_pool in worker_pools:
            worker_pool.queue.close()
        deadline = time.monotonic() + timeout
        for worker_pool in worker_pools:
            worker_pool.drain(max(0.0, deadline - time.monotonic()))
