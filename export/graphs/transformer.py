"""A trained model as ONNX graphs with flat, named tensors (see service/artifact.py for the names).

The layers are the trained ones; only the attention between queries and keys becomes one fused operator,
com.microsoft.GroupQueryAttention. It appends to a KV cache in place when past and present share a buffer, takes a
length per row, and a row's result does not depend on padding or on its neighbours, bit for bit.

Shapes: B rows, S source length, T target length, D width, H heads, K key-value heads, d = D/H, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from export.quantization.weights import WeightSlice
from training.models.attention import (
    CrossAttend,
    CrossAttention,
    SelfAttend,
    apply_weights,
    attend,
    attention_weights,
    look_ahead_mask,
    merge_heads,
    padding_mask,
    split_heads,
    unpack,
)
from training.models.classifier import Classifier
from training.models.transformer import Encoder, Transformer

FLOAT = 1  # TensorProto.FLOAT
Axes = dict[int, Any]


@dataclass
class GraphSource:
    """A module to export: its example inputs by name, its symbolic axes and its output names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, Axes]
    outputs: list[str]
    kinds: dict[str, str] = field(default_factory=dict)  # state input -> growing | constant | replaced
    body: "GraphSource | None" = None  # of the module's loop, see export/graphs/scan.py


def group_query_attention(
    query: Tensor, new: tuple[Tensor, Tensor] | None, past: tuple[Tensor, Tensor] | None, lengths: Tensor,
    total: Tensor, *, heads: int, kv_heads: int, causal: bool, scale: float | None = None, bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """One operator: query (B, T, D) with new keys and values (B, T', K*d) each, or all three packed in the query
    (B, T, (H+2K)*d); past (B, K, capacity, d) each -> output (B, T, D) and present.

    `lengths` (B,) int32 is each row's total length minus one; `total` () int32 the longest row's, or the capacity.
    Scores are multiplied by `scale`, by default 1 / sqrt(d), and `bias` (B, 1, T, total) is added to them.
    """
    width = query.size(2) // (heads if new else heads + 2 * kv_heads)
    present = (query.size(0), kv_heads, query.size(1), width)
    output = (query.size(0), query.size(1), heads * width)
    shapes = [output, *([p.shape for p in past] if past else [present, present])]
    inputs = (query, *(new or (None, None)), *(past or (None, None)), lengths, total)
    if bias is not None:
        inputs = (*inputs, None, None, None, bias)  # no rotary tables, no positions for them
    attributes: dict[str, Any] = {"num_heads": heads, "kv_num_heads": kv_heads, "scale": scale or width**-0.5}
    if not causal:
        attributes["causal"] = 0
    attended, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention", inputs, attributes, dtypes=(FLOAT,) * 3, shapes=shapes, version=1
    )
    return attended, present_key, present_value


def encoder_attention(encoder: Encoder, source: Tensor, source_length: Tensor) -> SelfAttend:
    """Every token of (B*S, D) attends to its row's real tokens."""
    total = torch.full((), source.size(1), dtype=torch.int32)

    def attend_self(packed: Tensor) -> Tensor:
        attended = group_query_attention(
            packed.view(*source.shape, -1), None, None, source_length - 1, total,
            heads=encoder.heads, kv_heads=encoder.kv_heads, causal=False,
        )[0]  # fmt: skip
        return attended.flatten(0, 1)  # (B*S, D)

    return attend_self


def encode_flat(encoder: Encoder, source: Tensor, source_length: Tensor) -> Tensor:
    """source (B, S) -> encoded tokens (B*S, D): on matrices a linear map and its bias are one operator, Gemm."""
    x = encoder.embedding(source).flatten(0, 1)  # (B*S, D)
    attend_self = encoder_attention(encoder, source, source_length)
    for layer in encoder.layers:
        x = layer(x, attend_self)
    encoded: Tensor = encoder.norm(x)
    return encoded


class Encode(nn.Module):
    """source (B, S), source_length (B,) -> cross-attention keys and values of every layer (B, K, S, d)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoded = encode_flat(self.model.encoder, source, source_length)
        return [tensor for layer in self.model.layers for tensor in flat_memory(layer, encoded, source)]


def flat_memory(layer: nn.Module, encoded: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-attention keys and values (B, K, S, d) of encoded tokens (B*S, D)."""
    cross = cast(CrossAttention, layer.cross_attention)
    key, value = cross.key_value(encoded).view(*source.shape, -1).chunk(2, dim=-1)  # (B, S, K*d)
    return split_heads(key, cross.kv_heads), split_heads(value, cross.kv_heads)


