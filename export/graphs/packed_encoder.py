"""The Transformer encoder without padding: its linear maps and norms run on packed tokens, only attention on rows.

Shapes: B rows, S source length, N tokens of all rows, D width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from export.graphs.operators import group_query_attention
from export.graphs.spec import Axes, GraphSpec, source_inputs
from training.models.transformer import Encoder


@dataclass(frozen=True)
class PackedSource:
    """A source as a graph reads it, see service/engine/models/source.py.

    `pack_index` (N,) has the places of the tokens in the flat source (B, S), `unpack_index` (B, S) each place's token
    as a number below N. For padding it is a token of the same row, so a row's result depends on no other row.
    """

    source: Tensor
    source_length: Tensor
    pack_index: Tensor
    unpack_index: Tensor

    def remove_padding(self, x: Tensor) -> Tensor:
        """Pack the tokens: (B, S, D) -> (N, D)."""
        return nn.functional.embedding(self.pack_index, x.flatten(0, 1))

    def restore_padding(self, x: Tensor) -> Tensor:
        """Undo `remove_padding`: (N, D) -> (B, S, D)."""
        return nn.functional.embedding(self.unpack_index, x)

    def encode(self, encoder: Encoder) -> Tensor:
        """Return the encoded tokens (N, D): on a matrix, a linear map and its bias become one operator, Gemm."""
        total = torch.full((), self.source.size(1), dtype=torch.int32)

        def attend_self(query_key_value: Tensor) -> Tensor:
            attended = group_query_attention(
                self.restore_padding(query_key_value), None, None, self.source_length - 1, total,
                heads=encoder.heads, kv_heads=encoder.kv_heads, causal=False,
            )[0]  # fmt: skip
            return self.remove_padding(attended)

        x = self.remove_padding(encoder.embedding(self.source))  # (N, D)
        for layer in encoder.layers:
            x = layer(x, attend_self)
        encoded: Tensor = encoder.norm(x)
        return encoded


def packed_source_inputs(batch: int = 3, length: int = 5) -> dict[str, Tensor]:
    """Return example sources of different lengths, the longest of `length`."""
    lengths = torch.tensor([max(1, length - row) for row in range(batch)])  # (B,)
    position, end = torch.arange(length), lengths.cumsum(0)[:, None]  # (S,), (B, 1)
    return source_inputs(batch, length) | {
        "source_length": lengths.int(),
        "pack_index": (position < lengths[:, None]).flatten().nonzero()[:, 0],
        "unpack_index": end - lengths[:, None] + torch.minimum(position, lengths[:, None] - 1),
    }


def packed_source_axes(b: Any, s: Any) -> dict[str, Axes]:
    """Return the dynamic axes of the inputs of packed sources: `b` rows of length `s`."""
    return {
        "source": {0: b, 1: s},
        "source_length": {0: b},
        "pack_index": {0: torch.export.Dim("N")},
        "unpack_index": {0: b, 1: s},
    }


def packed_classifier_spec(module: nn.Module, max_source_length: int) -> dict[str, GraphSpec]:
    """Return the one graph of a classifier: a packed source -> probability (B, labels)."""
    axes = packed_source_axes(torch.export.Dim("B"), torch.export.Dim("S", max=max_source_length))
    return {"classify": GraphSpec(module, packed_source_inputs(), axes, ["probability"])}
