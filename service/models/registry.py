"""The models that are served: loaded from their artifacts, chosen by name or by direction."""

import time
from collections.abc import Iterator

from service.artifact import Direction
from service.errors import ModelRequired, ServiceError, UnknownModel
from service.models.served_model import ServedModel

PIVOT = "en"


class Registry:
    """The models by name, and the choice among them."""

    def __init__(self, models: list[ServedModel], classifier: str = "") -> None:
        self._classifier = classifier  # the one for requests that name none
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def named(self, name: str, task: str) -> ServedModel:
        """The model of that name, if it does the task."""
        model = self._models.get(name)
        if model is None or model.manifest.task != task:
            raise UnknownModel(f"no model {name[:80]!r} to {task}; there is {', '.join(self._of(task)) or 'none'}")
        return model

    def any(self, name: str) -> ServedModel:
        """The model of that name, whatever its task."""
        if name not in self._models:
            raise UnknownModel(f"no model {name[:80]!r}; there is {', '.join(sorted(self._models))}")
        return self._models[name]

    def translator(self, name: str | None, source: str | None, target: str) -> tuple[ServedModel, Direction]:
        """The model asked for, or the first by name that has the direction."""
        if name is not None:
            model = self.named(name, "translate")
            return model, model.direction(source, target)
        faults: list[ServiceError] = []
        for candidate in self._of("translate"):
            try:
                return self._models[candidate], self._models[candidate].direction(source, target)
            except (UnknownModel, ModelRequired) as fault:
                faults.append(fault)
        ambiguous = [fault for fault in faults if isinstance(fault, ModelRequired)]
        if ambiguous or len(faults) == 1:
            raise (ambiguous or faults)[0]
        raise UnknownModel(f"no model translates {source or 'anything'} to {target}")

    def route(self, name: str | None, source: str, target: str) -> list[tuple[ServedModel, Direction]]:
        """The model that has the direction, or two that have it by way of English.

        Raises:
            UnknownModel: there is neither.
        """
        try:
            return [self.translator(name, source, target)]
        except UnknownModel:
            if (source, target) in self.pairs(name):
                return [self.translator(name, source, PIVOT), self.translator(name, PIVOT, target)]
            raise

    def pairs(self, name: str | None = None) -> list[tuple[str, str]]:
        """Source and target of all directions, those by way of English too: of all models, or of one."""
        models = [model for model in self if name in (None, model.name)]
        direct = {(d.source, d.target) for model in models for d in model.manifest.directions}
        into = {source for source, target in direct if target == PIVOT}
        out_of = {target for source, target in direct if source == PIVOT}
        return sorted(direct | {(source, target) for source in into for target in out_of if source != target})

    def classifier(self, name: str | None) -> ServedModel:
        """The model asked for, or the one that is set for whoever does not ask, or the only one."""
        if name is None:
            name = self._classifier or None
        if name is not None:
            return self.named(name, "classify")
        names = self._of("classify")
        if not names:
            raise UnknownModel("there is no model to classify with")
        if len(names) > 1:
            raise ModelRequired(f"give model as one of {', '.join(names)}, or set ATTENDANT_CLASSIFIER to one of them")
        return self._models[names[0]]

    def _of(self, task: str) -> list[str]:
        return sorted(name for name, model in self._models.items() if model.manifest.task == task)

    def detector(self, name: str) -> ServedModel | None:
        """The classifier of that name, if it is served."""
        return self._models[name] if name in self._of("classify") else None

    def drain(self, timeout: float) -> None:
        """Stop taking requests and answer those admitted."""
        worker_pools = [worker_pool for model in self for worker_pool in model.worker_pools]
        for worker_pool in worker_pools:
            worker_pool.queue.close()
        deadline = time.monotonic() + timeout
        for worker_pool in worker_pools:
            worker_pool.drain(max(0.0, deadline - time.monotonic()))