class Step(nn.Module):
    """token (B,), position (B,), source_length (B,), caches -> logits (B, V), caches one token longer, in place."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: Tensor, position: Tensor, source_length: Tensor, *caches: Tensor) -> list[Tensor]:
        model = self.model
        embedding = model.embedding
        x = embedding.at(token, nn.functional.embedding(position, embedding.position))  # (B, D)
        presents: list[Tensor] = []
        for layer, i in zip(model.layers, range(0, len(caches), 4), strict=True):
            attend_self = self._attend_target(caches[i : i + 2], position, presents)
            attend_cross = self._attend_source(caches[i + 2 : i + 4], source_length, presents)
            x = layer(x, attend_self, attend_cross)
        return [model.output(model.norm(x)), *presents]

    def _attend_target(self, past: tuple[Tensor, ...], position: Tensor, presents: list[Tensor]) -> SelfAttend:
        total = (position.max() + 1).to(torch.int32)

        def attend_self(packed: Tensor) -> Tensor:
            output, *present = group_query_attention(
                packed[:, None], None, (past[0], past[1]), position, total,
                heads=self.model.heads, kv_heads=self.model.kv_heads, causal=True,
            )  # fmt: skip
            presents.extend(present)
            return output.squeeze(1)

        return attend_self

    def _attend_source(self, past: tuple[Tensor, ...], source_length: Tensor, presents: list[Tensor]) -> CrossAttend:
        total = source_length.max().to(torch.int32)

        def attend_cross(query: Tensor) -> Tensor:
            # No new keys: the whole memory is "past", and present is the same buffer.
            nothing = query[:, None][:, :0, : past[0].size(1) * past[0].size(3)]  # (B, 0, K*d)
            output, *present = group_query_attention(
                query[:, None], (nothing, nothing), (past[0], past[1]), source_length - 1, total,
                heads=self.model.heads, kv_heads=self.model.kv_heads, causal=False,
            )  # fmt: skip
            presents.extend(present)
            return output.squeeze(1)

        return attend_cross


class Score(nn.Module):
    """Teacher forcing: the log-probability of every label token and where each layer looked, mean over heads."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor, target: Tensor, label: Tensor) -> list[Tensor]:
        model = self.model
        encoded = encode_flat(model.encoder, source, source_length)
        maps: list[Tensor] = []
        x = model.embedding(target).flatten(0, 1)  # (B*T, D)
        for layer in model.layers:
            memory = flat_memory(layer, encoded, source)
            x = layer(x, self._attend_target(target), self._attend_source(target, source_length, memory, maps))
        logits = model.output(model.norm(x))  # (B*T, V)
        chosen = logits.log_softmax(-1).gather(-1, label.flatten()[:, None])  # (B*T, 1)
        return [chosen.view(label.shape), torch.stack(maps, dim=1)]  # (B, T), (B, L, T, S)

    def _attend_target(self, target: Tensor) -> SelfAttend:
        mask = look_ahead_mask(target.size(1), target.device)

        def attend_self(packed: Tensor) -> Tensor:
            heads = unpack(packed.view(*target.shape, -1), self.model.heads, self.model.kv_heads)
            return attend(*heads, mask).flatten(0, 1)  # (B*T, D)

        return attend_self

    def _attend_source(
        self, target: Tensor, source_length: Tensor, memory: tuple[Tensor, Tensor], maps: list[Tensor]
    ) -> CrossAttend:
        key, value = memory
        mask = padding_mask(source_length, key.size(2))

        def attend_cross(query: Tensor) -> Tensor:
            heads = split_heads(query.view(*target.shape, -1), self.model.heads)
            weights = attention_weights(heads, key, mask)  # (B, H, T, S)
            maps.append(weights.mean(dim=1))  # (B, T, S)
            return merge_heads(apply_weights(weights, value)).flatten(0, 1)  # (B*T, D)

        return attend_cross


class Classify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoded = encode_flat(self.model.encoder, source, source_length).view(*source.shape, -1)  # (B, S, D)
        first = self.model.config.pooling == "first"
        pooled = encoded[:, 0] if first else mean_of_real_tokens(encoded, source_length)  # (B, D)
        return [self.model.output(pooled).softmax(-1)]


def mean_of_real_tokens(encoded: Tensor, source_length: Tensor) -> Tensor:
    """(B, S, D) -> (B, D), as a running sum read at the last real token: no padding behind it can change a bit of it.

    A sum or a product over the padded axis adds in an order that depends on the padding.
    """
    last = (source_length - 1).long()[:, None, None].expand(-1, 1, encoded.size(2))  # (B, 1, D)
    total = encoded.cumsum(dim=1).gather(1, last)[:, 0]  # (B, D)
    return total / source_length[:, None]


def source_inputs(batch: int = 3, length: int = 5) -> dict[str, Tensor]:
    """Example sources, all of the same length."""
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
        "encode": GraphSource(Encode(model), source_inputs(batch, source), source_axes, constants),
        "step": GraphSource(
            Step(model),
            rows | caches,
            {name: {0: b} for name in rows} | cache_axes,
            ["logits", *(f"{name}_out" for name in kinds)],
            kinds,
        ),
        "score": GraphSource(
            Score(model),
            source_inputs(batch, source) | pair,
            source_axes | {name: {0: b, 1: t} for name in pair},
            ["log_probability", "cross_attention"],
        ),
    }


def cache_origins(model: nn.Module) -> dict[str, WeightSlice]:
    """Which linear map writes each cache, and in which of its columns; none for a model without caches."""
    if not isinstance(model, Transformer):
        return {}
    size = model.kv_heads * (model.config.width // model.heads)  # K*d
    query = model.config.width
    found: dict[str, WeightSlice] = {}
    for i in range(len(model.layers)):
        for kind, linear, first in (("self", "query_key_value", query), ("cross", "key_value", 0)):
            weight = f"model.layers.{i}.{kind}_attention.{linear}.weight"
            found[f"{kind}_key_{i}"] = WeightSlice(weight, first, first + size)
            found[f"{kind}_value_{i}"] = WeightSlice(weight, first + size, first + 2 * size)
    return found


def classifier_graphs(model: Classifier) -> dict[str, GraphSource]:
    """The graph of a classifier."""
    b, s = torch.export.Dim("B"), torch.export.Dim("S", max=model.config.max_source_length)
    axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    return {"classify": GraphSource(Classify(model), source_inputs(), axes, ["probability"])}
