"""Beam search in plain torch, for every translator with the interface of training/models/transformer.py.

This is the reference that other implementations are compared with; it favours clarity and fixes every tie.

The algorithm for one source, with k = beam size and p = length penalty:
1. The score of a hypothesis is the sum of its tokens' log-probabilities divided by length**p, where length counts the
   generated tokens, <eos> included (Wu et al. 2016, section 7, simplified). With p = 0 the score is the sum.
2. A step extends every running hypothesis (at first the empty one, later at most k) by every token and sorts these
   candidates by their sum of log-probabilities, highest first. Ties: the lower token id first, then the parent that
   comes first in this order.
3. A candidate among the first k that ends with <eos> is finished. The first k of the first 2k candidates that do not
   end with <eos> continue; there are always k of them, because each running hypothesis has one candidate with <eos>.
4. The k finished hypotheses with the highest scores are kept. Ties: the one that finished first.
5. The search stops when k hypotheses are finished and the lowest of their scores is at least the current score of the
   best running hypothesis: its sum divided by its current length**p. (A bound by the greatest length took half as many
   steps again and found nothing better on Multi30k.) With early stopping, k finished hypotheses are enough. With k = 1
   it stops at the first <eos> for every p, so that it equals greedy decoding.
6. At `limit` generated tokens it stops in any case. If fewer than k are finished, running hypotheses are truncated and
   follow the finished ones in the order of their scores: no truncated hypothesis precedes a finished one.

Sums are kept in float64. Shapes: B rows (the running hypotheses of all sources of a batch), V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.batching import Ragged
from training.data.tokenizer import BOS, EOS
from training.decoding.greedy import batches_by_length, default_target_length
from training.models.transformer import State

Step = Callable[[Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class BeamOptions:
    """The beam size, and how hypotheses are scored; a length penalty of 1 scores by the mean log-probability."""

    size: int = 5
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or self.length_penalty < 0:
            raise ValueError(
                f"beam size is {self.size}; it must be at least 1; length penalty is {self.length_penalty}; it must be "
                "at least 0"
            )

    def score(self, total: float, length: int) -> float:
        return float(total / length**self.length_penalty)


@dataclass(frozen=True)
class BeamHypothesis:
    """Target ids without special tokens, the score, and whether it ended with <eos> or was truncated at the limit."""

    ids: list[int]
    score: float
    finished: bool


@dataclass
class _SourceSearch:
    """The search for one source: its running and its finished hypotheses, both best first."""

    limit: int
    running: list[tuple[list[int], float]] = field(default_factory=lambda: [([], 0.0)])  # ids and sum
    finished: list[BeamHypothesis] = field(default_factory=list)

    def advance(self, candidates: list[tuple[int, int, float]], beam: BeamOptions) -> list[int]:
        """Apply a step's sorted candidates (parent, token, sum); return the parents of the hypotheses that continue."""
        length = len(self.running[0][0]) + 1
        continuing: list[tuple[int, int, float]] = []
        for rank, (parent, token, total) in enumerate(candidates[: 2 * beam.size]):
            if token != EOS:
                continuing.append((parent, token, total))
            elif rank < beam.size:
                self.finished.append(BeamHypothesis(self.running[parent][0], beam.score(total, length), finished=True))
        continuing = continuing[: beam.size]
        self.finished = sorted(self.finished, key=lambda h: -h.score)[: beam.size]  # stable
        self.running = [([*self.running[parent][0], token], total) for parent, token, total in continuing]
        if self._is_complete(beam, length):
            self.running = []
        elif length == self.limit:
            truncated = [BeamHypothesis(ids, beam.score(total, length), finished=False) for ids, total in self.running]
            self.finished, self.running = [*self.finished, *truncated][: beam.size], []
        return [parent for parent, _, _ in continuing] if self.running else []

    def _is_complete(self, beam: BeamOptions, length: int) -> bool:
        if len(self.finished) < beam.size:
            return False
        best_running = beam.score(self.running[0][1], length)
        return beam.early_stopping or beam.size == 1 or self.finished[-1].score >= best_running


@torch.inference_mode()
def beam_search(
    model: Any, sources: list[list[int]], device: torch.device, beam: BeamOptions
) -> list[list[BeamHypothesis]]:
    """Return for each source (ids with special tokens) at most `beam.size` hypotheses, best first."""
    ragged = Ragged(sources)
    results: list[list[BeamHypothesis]] = [[] for _ in sources]
    for indices in batches_by_length(ragged.lengths, budget=max(1, 8192 // beam.size)):
        source, lengths = (x.to(device) for x in ragged.padded(indices))
        limits = [default_target_length(len(sources[i]), model.config.max_target_length) for i in indices]
        found = search_batch(model.step, model.encode(source, lengths), limits, beam)
        for index, hypotheses in zip(indices, found, strict=True):
            results[index] = hypotheses
    return results


def search_batch(step: Step, state: State, limits: list[int], beam: BeamOptions) -> list[list[BeamHypothesis]]:
    """Search from the state before the first step, one row per source, with at most `limits` generated tokens each."""
    device = state["source_lengths"].device
    searches = [_SourceSearch(limit) for limit in limits]
    live = list(searches)
    token = torch.full((len(live),), BOS, device=device)
    while live:
        logits, state = step(token, state)  # (B, V)
        first = np.cumsum([0, *(len(search.running) for search in live)])  # each search's first row
        rows: list[int] = []
        for start, search, candidates in zip(first, live, _candidates(logits, live, beam), strict=False):
            rows += [int(start) + parent for parent in search.advance(candidates, beam)]
        live = [search for search in live if search.running]
        chosen = [ids[-1] for search in live for ids, _ in search.running]
        keep, token = torch.tensor([rows, chosen], dtype=torch.long, device=device)
        state = {name: tensor[keep] for name, tensor in state.items()}
    return [search.finished for search in searches]


def _candidates(logits: Tensor, live: list[_SourceSearch], beam: BeamOptions) -> list[list[tuple[int, int, float]]]:
    """Return for each search at least its first 2k candidates (parent, token, sum), in the order of rule 2."""
    log_probability = logits.double().log_softmax(-1)  # (B, V)
    # A candidate outside its row's first 2k is outside its search's; ties with the last of them are included.
    least = log_probability.topk(min(2 * beam.size, logits.size(1))).values[:, -1:]  # (B, 1)
    row, token = (x.cpu().numpy() for x in (log_probability >= least).nonzero(as_tuple=True))
    increment = log_probability[log_probability >= least].cpu().numpy()
    owner = np.repeat(np.arange(len(live)), [len(search.running) for search in live])
    parent = np.concatenate([np.arange(len(search.running)) for search in live])
    total = np.array([total for search in live for _, total in search.running])[row] + increment
    found: list[list[tuple[int, int, float]]] = [[] for _ in live]
    for i in np.lexsort((parent[row], token, -total)):
        found[owner[row[i]]].append((int(parent[row[i]]), int(token[i]), float(total[i])))
    return found
