"""Beam search: several hypotheses per request, one row each; a row may continue the hypothesis of another.

Shapes: N requests of the group, k hypotheses per request, C = 2k candidates per hypothesis, T target length.
"""

from dataclasses import dataclass

import numpy as np

from service.engine.decoding.search import Candidates, Logits, SearchStep, not_finite
from service.engine.types import EngineRequest, EngineResult, Hypothesis


@dataclass(frozen=True)
class _Continuations:
    """The candidates that become the running hypotheses, each (N, k)."""

    parent: np.ndarray
    token: np.ndarray
    total: np.ndarray  # sum of log-probabilities, this token included
    log_prob: np.ndarray  # of this token


class BeamGroup:
    """Beam search with k hypotheses per request, by the rule of training/decoding/beam.py, which it is tested against.

    Candidates are the 2k most probable tokens of each hypothesis. A candidate among the first k of all that is the end
    token finishes a hypothesis; the first k candidates that are not the end token keep running. With k = 1 this is
    greedy search with scores.
    """

    def __init__(self, size: int, eos: int, max_length: int) -> None:
        self.size, self.width, self.eos = size, 2 * size, eos
        self.requests: list[EngineRequest] = []
        self.finished: list[list[Hypothesis]] = []  # of each request, best first, at most k
        self.rows = np.empty((0, size), dtype=np.int64)
        self.ids = np.empty((0, size, max_length), dtype=np.int64)
        self.log_probs = np.empty((0, size, max_length + 1), dtype=np.float64)  # log-probability of every token
        self.sums = np.empty((0, size), dtype=np.float64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        count = len(requests)
        self.requests += requests
        self.finished += [[] for _ in requests]
        self.rows = np.concatenate([self.rows, rows])
        self.ids = np.concatenate([self.ids, np.zeros((count, *self.ids.shape[1:]), np.int64)])
        self.log_probs = np.concatenate([self.log_probs, np.zeros((count, *self.log_probs.shape[1:]))])
        initial = np.full((count, self.size), -np.inf)  # all k hypotheses are empty: only the first may be continued
        initial[:, 0] = 0.0
        self.sums = np.concatenate([self.sums, initial])
        self.length = np.concatenate([self.length, np.zeros(count, np.int64)])
        self.limit = np.concatenate([self.limit, [request.options.max_length for request in requests]])

    def generated(self, index: int) -> np.ndarray:
        return self.ids[index, :, : self.length[index]]

    def choose(self, logits: Logits, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        assert candidates is not None
        count, k, width = len(self.requests), self.size, self.width
        tokens = candidates.token[self.rows][..., :width].reshape(count, k * width)  # (N, k*C)
        log_probs = candidates.log_probability[self.rows][..., :width].astype(np.float64)  # (N, k, C)
        is_finite = ~np.isnan(log_probs[..., 0]).any(axis=1) & np.isfinite(log_probs[:, 0, 0])  # (N,)
        totals = (self.sums[..., None] + log_probs).reshape(count, k * width)  # (N, k*C)
        order = np.argsort(-totals, axis=1, kind="stable")[:, :width]  # (N, 2k)
        parent, total = order // width, np.take_along_axis(totals, order, axis=1)  # (N, 2k) each
        log_prob = np.take_along_axis(log_probs.reshape(count, k * width), order, axis=1)  # (N, 2k)
        chosen = np.take_along_axis(tokens, order, axis=1)  # (N, 2k)
        ends = chosen == self.eos
        for i, rank in np.argwhere(ends[:, :k] & np.isfinite(total[:, :k])).tolist():
            self._finish_hypothesis(i, int(parent[i, rank]), float(total[i, rank]), float(log_prob[i, rank]))
        running = _first(~ends, k)  # (N, k)
        continuations = _Continuations(
            *(np.take_along_axis(array, running, axis=1) for array in (parent, chosen, total, log_prob))
        )
        return self._extend(continuations, is_finite, token)

    def _finish_hypothesis(self, i: int, parent: int, total: float, log_prob: float) -> None:
        """Add a hypothesis that ends with the end token; keep the best k, the earlier one first if scores are equal."""
        length = int(self.length[i])
        log_probs = [*self.log_probs[i, parent, :length].tolist(), log_prob]
        score = total / (length + 1) ** self.requests[i].options.length_penalty
        self.finished[i].append(Hypothesis(self.ids[i, parent, :length].tolist(), "stop", score, log_probs))
        self.finished[i] = sorted(self.finished[i], key=lambda h: -(h.score or 0.0))[: self.size]

    def _extend(self, continuations: _Continuations, is_finite: np.ndarray, token: np.ndarray) -> SearchStep:
        """Extend the running hypotheses; finish requests that are decided, at their limit, or not finite."""
        line, column, at = np.arange(len(self.requests))[:, None], np.arange(self.size)[None], self.length[:, None]
        parent, chosen = continuations.parent, continuations.token
        used = int(self.length.max()) + 1  # the arrays are many times longer; their rest is empty
        before = self.ids[..., :used]
        after, log_probs = before[line, parent], self.log_probs[line, parent, :used]
        after[line, column, at], log_probs[line, column, at] = chosen, continuations.log_prob
        self.length += 1
        self.sums = continuations.total
        done = np.array([self._is_decided(i) for i in range(len(self.requests))], bool) | (self.length >= self.limit)
        done |= ~is_finite
        slot, copied = _assign_rows(parent)
        copied &= ~done[:, None]
        target, source = slot[copied], parent[copied]
        lines = np.nonzero(copied)[0]
        shared = _shared_length(before[lines, target], before[lines, source])
        step = SearchStep(self.rows[lines, target], self.rows[lines, source], shared)
        self.rows = self.rows[line, slot]
        token[self.rows] = chosen
        self.ids[..., :used], self.log_probs[..., :used] = after, log_probs
        for i in np.flatnonzero(done).tolist():
            step.finished.append((self.requests[i], self._result(i) if is_finite[i] else not_finite()))
        if step.finished:
            self.keep(~done)
        return step

    def _is_decided(self, i: int) -> bool:
        """Return whether the running hypotheses cannot, or by the options need not, change the result any more."""
        if len(self.finished[i]) < self.size:
            return False
        options = self.requests[i].options
        running = self.sums[i, 0] / self.length[i] ** options.length_penalty
        return options.early_stopping or self.size == 1 or (self.finished[i][-1].score or 0.0) >= running

    def _result(self, i: int) -> EngineResult:
        options, length = self.requests[i].options, int(self.length[i])
        unfinished = [
            Hypothesis(
                self.ids[i, j, :length].tolist(), "length", float(total) / length**options.length_penalty,
                self.log_probs[i, j, :length].tolist(),
            )
            for j, total in enumerate(self.sums[i])
            if np.isfinite(total)
        ]  # fmt: skip
        return EngineResult([*self.finished[i], *unfinished][: options.n_best])

    def keep(self, mask: np.ndarray) -> None:
        kept = np.flatnonzero(mask).tolist()
        self.requests, self.finished = [self.requests[i] for i in kept], [self.finished[i] for i in kept]
        self.rows, self.ids = self.rows[mask], self.ids[mask]
        self.log_probs, self.sums = self.log_probs[mask], self.sums[mask]
        self.length, self.limit = self.length[mask], self.limit[mask]


def _assign_rows(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each hypothesis (N, k) the previous hypothesis whose row it takes, and whether it must copy state.

    The first child of a parent keeps its parent's row. The other children take the rows of parents without children,
    and copy their parent's state into them.
    """
    same = parent[:, :, None] == parent[:, None, :]  # (N, k, k)
    is_later_child = np.tril(same, -1).any(axis=2)  # (N, k)
    is_childless = (parent[:, :, None] != np.arange(parent.shape[1])).all(axis=1)  # (N, k)
    slot = parent.copy()
    slot[is_later_child] = np.nonzero(is_childless)[1]  # each line has as many later children as childless parents
    return slot, is_later_child


def _shared_length(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many leading columns of two arrays (M, T) are equal."""
    differ = (one != other).any(axis=0)  # (T,)
    return int(differ.argmax()) if differ.any() else 0


def _first(mask: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the first `count` True values of each line, which must have as many: (N, M) -> (N, k)."""
    rank = np.cumsum(mask, axis=1)
    return np.nonzero(mask & (rank <= count))[1].reshape(len(mask), count)
