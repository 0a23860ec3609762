"""Fake engines with predictable results, controlled by the test."""

import threading
from collections.abc import Callable, Sequence

from service.engine.scheduler import group_by_length
from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis

TIMEOUT = 20.0  # seconds that a test waits for something that takes milliseconds


def nothing() -> None: ...


def answer(ids: list[int]) -> EngineResult:
    """Return a result that is valid for a translation and for a classification."""
    return EngineResult([Hypothesis(list(ids))], probabilities=[1.0, 0.0, 0.0])


class EchoEngine:
    """An engine that returns the source of every request, one token a step."""

    pool_bytes = 0

    def __init__(self, on_join: Callable[[], None] = nothing, on_step: Callable[[], None] = nothing) -> None:
        self.on_join, self.on_step = on_join, on_step
        self.requests: list[EngineRequest] = []
        self.written: list[list[int]] = []

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        return group_by_length(requests)

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
        remaining = [i for i, request in enumerate(self.requests) if request not in requests]
        self.requests, self.written = [self.requests[i] for i in remaining], [self.written[i] for i in remaining]

    def clear(self) -> None:
        self.requests, self.written = [], []


class Failing:
    """A callable that raises at the calls with these numbers; the first call has number 1."""

    def __init__(self, *failing_calls: int) -> None:
        self.failing_calls, self.calls = failing_calls, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls in self.failing_calls:
            raise RuntimeError(f"call {self.calls}")


class HeldEngine(EchoEngine):
    """An echo engine whose steps wait for permits; `entered` counts the steps that began."""

    def __init__(self) -> None:
        super().__init__(on_step=self._hold)
        self._changed = threading.Condition()
        self._permits = 0
        self.entered = 0

    def _hold(self) -> None:
        with self._changed:
            self.entered += 1
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._permits > 0, TIMEOUT):
                raise TimeoutError("the engine got no permit for its step")
            self._permits -= 1

    def allow(self, steps: int) -> None:
        with self._changed:
            self._permits += steps
            self._changed.notify_all()

    def wait_for_step(self, number: int) -> None:
        """Wait until the step with this number has begun; it is held until it is allowed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= number, TIMEOUT)


class RecordingObserver:
    """An observer that records its calls."""

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
