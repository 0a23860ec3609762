"""Batches of examples of similar length, under a budget of padded tokens, in an order that seed and epoch decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from training.data.tokenizer import BOS, EOS, PAD


class Ragged:
    """Many short integer lists in flat arrays, which take a tenth of the memory of lists of lists."""

    def __init__(self, lists: Sequence[Sequence[int]]) -> None:
        self.lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        self.ends = self.lengths.cumsum()
        self.flat = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(self.lengths.sum()))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.flat[self.ends[index] - self.lengths[index] : self.ends[index]]

    def padded(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return lists as a right-padded matrix (B, S) with their lengths (B,)."""
        lengths = self.lengths[indices]
        matrix = np.full((len(indices), lengths.max()), PAD, dtype=np.int64)
        for row, index in enumerate(indices):
            matrix[row, : lengths[row]] = self[index]
        return torch.from_numpy(matrix), torch.from_numpy(lengths)


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    For translation `target` (B, T) is the input of the decoder, shifted right by one, and `labels` (B, T) its expected
    output. For classification `target` is None and `labels` (B,) are class indices; or, if a text can have several
    labels, (B, L) tells which it has.
    """

    source: Tensor  # (B, S)
    lengths: Tensor  # (B,)
    labels: Tensor
    target: Tensor | None = None  # (B, T)

    @property
    def tokens(self) -> int:
        """The number of predictions in the loss."""
        return int((self.labels != PAD).sum()) if self.target is not None else len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        source, lengths, labels = (x.to(device, non_blocking=True) for x in (self.source, self.lengths, self.labels))
        target = None if self.target is None else self.target.to(device, non_blocking=True)
        return Batch(source, lengths, labels, target)


@dataclass(frozen=True)
class Examples:
    """A tokenized corpus: sources, and targets (ids without special tokens) or labels, see `Batch.labels`."""

    sources: Ragged
    targets: Ragged | np.ndarray

    def __len__(self) -> int:
        return len(self.sources)

    def batch(self, indices: np.ndarray) -> Batch:
        """Return the examples as one padded batch."""
        source, lengths = self.sources.padded(indices)
        if not isinstance(self.targets, Ragged):
            return Batch(source, lengths, torch.from_numpy(self.targets[indices]))
        ids, target_lengths = self.targets.padded(indices)
        labels = torch.nn.functional.pad(ids, (0, 1), value=PAD)  # (B, T+1)
        labels[torch.arange(len(indices)), target_lengths] = EOS
        target = torch.nn.functional.pad(ids, (1, 0), value=BOS)  # (B, T+1)
        return Batch(source, lengths, labels, target)

    def sizes(self) -> np.ndarray:
        """Return the length of each example's longer side, special tokens included."""
        if isinstance(self.targets, Ragged):
            return np.maximum(self.sources.lengths, self.targets.lengths + 1)
        return self.sources.lengths


def plan_epoch(sizes: np.ndarray, budget: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return shuffled batches of example indices of similar length, with longest x count at most `budget`.

    Examples are sorted by length plus noise of about one token, so that equal lengths mix differently in every epoch;
    then the batches are shuffled. The plan depends only on the arguments.
    """
    generator = np.random.default_rng([seed, epoch])
    order = np.argsort(sizes + generator.uniform(-1, 1, len(sizes)), kind="stable")
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    for position, index in enumerate(order):
        longest = max(longest, int(sizes[index]))
        if position > start and longest * (position - start + 1) > budget:
            batches.append(order[start:position])
            start, longest = position, int(sizes[index])
    batches.append(order[start:])
    return [batches[i] for i in generator.permutation(len(batches))]


def iterate_updates(
    examples: Examples, plan: list[np.ndarray], accumulate: int, rank: int, world_size: int
) -> Iterator[list[Batch]]:
    """Yield the micro-batches of each update for one of `world_size` processes; drop an incomplete last group.

    An update of two processes with `accumulate` 1 has the same batches as one of a single process with `accumulate` 2.
    """
    group = accumulate * world_size
    for start in range(0, len(plan) - group + 1, group):
        yield [examples.batch(indices) for indices in plan[start + rank : start + group : world_size]]


def count_updates(plan: list[np.ndarray], accumulate: int, world_size: int) -> int:
    """Return the number of updates of an epoch."""
    return len(plan) // (accumulate * world_size)
