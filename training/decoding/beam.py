"""Beam search in plain torch, for any translator with the surface of training/models/transformer.py.

This is the reference that other searches are compared with: written to be read, and exact about its rule.

The rule, for one source, with k = beam size and p = length penalty:
1. The score of a hypothesis is the sum of its tokens' log-probabilities divided by length**p, where length counts the
   generated tokens, the end mark included (Wu et al. 2016, section 7, simplified). p = 0 leaves the sum.
2. A step extends every running hypothesis (first: the empty one; later: at most k) by every token and orders these
   candidates by sum of log-probabilities, highest first; of equals the lower token id comes first, then the one whose
   parent comes first in this order.
3. A candidate that is among the first k and takes the end mark has ended. The first k of the first 2k candidates that
   do not take the end mark run on; 2k always hold so many, for each running hypothesis ends in one way only.
4. Of the ended hypotheses the k with the highest scores are kept; of equals the one that ended first.
5. The search stops when k hypotheses have ended and the lowest of their scores is at least that of the best running
   hypothesis as it is: its sum divided by its present length**p. (To bound by the greatest length instead would cost
   half as many steps again and found nothing better on Multi30k.) With early stopping, k ended hypotheses are enough.
   With k = 1 it stops at the first end mark whatever p is, so that it is greedy decoding.
6. At `limit` generated tokens it stops in any case. Where fewer than k have ended, running hypotheses are cut as they
   are and follow the ended ones, in the order of their scores: a cut answer is never preferred to a whole one.

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
    """How to search: `size` hypotheses, scored by their mean log-probability with a length penalty of 1."""

    size: int = 5
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or self.length_penalty < 0:
            raise ValueError(
                f"beam size is {self.size}, at least 1; length penalty is {self.length_penalty}, at least 0"
            )

    def score(self, total: float, length: int) -> float:
        return total / length**self.length_penalty


@dataclass(frozen=True)
class BeamHypothesis:
    """Target ids without marks, the score, and whether it took the end mark or was cut at the limit."""

    ids: list[int]
    score: float
    ended: bool


@dataclass
class _Search:
    """The search of one source: its running hypotheses, best first, and those that have ended, best first."""

    limit: int
    running: list[tuple[list[int], float]] = field(default_factory=lambda: [([], 0.0)])  # ids and sum
    ended: list[BeamHypothesis] = field(default_factory=list)

    def advance(self, candidates: list[tuple[int, int, float]], beam: BeamOptions) -> list[int]:
        """Take the ordered candidates (parent, token, sum); return the parents of what runs on, none at the end."""
        length = len(self.running[0][0]) + 1
        going: list[tuple[int, int, float]] = []
        for rank, (parent, token, total) in enumerate(candidates[: 2 * beam.size]):
            if token != EOS:
                going.append((parent, token, total))
            elif rank < beam.size:
                self.ended.append(BeamHypothesis(self.running[parent][0], beam.score(total, length), ended=True))
        going = going[: beam.size]
        self.ended = sorted(self.ended, key=lambda h: -h.score)[: beam.size]  # a stable sort: the earlier of equals
        self.running = [([*self.running[parent][0], token], total) for parent, token, total in going]
        if self._decided(beam, length):
            self.running = []
        elif length == self.limit:
            cut = [BeamHypothesis(ids, beam.score(total, length), ended=False) for ids, total in self.running]
            self.ended, self.running = [*self.ended, *cut][: beam.size], []
        return [parent for parent, _, _ in going] if self.running else []

    def _decided(self, beam: BeamOptions, length: int) -> bool:
        if len(self.ended) < beam.size:
            return False
        best_running = beam.score(self.running[0][1], length)
        return beam.early_stopping or beam.size == 1 or self.ended[-1].score >= best_running


@torch.inference_mode()
def beam_search(
    model: Any, sources: list[list[int]], device: torch.device, beam: BeamOptions
) -> list[list[BeamHypothesis]]:
    """For each source with marks its best hypotheses, best first, at most `beam.size`."""
    ragged = Ragged(sources)
    answers: list[list[BeamHypothesis]] = [[] for _ in sources]
    for indices in batches_by_length(ragged.lengths, budget=max(1, 8192 // beam.size)):
        source, lengths = (x.to(device) for x in ragged.padded(indices))
        limits = [default_target_length(len(sources[i]), model.config.max_target_length) for i in indices]
        found = search_batch(model.step, model.encode(source, lengths), limits, beam)
        for index, hypotheses in zip(indices, found, strict=True):
            answers[index] = hypotheses
    return answers


def search_batch(step: Step, state: State, limits: list[int], beam: BeamOptions) -> list[list[BeamHypothesis]]:
    """Search from the state before the first step, one row a source, with at most `limits` generated tokens each."""
    device = state["source_lengths"].device
    searches = [_Search(limit) for limit in limits]
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
    return [search.ended for search in searches]


def _candidates(logits: Tensor, live: list[_Search], beam: BeamOptions) -> list[list[tuple[int, int, float]]]:
    """For each search its candidates (parent, token, sum) in the order of rule 2, the first 2k surely among them."""
    log_probability = logits.double().log_softmax(-1)  # (B, V)
    # What is not among its row's first 2k is not among its search's; all that equal the last of these stay in.
    least = log_probability.topk(min(2 * beam.size, logits.size(1))).values[:, -1:]  # (B, 1)
    row, token = (x.cpu().numpy() for x in (log_probability >= least).nonzero(as_tuple=True))
    gain = log_probability[log_probability >= least].cpu().numpy()
    owner = np.repeat(np.arange(len(live)), [len(search.running) for search in live])
    parent = np.concatenate([np.arange(len(search.running)) for search in live])
    total = np.array([total for search in live for _, total in search.running])[row] + gain
    found: list[list[tuple[int, int, float]]] = [[] for _ in live]
    for i in np.lexsort((parent[row], token, -total)):
        found[owner[row[i]]].append((int(parent[row[i]]), int(token[i]), float(total[i])))
    return found
