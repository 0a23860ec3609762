"""A trained model as ONNX graphs with flat, named tensors (see service/artifact.py for the names).

The layers are the trained ones; only the attention between queries and keys becomes one fused operator,
com.microsoft.GroupQueryAttention. It appends to a KV cache in place when past and present share a buffer, takes a
length per row, and a row's result does not depend on padding or on its neighbours, bit for bit.

Shapes: B rows, S source length, T target length, D width, H heads, K key-value heads, d = D/H, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from training.models.attention import (
    CrossAttend,
    SelfAttend,
    apply_weights,
    attention_weights,
    merge_heads,
    padding_mask,
    split_heads,
)
from training.models.classifier import Classifier
from training.models.transformer import Encoder, State, Transformer

FLOAT = 1  # TensorProto.FLOAT
Axes = dict[int, Any]


@dataclass
class GraphSource:
    """A module to export: its example inputs by name, its symbolic axes and its output names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, Axes]
    outputs: list[str]
    kinds: dict[str, str] = field(default_factory=dict)  # state input -> growing | constant


def group_query_attention(
    query: Tensor, key: Tensor, value: Tensor, past: tuple[Tensor, Tensor] | None, lengths: Tensor, total: Tensor,
    *, heads: int, kv_heads: int, causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """One operator: query (B, T, D), key and value (B, T, K*d), past (B, K, capacity, d) each -> output and present.

    `lengths` (B,) int32 is each row's total length minus one; `total` () int32 the longest row's.
    """
    present = (query.size(0), kv_heads, key.size(1), query.size(2) // heads)
    shapes = [query.shape, *([p.shape for p in past] if past else [present, present])]
    inputs = (query, key, value, *(past or (None, None)), lengths, total)
    attributes: dict[str, Any] = {
        "num_heads": heads,
        "kv_num_heads": kv_heads,
        "scale": (query.size(2) // heads) ** -0.5,
    }
    if not causal:
        attributes["causal"] = 0
    output, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention", inputs, attributes, dtypes=(FLOAT,) * 3, shapes=shapes, version=1
    )
    return output, present_key, present_value


def encoder_attention(encoder: Encoder, source: Tensor, source_length: Tensor) -> SelfAttend:
    """Every token attends to its row's real tokens."""
    total = torch.full((), source.size(1), dtype=torch.int32)

    def attend_self(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return group_query_attention(
            query, key, value, None, source_length - 1, total,
            heads=encoder.heads, kv_heads=encoder.kv_heads, causal=False,
        )[0]  # fmt: skip

    return attend_self


class Encode(nn.Module):
    """source (B, S), source_length (B,) -> cross-attention keys and values of every layer (B, K, S, d)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoder = self.model.encoder
        encoded = encoder.encode(source, encoder_attention(encoder, source, source_length))  # (B, S, D)
        return [tensor for layer in self.model.layers for tensor in layer.cross_attention.memory(encoded)]  # type: ignore[union-attr,operator]


class Step(nn.Module):
    """token (B,), position (B,), source_length (B,), caches -> logits (B, V), caches one token longer, in place."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: Tensor, position: Tensor, source_length: Tensor, *caches: Tensor) -> list[Tensor]:
        model = self.model
        embedding = model.embedding
        row = nn.functional.embedding(position, embedding.position)  # (B, D)
        x = embedding.at(token[:, None], row[:, None])  # (B, 1, D)
        presents: list[Tensor] = []
        for layer, i in zip(model.layers, range(0, len(caches), 4), strict=True):
            attend_self = self._attend_target(caches[i : i + 2], position, presents)
            attend_cross = self._attend_source(caches[i + 2 : i + 4], source_length, presents)
            x = layer(x, attend_self, attend_cross)
        return [model.output(model.norm(x[:, 0])), *presents]

    def _attend_target(self, past: tuple[Tensor, ...], position: Tensor, presents: list[Tensor]) -> SelfAttend:
        total = (position.max() + 1).to(torch.int32)

        def attend_self(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            output, *present = group_query_attention(
                query, key, value, (past[0], past[1]), position, total,
                heads=self.model.heads, kv_heads=self.model.kv_heads, causal=True,
            )  # fmt: skip
            presents.extend(present)
            return output

        return attend_self

    def _attend_source(self, past: tuple[Tensor, ...], source_length: Tensor, presents: list[Tensor]) -> CrossAttend:
        total = source_length.max().to(torch.int32)

        def attend_cross(query: Tensor) -> Tensor:
            # No new keys: the whole memory is "past", and present is the same buffer.
            nothing = query[:, :0, : past[0].size(1) * past[0].size(3)]  # (B, 0, K*d)
            output, *present = group_query_attention(
                query, nothing, nothing, (past[0], past[1]), source_length - 1, total,
                heads=self.model.heads, kv_heads=self.model.kv_heads, causal=False,
            )  # fmt: skip
            presents.extend(present)
            return output

        return attend_cross


class Score(nn.Module):
    """Teacher forcing: the log-probability of every label token and where each layer looked, mean over heads."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor, target: Tensor, label: Tensor) -> list[Tensor]:
        model = self.model
        maps: list[Tensor] = []
        state = model.encode(source, source_length)
        features = model.decode(target, state, self._recording(maps))  # (B, T, D)
        logits = model.output(features.flatten(0, 1))  # (B*T, V)
        chosen = logits.log_softmax(-1).gather(-1, label.flatten()[:, None])  # (B*T, 1)
        return [chosen.view(label.shape), torch.stack(maps, dim=1)]  # (B, T), (B, L, T, S)

    def _recording(self, maps: list[Tensor]) -> Callable[[State, int], CrossAttend]:
        def attend_source(state: State, layer: int) -> CrossAttend:
            key, value = state[f"cross_key_{layer}"], state[f"cross_value_{layer}"]
            mask = padding_mask(state["source_lengths"], key.size(2))

            def attend_cross(query: Tensor) -> Tensor:
                weights = attention_weights(split_heads(query, self.model.heads), key, mask)  # (B, H, T, S)
                maps.append(weights.mean(dim=1))  # (B, T, S)
                return merge_heads(apply_weights(weights, value))

            return attend_cross

        return attend_source


class Classify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoder = self.model.encoder
        encoded = encoder.encode(source, encoder_attention(encoder, source, source_length))  # (B, S, D)
        return [self.model.output(self._pool(encoded, source_length)).softmax(-1)]

    def _pool(self, encoded: Tensor, source_length: Tensor) -> Tensor:
        """The mean as a running sum read at the last real token: no padding behind it can change a bit of it.

        A sum or a product over the padded axis adds in an order that depends on the padding.
        """
        if self.model.config.pooling == "first":
            return encoded[:, 0]
        last = (source_length - 1).long()[:, None, None].expand(-1, 1, encoded.size(2))  # (B, 1, D)
        total = encoded.cumsum(dim=1).gather(1, last)[:, 0]  # (B, D)
        return total / source_length[:, None]


def _source_inputs(batch: int = 3, length: int = 5) -> dict[str, Tensor]:
    return {
        "source": torch.ones(batch, length, dtype=torch.int64),
        "source_length": torch.full((batch,), length, dtype=torch.int32),
    }


def translator_graphs(model: Transformer) -> dict[str, GraphSource]:
    """The graphs of a translator."""
    batch, source, capacity = 3, 5, 7
    b = torch.export.Dim("B")
    s = torch.export.Dim("S", max=model.config.max_source_length)
    t = torch.export.Dim("T", max=model.config.max_target_length)
    source_axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    config = model.config
    width = config.width // config.heads

    kinds: dict[str, str] = {}
    for i in range(len(model.layers)):
        kinds |= {f"self_key_{i}": "growing", f"self_value_{i}": "growing"}
        kinds |= {f"cross_key_{i}": "constant", f"cross_value_{i}": "constant"}
    sizes = {"growing": capacity, "constant": source}
    caches = {name: torch.zeros(batch, config.kv_heads, sizes[kind], width) for name, kind in kinds.items()}
    cache_axes = {name: {0: b, 2: t if kind == "growing" else s} for name, kind in kinds.items()}
    rows = {
        "token": torch.ones(batch, dtype=torch.int64),
        "position": torch.ones(batch, dtype=torch.int32),
        "source_length": torch.full((batch,), source, dtype=torch.int32),
    }
    pair = {"target": torch.ones(batch, capacity, dtype=torch.int64)} | {
        "label": torch.ones(batch, capacity, dtype=torch.int64)
    }
    constants = [name for name, kind in kinds.items() if kind == "constant"]
    return {
        "encode": GraphSource(Encode(model), _source_inputs(batch, source), source_axes, constants),
        "step": GraphSource(
            Step(model),
            rows | caches,
            {name: {0: b} for name in rows} | cache_axes,
            ["logits", *(f"{name}_out" for name in kinds)],
            kinds,
        ),
        "score": GraphSource(
            Score(model),
            _source_inputs(batch, source) | pair,
            source_axes | {name: {0: b, 1: t} for name in pair},
            ["log_probability", "cross_attention"],
        ),
    }


def classifier_graphs(model: Classifier) -> dict[str, GraphSource]:
    """The graph of a classifier."""
    b, s = torch.export.Dim("B"), torch.export.Dim("S", max=model.config.max_source_length)
    axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    return {"classify": GraphSource(Classify(model), _source_inputs(), axes, ["probability"])}
