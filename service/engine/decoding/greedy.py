"""Logits to ids. Search never sees the model: it sees logits, chooses tokens, and says which row goes on from which.

A group is all requests that are searched alike; its arrays have one line a request, so that a step costs the same few
numpy calls for one request as for a hundred. Every line is computed from its own rows alone: an answer does not depend
on the group.
"""

from collections.abc import Iterator

import numpy as np

from service.engine.decoding.search import Candidates, SearchGroup, SearchStep, not_finite
from service.engine.types import EngineRequest, EngineResult, Hypothesis

PERIODS = np.arange(1, 17)  # tokens of what may come again and again
COPIED = np.maximum(3 * PERIODS, 8)  # tokens of copies, after the first one, that make a loop of it


class GreedyGroup:
    """The most probable token, again and again, one row a request. Ids are written as they come."""

    width = 0

    def __init__(self, eos: int, room: int) -> None:
        self.eos = eos
        self.requests: list[EngineRequest] = []
        self.rows = np.empty((0, 1), dtype=np.int64)
        self.ids = np.empty((0, room), dtype=np.int64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)
        self.recent = np.empty((0, len(PERIODS)), dtype=np.int64)  # the last ids, latest first
        self.copied = np.empty((0, len(PERIODS)), dtype=np.int64)  # how many of them are those of a period before

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        self.requests += requests
        self.rows = np.concatenate([self.rows, rows])
        self.recent = np.concatenate([self.recent, np.full((len(requests), len(PERIODS)), -1)])
        self.copied = np.concatenate([self.copied, np.zeros((len(requests), len(PERIODS)), np.int64)])
        self.ids = np.concatenate([self.ids, np.zeros((len(requests), self.ids.shape[1]), np.int64)])
        self.length = np.concatenate([self.length, np.zeros(len(requests), np.int64)])
        self.limit = np.concatenate([self.limit, [request.options.max_length for request in requests]])

    def generated(self, index: int) -> np.ndarray:
        """Ids of a request so far, one line a hypothesis."""
        return self.ids[index : index + 1, : self.length[index]]

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        rows = self.rows[:, 0]
        mine = logits if len(rows) == len(logits) else logits[rows]
        best = mine.argmax(axis=1)  # (N,)
        peak = mine[np.arange(len(best)), best]
        if mine is logits:
            best, peak = best[rows], peak[rows]
        return self._settle(best, np.isfinite(peak), token)

    def _settle(self, best: np.ndarray, is_finite: np.ndarray, token: np.ndarray) -> SearchStep:
        """Write one token a request; finished are those that end, reach their limit, or have no number to choose by."""
        rows = self.rows[:, 0]
        token[rows] = best
        ended = best == self.eos
        self.ids[np.arange(len(best)), self.length] = best
        self.length += ~ended
        for i, request in enumerate(self.requests):
            if request.on_token is not None and is_finite[i] and not ended[i]:
                request.on_token(int(best[i]))
        looping = self._looping(best)
        done = ended | (self.length >= self.limit) | ~is_finite | looping
        choice = SearchStep()
        for i in np.flatnonzero(done).tolist():
            reason = "stop" if ended[i] else "loop" if looping[i] else "length"
            choice.finished.append((self.requests[i], self._outcome(i, reason) if is_finite[i] else not_finite()))
        if choice.finished:
            self.keep(~done)
        return choice

    def _looping(self, best: np.ndarray) -> np.ndarray:
        """Which answers (N,) are to end with this token because they only repeat themselves, and neither their
        source nor a prefix does, nor has to be so long."""
        self.copied += 1
        self.copied *= self.recent == best[:, None]  # (N, P)
        self.recent[:, 1:] = self.recent[:, :-1]
        self.recent[:, 0] = best
        looping = np.zeros(len(self.requests), dtype=bool)
        if self.copied.max(initial=0) < COPIED[0]:
            return looping
        for i in np.flatnonzero((self.copied >= COPIED).any(axis=1)).tolist():
            request, options = self.requests[i], self.requests[i].options
            wanted = self.length[i] < options.min_length or has_loop(request.ids) or has_loop(list(options.prefix))
            looping[i] = options.end_loops and not wanted
        return looping

    def _outcome(self, i: int, reason: str) -> EngineResult:
        return EngineResult([Hypothesis(self.ids[i, : self.length[i]].tolist(), reason)])

    def keep(self, mask: np.ndarray) -> None:
        """Forget the requests where the mask is False."""
        self.requests = [request for request, kept in zip(self.requests, mask.tolist(), strict=True) if kept]
        self.rows, self.ids = self.rows[mask], self.ids[mask]
        self.length, self.limit = self.length[mask], self.limit[mask]
        self.recent, self.copied = self.recent[mask], self.copied[mask]


def has_loop(ids: list[int]) -> bool:
    """Whether some of the ids come again and again, one right after the other, as a loop's do."""
    array = np.array(ids)
    for period, least in list(zip(PERIODS.tolist(), COPIED.tolist(), strict=True))[: len(ids) - 1]:
        changes = np.flatnonzero(np.concatenate([[True], array[period:] != array[:-period], [True]]))
        if np.diff(changes).max() > least:
            return True
    return False


def processes_logits(group: SearchGroup) -> Iterator[int]:
    """The requests of a group whose logits are changed before a token is chosen."""
    for index, request in enumerate(group.requests):
        if request.options.changes_logits:
            yield index
