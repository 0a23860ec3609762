"""Greedy search, and the detection of outputs that only repeat themselves."""

import numpy as np

from service.engine.decoding.search import Candidates, Logits, SearchStep, not_finite
from service.engine.types import EngineRequest, EngineResult, Hypothesis

PERIODS = np.arange(1, 17)  # lengths of a repeated phrase, in tokens
MIN_REPEATED = np.maximum(3 * PERIODS, 8)  # tokens that repeat the first phrase, from which on it is a loop


class GreedyGroup:
    """Greedy search: the most probable token in every step, one row per request. Streams its tokens."""

    width = 0

    def __init__(self, eos: int, max_length: int) -> None:
        self.eos = eos
        self.requests: list[EngineRequest] = []
        self.rows = np.empty((0, 1), dtype=np.int64)
        self.ids = np.empty((0, max_length), dtype=np.int64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)
        self.recent = np.empty((0, len(PERIODS)), dtype=np.int64)  # the last ids, latest first
        # For each period p: how many of the last ids, without a gap, equal the id p positions before them.
        self.repeated = np.empty((0, len(PERIODS)), dtype=np.int64)

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        self.requests += requests
        self.rows = np.concatenate([self.rows, rows])
        self.recent = np.concatenate([self.recent, np.full((len(requests), len(PERIODS)), -1)])
        self.repeated = np.concatenate([self.repeated, np.zeros((len(requests), len(PERIODS)), np.int64)])
        self.ids = np.concatenate([self.ids, np.zeros((len(requests), self.ids.shape[1]), np.int64)])
        self.length = np.concatenate([self.length, np.zeros(len(requests), np.int64)])
        self.limit = np.concatenate([self.limit, [request.options.max_length for request in requests]])

    def generated(self, index: int) -> np.ndarray:
        return self.ids[index : index + 1, : self.length[index]]

    def choose(self, logits: Logits, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        best, peak = logits.best(self.rows[:, 0])  # (N,), (N,)
        return self._append(best, np.isfinite(peak), token)

    def _append(self, best: np.ndarray, is_finite: np.ndarray, token: np.ndarray) -> SearchStep:
        """Append one token (N,) per request; finish those that end, loop, reach their limit or are not finite."""
        rows = self.rows[:, 0]
        token[rows] = best
        ended = best == self.eos
        self.ids[np.arange(len(best)), self.length] = best
        self.length += ~ended
        for i, request in enumerate(self.requests):
            if request.on_token is not None and is_finite[i] and not ended[i]:
                request.on_token(int(best[i]))
        looping = self._detect_loops(best)
        done = ended | (self.length >= self.limit) | ~is_finite | looping
        step = SearchStep()
        for i in np.flatnonzero(done).tolist():
            reason = "stop" if ended[i] else "loop" if looping[i] else "length"
            step.finished.append((self.requests[i], self._result(i, reason) if is_finite[i] else not_finite()))
        if step.finished:
            self.keep(~done)
        return step

    def _detect_loops(self, best: np.ndarray) -> np.ndarray:
        """Return which requests (N,) must end with this token because their output only repeats itself.

        A request does not end if its source or prefix has such a loop as well, or before its minimum length.
        """
        self.repeated += 1
        self.repeated *= self.recent == best[:, None]  # (N, P)
        self.recent[:, 1:] = self.recent[:, :-1]
        self.recent[:, 0] = best
        looping = np.zeros(len(self.requests), dtype=bool)
        if self.repeated.max(initial=0) < MIN_REPEATED[0]:
            return looping
        for i in np.flatnonzero((self.repeated >= MIN_REPEATED).any(axis=1)).tolist():
            request, options = self.requests[i], self.requests[i].options
            allowed = self.length[i] < options.min_length or has_loop(request.ids) or has_loop(list(options.prefix))
            looping[i] = options.end_loops and not allowed
        return looping

    def _result(self, i: int, reason: str) -> EngineResult:
        return EngineResult([Hypothesis(self.ids[i, : self.length[i]].tolist(), reason)])

    def keep(self, mask: np.ndarray) -> None:
        self.requests = [request for request, kept in zip(self.requests, mask.tolist(), strict=True) if kept]
        self.rows, self.ids = self.rows[mask], self.ids[mask]
        self.length, self.limit = self.length[mask], self.limit[mask]
        self.recent, self.repeated = self.recent[mask], self.repeated[mask]


def has_loop(ids: list[int]) -> bool:
    """Return whether a phrase of at most 16 tokens is repeated without a gap, often enough to count as a loop."""
    array = np.array(ids)
    for period, least in list(zip(PERIODS.tolist(), MIN_REPEATED.tolist(), strict=True))[: len(ids) - 1]:
        changes = np.flatnonzero(np.concatenate([[True], array[period:] != array[:-period], [True]]))
        if np.diff(changes).max() > least:
            return True
    return False
