"""Batches and the plan of an epoch."""

import numpy as np
import pytest
import torch

from training.data.batching import Batch, Examples, Ragged, count_updates, iterate_updates, plan_epoch
from training.data.tokenizer import BOS, EOS, PAD

SIZES = np.random.default_rng(0).integers(1, 60, 500)


def examples(count: int) -> Examples:
    """Return examples; number i has the source [100 + i], which identifies it in a batch."""
    return Examples(Ragged([[100 + i] for i in range(count)]), Ragged([[7] * (1 + i % 5) for i in range(count)]))


def members(batches: list[Batch]) -> list[int]:
    return [i for batch in batches for i in batch.source[:, 0].tolist()]


def test_epoch_has_every_example_once_within_budget() -> None:
    plan = plan_epoch(SIZES, budget=400, seed=1, epoch=0)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(SIZES)))
    assert all(SIZES[indices].max() * len(indices) <= 400 for indices in plan)
    # Similar lengths together: at most a tenth is padding; with random lengths it would be half.
    assert sum(SIZES[indices].max() * len(indices) for indices in plan) < 1.1 * SIZES.sum()


def test_example_above_budget_gets_own_batch() -> None:
    plan = plan_epoch(np.array([3, 90, 3, 3]), budget=10, seed=1, epoch=0)
    assert [1] in [indices.tolist() for indices in plan]
    assert all(len(indices) * 3 <= 10 for indices in plan)


def test_epoch_depends_only_on_seed_and_number() -> None:
    def plan(seed: int, epoch: int) -> list[list[int]]:
        return [indices.tolist() for indices in plan_epoch(SIZES, 400, seed, epoch)]

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(1, 1)
    assert plan(1, 0) != plan(2, 0)
    # Not only the order of the batches changes, but also their members.
    assert {tuple(sorted(b)) for b in plan(1, 0)} != {tuple(sorted(b)) for b in plan(1, 1)}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_split_an_update(accumulate: int) -> None:
    corpus = examples(61)
    plan = plan_epoch(corpus.sizes(), 12, seed=3, epoch=0)
    alone = list(iterate_updates(corpus, plan, 2 * accumulate, rank=0, world_size=1))
    shares = [list(iterate_updates(corpus, plan, accumulate, rank, world_size=2)) for rank in (0, 1)]
    assert len(alone) == len(shares[0]) == len(shares[1]) == count_updates(plan, accumulate, 2)
    for together, one, other in zip(alone, *shares, strict=True):
        assert len(one) == len(other) == accumulate
        assert sorted(members(together)) == sorted(members(one) + members(other))
    seen = members([batch for update in alone for batch in update])
    assert len(seen) == len(set(seen))
    assert len(plan) - 2 * accumulate < len(alone) * 2 * accumulate <= len(plan)


def test_translation_batch_is_padded_and_shifted() -> None:
    batch = Examples(Ragged([[5, 6, EOS], [8, EOS]]), Ragged([[9], [10, 11]])).batch(np.array([1, 0]))
    assert batch.source.tolist() == [[8, EOS, PAD], [5, 6, EOS]]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.target is not None
    assert batch.target.tolist() == [[BOS, 10, 11], [BOS, 9, PAD]]
    assert batch.labels.tolist() == [[10, 11, EOS], [9, EOS, PAD]]
    assert batch.tokens == 5


def test_classification_batch_has_class_labels() -> None:
    batch = Examples(Ragged([[BOS, 6], [BOS]]), np.array([0, 3])).batch(np.array([0, 1]))
    assert torch.equal(batch.source, torch.tensor([[BOS, 6], [BOS, PAD]]))
    assert batch.target is None
    assert batch.labels.tolist() == [0, 3]
    assert batch.tokens == 2
