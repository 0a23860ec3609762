"""Engines with predictable answers, driven by hand or failing on demand."""

import threading
from collections.abc import Callable, Sequence

from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis

PATIENCE = 20.0  # seconds a test waits for something that takes milliseconds


def nothing() -> None: ...


def answer(ids: list[int]) -> EngineResult:
    """An answer that serves a translation and a classification alike."""
    return EngineResult([Hypothesis(list(ids))], probabilities=[1.0, 0.0, 0.0])


class EchoEngine:
    """Writes every request's source back, one token a step, and tells whoever wants to know it."""

    pool_bytes = 0

    def __init__(self, on_join: Callable[[], None] = nothing, on_step: Callable[[], None] = nothing) -> None:
        self.on_join, self.on_step = on_join, on_step
        self.requests: list[EngineRequest] = []
        self.written: list[list[int]] = []

    def join(self, group: list[EngineRequest]) -> None:
        self.on_join()
        self.requests += group
        self.written += [[] for _ in group]

    def step(self) -> list[FinishedRequest]:
        self.on_step()
        finished: list[FinishedRequest] = []
        for request, ids in zip(self.requests, self.written, strict=True):
            ids.append(request.ids[len(ids)])
            if request.on_token is not None:
                request.on_token(ids[-1])
            if len(ids) == len(request.ids):
                finished.append((request, answer(ids)))
        self.drop([request for request, _ in finished])
        return finished

    def drop(self, requests: list[EngineRequest]) -> None:
        kept = [i for i, request in enumerate(self.requests) if request not in requests]
        self.requests, self.written = [self.requests[i] for i in kept], [self.written[i] for i in kept]

    def clear(self) -> None:
        self.requests, self.written = [], []


class Failing:
    """Raises at the calls of the given numbers, from 1."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.calls = numbers, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls in self.numbers:
            raise RuntimeError(f"call {self.calls}")


class HeldEngine(EchoEngine):
    """An echo whose every step waits for a permit; `entered` counts the steps begun."""

    def __init__(self) -> None:
        super().__init__(on_step=self._hold)
        self._changed = threading.Condition()
        self._permits = 0
        self.entered = 0

    def _hold(self) -> None:
        with self._changed:
            self.entered += 1
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._permits > 0, PATIENCE):
                raise TimeoutError("nobody lets the engine go on")
            self._permits -= 1

    def allow(self, steps: int) -> None:
        with self._changed:
            self._permits += steps
            self._changed.notify_all()

    def wait_for_step(self, number: int) -> None:
        """Until the step of that number has begun; it is held until it is allowed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= number, PATIENCE)


class Record:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.steps: list[int] = []
        self.answers = 0
        self.failures = 0
        self.turns = 0

    def on_encoded(self, group: Sequence[EngineRequest], seconds: float) -> None:
        self.groups.append([len(request.ids) for request in group])

    def on_step(self, rows: int, seconds: float) -> None:
        self.steps.append(rows)

    def on_finished(self, requests: int) -> None:
        self.answers += requests

    def on_failure(self) -> None:
        self.failures += 1

    def on_iteration_end(self) -> None:
        self.turns += 1
