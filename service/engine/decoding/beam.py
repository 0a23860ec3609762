"""Beam search: several hypotheses a request, each a row, that go on from one another."""

from dataclasses import dataclass

import numpy as np

from service.engine.decoding.search import Candidates, SearchStep, not_finite
from service.engine.types import EngineRequest, EngineResult, Hypothesis


@dataclass(frozen=True)
class _Picked:
    """The candidates that run on, (N, k) each: parent hypothesis, token, sum and the token's log-probability."""

    parent: np.ndarray
    token: np.ndarray
    total: np.ndarray
    log_prob: np.ndarray


class BeamGroup:
    """Beam search with k hypotheses a request, by the rule that training/decoding/beam.py states and is tested against.

    Candidates are the 2k most probable tokens of each hypothesis. One that is among the first k of all and ends is a
    finished hypothesis; the first k that do not end run on. A width of 1 is greedy search with scores.
    """

    def __init__(self, size: int, eos: int, room: int) -> None:
        self.size, self.width, self.eos = size, 2 * size, eos
        self.requests: list[EngineRequest] = []
        self.ended: list[list[Hypothesis]] = []
        self.rows = np.empty((0, size), dtype=np.int64)
        self.ids = np.empty((0, size, room), dtype=np.int64)
        self.log_probs = np.empty((0, size, room + 1), dtype=np.float64)  # log-probability of every token
        self.sums = np.empty((0, size), dtype=np.float64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        count = len(requests)
        self.requests += requests
        self.ended += [[] for _ in requests]
        self.rows = np.concatenate([self.rows, rows])
        self.ids = np.concatenate([self.ids, np.zeros((count, *self.ids.shape[1:]), np.int64)])
        self.log_probs = np.concatenate([self.log_probs, np.zeros((count, *self.log_probs.shape[1:]))])
        first = np.full((count, self.size), -np.inf)  # all hypotheses are the empty one: only the first may go on
        first[:, 0] = 0.0
        self.sums = np.concatenate([self.sums, first])
        self.length = np.concatenate([self.length, np.zeros(count, np.int64)])
        self.limit = np.concatenate([self.limit, [request.options.max_length for request in requests]])

    def generated(self, index: int) -> np.ndarray:
        """Ids of a request so far, one line a hypothesis."""
        return self.ids[index, :, : self.length[index]]

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        assert candidates is not None
        count, k, width = len(self.requests), self.size, self.width
        tokens = candidates.token[self.rows][..., :width].reshape(count, k * width)  # (N, k*C)
        log_probs = candidates.log_probability[self.rows][..., :width].astype(np.float64)  # (N, k, C)
        is_finite = ~np.isnan(log_probs[..., 0]).any(axis=1) & np.isfinite(log_probs[:, 0, 0])  # (N,)
        totals = (self.sums[..., None] + log_probs).reshape(count, k * width)
        order = np.argsort(-totals, axis=1, kind="stable")[:, :width]  # (N, 2k)
        parent, total = order // width, np.take_along_axis(totals, order, axis=1)
        log_prob = np.take_along_axis(log_probs.reshape(count, k * width), order, axis=1)
        chosen = np.take_along_axis(tokens, order, axis=1)
        ends = chosen == self.eos
        for i, rank in np.argwhere(ends[:, :k] & np.isfinite(total[:, :k])).tolist():
            self._end(i, int(parent[i, rank]), float(total[i, rank]), float(log_prob[i, rank]))
        going = _first(~ends, k)  # (N, k)
        picked = _Picked(*(np.take_along_axis(array, going, axis=1) for array in (parent, chosen, total, log_prob)))
        return self._extend(picked, is_finite, token)

    def _end(self, i: int, parent: int, total: float, log_prob: float) -> None:
        """A hypothesis took the end mark; the best k are kept, of equals the earlier."""
        length = int(self.length[i])
        log_probs = [*self.log_probs[i, parent, :length].tolist(), log_prob]
        score = total / (length + 1) ** self.requests[i].options.length_penalty
        self.ended[i].append(Hypothesis(self.ids[i, parent, :length].tolist(), "stop", score, log_probs))
        self.ended[i] = sorted(self.ended[i], key=lambda h: -(h.score or 0.0))[: self.size]

    def _extend(self, picked: "_Picked", is_finite: np.ndarray, token: np.ndarray) -> SearchStep:
        """The hypotheses that run on, each from its parent; whoever is decided or at the limit is finished."""
        line, column, at = np.arange(len(self.requests))[:, None], np.arange(self.size)[None], self.length[:, None]
        parent, chosen = picked.parent, picked.token
        written = int(self.length.max()) + 1  # the room behind that is many times as wide, and empty
        before = self.ids[..., :written]
        after, log_probs = before[line, parent], self.log_probs[line, parent, :written]
        after[line, column, at], log_probs[line, column, at] = chosen, picked.log_prob
        self.length += 1
        self.sums = picked.total
        done = np.array([self._decided(i) for i in range(len(self.requests))], bool) | (self.length >= self.limit)
        done |= ~is_finite
        place, copied = _places(parent)
        copied &= ~done[:, None]
        to, source = place[copied], parent[copied]
        lines = np.nonzero(copied)[0]
        start = _common(before[lines, to], before[lines, source])
        choice = SearchStep(self.rows[lines, to], self.rows[lines, source], start)
        self.rows = self.rows[line, place]
        token[self.rows] = chosen
        self.ids[..., :written], self.log_probs[..., :written] = after, log_probs
        for i in np.flatnonzero(done).tolist():
            choice.finished.append((self.requests[i], self._outcome(i) if is_finite[i] else not_finite()))
        if choice.finished:
            self.keep(~done)
        return choice

    def _decided(self, i: int) -> bool:
        """Whether no running hypothesis can change the answer any more, or may."""
        if len(self.ended[i]) < self.size:
            return False
        options = self.requests[i].options
        running = self.sums[i, 0] / self.length[i] ** options.length_penalty
        return options.early_stopping or self.size == 1 or (self.ended[i][-1].score or 0.0) >= running

    def _outcome(self, i: int) -> EngineResult:
        options, length = self.requests[i].options, int(self.length[i])
        cut = [
            Hypothesis(
                self.ids[i, j, :length].tolist(), "length", float(total) / length**options.length_penalty,
                self.log_probs[i, j, :length].tolist(),
            )
            for j, total in enumerate(self.sums[i])
            if np.isfinite(total)
        ]  # fmt: skip
        return EngineResult([*self.ended[i], *cut][: options.n_best])

    def keep(self, mask: np.ndarray) -> None:
        """Forget the requests where the mask is False."""
        kept = np.flatnonzero(mask).tolist()
        self.requests, self.ended = [self.requests[i] for i in kept], [self.ended[i] for i in kept]
        self.rows, self.ids, self.log_probs, self.sums = (
            self.rows[mask],
            self.ids[mask],
            self.log_probs[mask],
            self.sums[mask],
        )
        self.length, self.limit = self.length[mask], self.limit[mask]


def _places(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whose row each hypothesis takes over (N, k), and whether it has to copy its parent's into it.

    The first child of a parent goes on where that is; only the others need rows, those of parents without children.
    """
    same = parent[:, :, None] == parent[:, None, :]  # (N, k, k)
    later = np.tril(same, -1).any(axis=2)  # (N, k)
    childless = (parent[:, :, None] != np.arange(parent.shape[1])).all(axis=1)  # (N, k)
    place = parent.copy()
    place[later] = np.nonzero(childless)[1]  # as many in each line as come later there
    return place, later


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How many ids the lines of both have in common at their beginning: (M, T) each."""
    differ = (one != other).any(axis=0)  # (T,)
    return int(differ.argmax()) if differ.any() else 0


def _first(mask: np.ndarray, count: int) -> np.ndarray:
    """The positions of the first `count` True values of every line, of which each has as many: (N, M) -> (N, count)."""
    rank = np.cumsum(mask, axis=1)
    return np.nonzero(mask & (rank <= count))[1].reshape(len(mask), count)
