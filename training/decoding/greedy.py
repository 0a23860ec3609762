"""Greedy decoding in plain torch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.batching import Ragged
from training.data.tokenizer import BOS, EOS
from training.models.transformer import State


def default_target_length(source_tokens: int, limit: int) -> int:
    """Return the default limit of target tokens for a source; the service has the same rule."""
    return min(limit, 2 * source_tokens + 16)


def batches_by_length(lengths: np.ndarray, budget: int = 8192) -> Iterator[np.ndarray]:
    """Yield indices in batches of similar length, with longest x count at most `budget` tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


@torch.inference_mode()
def greedy(model: Any, sources: list[list[int]], device: torch.device) -> list[list[int]]:
    """Decode sources (ids with special tokens) greedily and return target ids without special tokens.

    The model needs the interface described in training/models/transformer.py.
    """
    ragged = Ragged(sources)
    outputs: list[list[int]] = [[] for _ in sources]
    for indices in batches_by_length(ragged.lengths):
        source, lengths = (x.to(device) for x in ragged.padded(indices))
        limits = [default_target_length(len(sources[i]), model.config.max_target_length) for i in indices]
        _greedy_batch(model.step, model.encode(source, lengths), list(indices), limits, outputs)
    return outputs


def _greedy_batch(
    step: Callable[[Tensor, State], tuple[Tensor, State]],
    state: State,
    rows: list[int],
    limits: list[int],
    outputs: list[list[int]],
) -> None:
    """Step until every row is finished, dropping finished rows from the state; append the ids to `outputs[row]`."""
    limit_of = dict(zip(rows, limits, strict=True))
    token = torch.full((len(rows),), BOS, device=state["source_lengths"].device)
    while rows:
        logits, state = step(token, state)  # (B, V)
        token = logits.argmax(-1)  # (B,)
        chosen = token.tolist()
        for row, choice in zip(rows, chosen, strict=True):
            if choice != EOS:
                outputs[row].append(choice)
        live = [i for i, row in enumerate(rows) if chosen[i] != EOS and len(outputs[row]) < limit_of[row]]
        if len(live) < len(rows):
            keep = torch.tensor(live, dtype=torch.long, device=token.device)
            token, state = token[keep], {name: tensor[keep] for name, tensor in state.items()}
            rows = [rows[i] for i in live]
