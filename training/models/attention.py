"""Attention from the formula up (Vaswani et al. 2017, "Attention Is All You Need", section 3.2).

Shapes: B rows, S source length, T target length, D model width, H heads, K key-value heads (K divides H), d = D/H.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# The caller decides how queries attend to keys and values: over a whole masked sequence (training), over a growing
# KV cache (step), or in one fused ONNX operator (export). The layers are the same in all cases.
SelfAttend = Callable[[Tensor], Tensor]  # packed query, key and value (B, T, (H+2K)*d) -> (B, T, D)
CrossAttend = Callable[[Tensor], Tensor]  # query (B, T, D) -> (B, T, D)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split the width into heads: (B, T, heads*d) -> (B, heads, T, d)."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)  # (B, heads, T, d)


def unpack(packed: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split a packed projection (B, T, (H+2K)*d) into query (B, H, T, d), key and value (B, K, T, d)."""
    split = split_heads(packed, heads + 2 * kv_heads)  # (B, H+2K, T, d)
    query, key, value = torch.split(split, [heads, kv_heads, kv_heads], dim=1)
    return query, key, value


def merge_heads(x: Tensor) -> Tensor:
    """Undo `split_heads`: (B, heads, T, d) -> (B, T, heads*d)."""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)  # (B, T, heads*d)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(Q K^T / sqrt(d)): query (B, H, T, d), key (B, K, S, d) -> weights (B, H, T, S).

    `mask` is boolean, True where a query may attend, and broadcasts to (B, H, T, S). With fewer key-value heads than
    query heads, each key head serves H/K neighbouring query heads (grouped-query attention, Ainslie et al. 2023).
    """
    if key.size(1) != query.size(1):
        key = key.repeat_interleave(query.size(1) // key.size(1), dim=1)  # (B, H, S, d)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention: query (B, H, T, d), key and value (B, K, S, d) -> merged heads (B, T, D)."""
    weights = attention_weights(query, key, mask)  # (B, H, T, S)
    return merge_heads(apply_weights(weights, value))  # (B, T, D)


def apply_weights(weights: Tensor, value: Tensor) -> Tensor:
    """Return the weighted sums of the values: weights (B, H, T, S), value (B, K, S, d) -> (B, H, T, d)."""
    if value.size(1) != weights.size(1):
        value = value.repeat_interleave(weights.size(1) // value.size(1), dim=1)  # (B, H, S, d)
    return weights @ value  # (B, H, T, d)


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask that is False on padding: lengths (B,) -> (B, 1, 1, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None, :]  # (B, 1, 1, size)


def causal_mask(size: int, device: torch.device) -> Tensor:
    """Return a mask that is True for each position and those before it: (1, 1, size, size)."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()[None, None]  # (1, 1, size, size)


class SelfAttention(nn.Module):
    """Attention within one sequence; queries, keys and values come from one packed projection."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(width, width + 2 * kv_heads * width // heads)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, attend: SelfAttend) -> Tensor:
        return self.output(attend(self.query_key_value(x)))  # (B, T, D)


class CrossAttention(nn.Module):
    """Attention from the target to the encoded source, whose keys and values are computed once per sentence."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.kv_heads = kv_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * kv_heads * width // heads)
        self.output = nn.Linear(width, width)

    def memory(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded source (B, S, D) -> keys and values, each (B, K, S, d)."""
        key, value = self.key_value(encoded).chunk(2, dim=-1)  # each (B, S, K*d)
        return split_heads(key, self.kv_heads), split_heads(value, self.kv_heads)  # each (B, K, S, d)

    def forward(self, x: Tensor, attend: CrossAttend) -> Tensor:
        return self.output(attend(self.query(x)))  # (B, T, D)
