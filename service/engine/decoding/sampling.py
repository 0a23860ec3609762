"""Sampling: tokens drawn by a seed, row by row."""

import numpy as np

from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.search import Candidates, SearchStep
from service.engine.types import EngineRequest, EngineResult


class SamplingGroup(GreedyGroup):
    """A token drawn from the softmax at a temperature, within the top k and the top p (Holtzman et al. 2020).

    The draws of a request come from its own seed, one a token: Philox (Salmon et al. 2011), keyed by the seed, whose
    counter is the position. Log-probabilities are the model's own, before temperature, top k and top p.
    """

    def __init__(self, eos: int, room: int) -> None:
        super().__init__(eos, room)
        self.log_probs = np.empty((0, room + 1), dtype=np.float64)  # log-probability of every token, where asked for

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        super().join(requests, rows)
        self.log_probs = np.concatenate([self.log_probs, np.zeros((len(requests), self.log_probs.shape[1]))])

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        best = np.zeros(len(self.requests), np.int64)
        is_finite = np.ones(len(self.requests), bool)
        for i, request in enumerate(self.requests):
            line = logits[self.rows[i, 0]]
            is_finite[i] = bool(np.isfinite(line.max()))
            if is_finite[i]:
                best[i] = self._draw(line, request, int(self.length[i]))
                if request.options.log_probabilities:
                    self.log_probs[i, self.length[i]] = log_probability(line, int(best[i]))
        return self._settle(best, is_finite, token)

    def _draw(self, line: np.ndarray, request: EngineRequest, position: int) -> int:
        options = request.options
        uniform = np.random.Generator(np.random.Philox(key=options.seed, counter=position)).random()
        order, probability = nucleus(line, options.temperature, options.top_k, options.top_p)
        cumulated = np.cumsum(probability)
        return int(order[min(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"), len(order) - 1)])

    def _outcome(self, i: int, reason: str) -> EngineResult:
        answer, options = super()._outcome(i, reason), self.requests[i].options
        if options.log_probabilities:
            log_probs = self.log_probs[i, : self.length[i] + (reason == "stop")].tolist()
            [told] = answer.hypotheses
            told.score, told.log_probabilities = sum(log_probs) / len(log_probs) ** options.length_penalty, log_probs
        return answer

    def keep(self, mask: np.ndarray) -> None:
        super().keep(mask)
        self.log_probs = self.log_probs[mask]


def log_probability(line: np.ndarray, token: int) -> float:
    """Of a token, by its row's logits (V,)."""
    scaled = line.astype(np.float64) - float(line.max())
    return float(scaled[token] - np.log(np.exp(scaled).sum()))


def nucleus(line: np.ndarray, temperature: float, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, most probable first, and their weights: logits (V,) -> ids and weights (N,)."""
    with np.errstate(over="ignore"):  # at a tiny temperature
        scaled = (line.astype(np.float64) - float(line.max())) / temperature
    weight = np.exp(scaled)
    order = np.argsort(-weight, kind="stable")
    if top_k:
        order = order[:top_k]
    if top_p < 1:
        cumulated = np.cumsum(weight[order])
        order = order[: int(np.searchsorted(cumulated, top_p * cumulated[-1])) + 1]
    return order, weight[order]
