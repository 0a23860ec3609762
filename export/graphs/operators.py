"""Operators that the graphs of several model families use; a row's result depends on no padding and no neighbour.

Shapes: B rows, S source length, T target length, D width, H heads, K key-value heads, d = D/H.
"""

from typing import Any

import torch
from torch import Tensor

FLOAT = 1  # TensorProto.FLOAT


def group_query_attention(
    query: Tensor, new: tuple[Tensor, Tensor] | None, past: tuple[Tensor, Tensor] | None, lengths: Tensor,
    total: Tensor, *, heads: int, kv_heads: int, causal: bool, scale: float | None = None, bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Call com.microsoft.GroupQueryAttention and return its output (B, T, D), present key and present value.

    Args:
        query: (B, T, D); or query, keys and values packed, (B, T, (H+2K)*d), if `new` is None.
        new: keys and values to append, each (B, T', K*d).
        past: the KV cache, each (B, K, capacity, d).
        lengths: (B,) int32, each row's total length minus one.
        total: () int32, the longest row's total length, or the capacity.
        scale: factor of the scores, by default 1 / sqrt(d).
        bias: (B, 1, T, total), added to the scores.
    """
    width = query.size(2) // (heads if new else heads + 2 * kv_heads)
    present = (query.size(0), kv_heads, query.size(1), width)
    output = (query.size(0), query.size(1), heads * width)
    shapes = [output, *([p.shape for p in past] if past else [present, present])]
    inputs = (query, *(new or (None, None)), *(past or (None, None)), lengths, total)
    if bias is not None:
        inputs = (*inputs, None, None, None, bias)  # None: rotary cosines and sines, and their positions
    attributes: dict[str, Any] = {"num_heads": heads, "kv_num_heads": kv_heads, "scale": scale or width**-0.5}
    if not causal:
        attributes["causal"] = 0
    attended, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention", inputs, attributes, dtypes=(FLOAT,) * 3, shapes=shapes, version=1
    )
    return attended, present_key, present_value


def mean_of_real_tokens(encoded: Tensor, source_length: Tensor) -> Tensor:
    """Return the mean over each row's real tokens, (B, S, D) -> (B, D).

    It is a running sum, read at the last real token: a sum or a product over the padded axis would add in an order that
    depends on the padding.
    """
    last = (source_length - 1).long()[:, None, None].expand(-1, 1, encoded.size(2))  # (B, 1, D)
    total = encoded.cumsum(dim=1).gather(1, last)[:, 0]  # (B, D)
    return total / source_length[:, None]
