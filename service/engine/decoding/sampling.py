"""Sampling: tokens drawn at random from the model's distribution, reproducibly by a seed."""

import numpy as np

from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.search import Candidates, Logits, SearchStep
from service.engine.types import EngineRequest, EngineResult


class SamplingGroup(GreedyGroup):
    """Sampling from the softmax at a temperature, within the top k and the top p (Holtzman et al. 2020).

    Each request draws one number per token from its own seed: Philox (Salmon et al. 2011), keyed by the seed, with the
    position as counter. Log-probabilities are the model's own, before temperature, top k and top p.
    """

    def __init__(self, eos: int, max_length: int) -> None:
        super().__init__(eos, max_length)
        self.log_probs = np.empty((0, max_length + 1), dtype=np.float64)  # of every token, if requested

    def join(self, requests: list[EngineRequest], rows: np.ndarray) -> None:
        super().join(requests, rows)
        self.log_probs = np.concatenate([self.log_probs, np.zeros((len(requests), self.log_probs.shape[1]))])

    def choose(self, logits: Logits, candidates: Candidates | None, token: np.ndarray) -> SearchStep:
        chosen = np.zeros(len(self.requests), np.int64)
        is_finite = np.ones(len(self.requests), bool)
        for i, (request, line) in enumerate(zip(self.requests, logits.lines(self.rows[:, 0]), strict=True)):  # (V,)
            is_finite[i] = bool(np.isfinite(line.max()))
            if is_finite[i]:
                chosen[i] = self._draw(line, request, int(self.length[i]))
                if request.options.log_probabilities:
                    self.log_probs[i, self.length[i]] = log_probability(line, int(chosen[i]))
        return self._append(chosen, is_finite, token)

    def _draw(self, line: np.ndarray, request: EngineRequest, position: int) -> int:
        options = request.options
        uniform = np.random.Generator(np.random.Philox(key=options.seed, counter=position)).random()
        order, weight = nucleus(line, options.temperature, options.top_k, options.top_p)
        cumulated = np.cumsum(weight)
        return int(order[min(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"), len(order) - 1)])

    def _result(self, i: int, reason: str) -> EngineResult:
        result, options = super()._result(i, reason), self.requests[i].options
        if options.log_probabilities:
            values = self.log_probs[i, : self.length[i] + (reason == "stop")].tolist()
            [hypothesis] = result.hypotheses
            hypothesis.score = sum(values) / len(values) ** options.length_penalty
            hypothesis.log_probabilities = values
        return result

    def keep(self, mask: np.ndarray) -> None:
        super().keep(mask)
        self.log_probs = self.log_probs[mask]


def log_probability(line: np.ndarray, token: int) -> float:
    """Return the log-probability of a token, given the logits (V,) of its row."""
    shifted = line.astype(np.float64) - float(line.max())
    return float(shifted[token] - np.log(np.exp(shifted).sum()))


def nucleus(line: np.ndarray, temperature: float, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the M tokens that may be drawn, most probable first, and their weights: logits (V,) -> (M,), (M,)."""
    with np.errstate(over="ignore"):  # with a tiny temperature
        scaled = (line.astype(np.float64) - float(line.max())) / temperature
    weight = np.exp(scaled)
    order = np.argsort(-weight, kind="stable")
    if top_k:
        order = order[:top_k]
    if top_p < 1:
        cumulated = np.cumsum(weight[order])
        order = order[: int(np.searchsorted(cumulated, top_p * cumulated[-1])) + 1]
    return order, weight[order]
