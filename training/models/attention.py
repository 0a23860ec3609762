"""Attention from the formula up (Vaswani et al. 2017, "Attention Is All You Need", section 3.2).

Shapes: B rows, S source length, T target length, D model width, H heads, K key-value heads (K divides H), d = D/H.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# How a layer's queries meet its keys and values is decided by the caller: over a whole masked sequence (training),
# over a growing cache (step), or inside one fused ONNX operator (export). The layers themselves never change.
SelfAttend = Callable[[Tensor], Tensor]  # query, key and value side by side (B, T, (H+2K)*d) -> (B, T, D)
CrossAttend = Callable[[Tensor], Tensor]  # query (B, T, D) -> (B, T, D)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Give each head its own rows: (B, T, heads*d) -> (B, heads, T, d)."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)  # (B, heads, T, d)


def unpack(packed: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """A packed projection (B, T, (H+2K)*d) -> query (B, H, T, d), key and value (B, K, T, d)."""
    split = split_heads(packed, heads + 2 * kv_heads)  # (B, H+2K, T, d)
    query, key, value = split.split([heads, kv_heads, kv_heads], dim=1)
    return query, key, value


def merge_heads(x: Tensor) -> Tensor:
    """Undo `split_heads`: (B, heads, T, d) -> (B, T, heads*d)."""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)  # (B, T, heads*d)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(d)): query (B, H, T, d), key (B, K, S, d) -> weights (B, H, T, S).

    `mask` is boolean, True where a query may look, and broadcasts to (B, H, T, S). With fewer key-value heads than
    query heads, each key head serves H/K neighbouring query heads (Ainslie et al. 2023, grouped-query attention).
    """
    if key.size(1) != query.size(1):
        key = key.repeat_interleave(query.size(1) // key.size(1), dim=1)  # (B, H, S, d)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of query (B, H, T, d) over key and value (B, K, S, d) -> merged heads (B, T, D)."""
    weights = attention_weights(query, key, mask)  # (B, H, T, S)
    return merge_heads(apply_weights(weights, value))  # (B, T, D)


def apply_weights(weights: Tensor, value: Tensor) -> Tensor:
    """Weighted sum of the values: weights (B, H, T, S), value (B, K, S, d) -> (B, H, T, d)."""
    if value.size(1) != weights.size(1):
        value = value.repeat_interleave(weights.size(1) // value.size(1), dim=1)  # (B, H, S, d)
    return weights @ value  # (B, H, T, d)


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """True on real tokens: lengths (B,) -> (B, 1, 1, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None, :]


def look_ahead_mask(size: int, device: torch.device) -> Tensor:
    """True where a position may look, itself and everything before it: (1, 1, size, size)."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()[None, None]


class SelfAttention(nn.Module):
    """Queries, keys and values from the same sequence, in one packed projection."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(width, width + 2 * kv_heads * width // heads)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, attend: SelfAttend) -> Tensor:
        return self.output(attend(self.query_key_value(x)))


class CrossAttention(nn.Module):
    """Queries from the target, keys and values from the encoded source, which are computed once a sentence."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.kv_heads = kv_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * kv_heads * width // heads)
        self.output = nn.Linear(width, width)

    def memory(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded source (B, S, D) -> keys and values, each (B, K, S, d)."""
        key, value = self.key_value(encoded).chunk(2, dim=-1)
        return split_heads(key, self.kv_heads), split_heads(value, self.kv_heads)

    def forward(self, x: Tensor, attend: CrossAttend) -> Tensor:
        return self.output(attend(self.query(x)))
