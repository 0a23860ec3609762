"""The graphs of a trained Transformer: encode, step and score of a translator, classify of a classifier.

service/artifact.py lists the names and shapes of their inputs and outputs. The layers are the trained ones; only
attention becomes one fused operator, com.microsoft.GroupQueryAttention. It appends to a KV cache in place when past and
present share a buffer, it takes a length per row, and a row's result depends on no padding and no neighbour, bit for
bit.

Shapes: B rows, S source length, T target length, D width, H heads, K key-value heads, d = D/H, V vocabulary.
"""

from typing import cast

import torch
from torch import Tensor, nn

from export.graphs.operators import group_query_attention, mean_of_real_tokens
from export.graphs.packed_encoder import (
    PackedSource,
    packed_classifier_spec,
    packed_source_axes,
    packed_source_inputs,
)
from export.graphs.spec import Axes, GraphSpec, step_inputs, target_inputs
from export.quantization.calibration import WeightSlice
from training.models.attention import (
    CrossAttend,
    CrossAttention,
    SelfAttend,
    apply_weights,
    attend,
    attention_weights,
    causal_mask,
    merge_heads,
    padding_mask,
    split_heads,
    unpack,
)
from training.models.classifier import Classifier, label_probabilities
from training.models.transformer import Transformer


class TransformerEncode(nn.Module):
    """A packed source -> cross-attention keys and values of every layer (B, K, S, d)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor, pack_index: Tensor, unpack_index: Tensor) -> list[Tensor]:
        packed = PackedSource(source, source_length, pack_index, unpack_index)
        encoded = packed.encode(self.model.encoder)  # (N, D)
        return [tensor for layer in self.model.layers for tensor in cross_key_value(layer, encoded, packed)]


def cross_key_value(layer: nn.Module, encoded: Tensor, source: PackedSource) -> tuple[Tensor, Tensor]:
    """Compute a layer's cross-attention keys and values (B, K, S, d) from encoded tokens (N, D)."""
    cross = cast(CrossAttention, layer.cross_attention)
    key, value = source.restore_padding(cross.key_value(encoded)).chunk(2, dim=-1)  # (B, S, K*d)
    return split_heads(key, cross.kv_heads), split_heads(value, cross.kv_heads)


class TransformerStep(nn.Module):
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


class TransformerScore(nn.Module):
    """Teacher forcing: a packed source, target (B, T), label (B, T) -> log-probability of every label token (B, T) and
    cross-attention weights, mean over heads (B, L, T, S)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        source: Tensor,
        source_length: Tensor,
        pack_index: Tensor,
        unpack_index: Tensor,
        target: Tensor,
        label: Tensor,
    ) -> list[Tensor]:
        model = self.model
        packed = PackedSource(source, source_length, pack_index, unpack_index)
        encoded = packed.encode(model.encoder)  # (N, D)
        weights_by_layer: list[Tensor] = []
        x = model.embedding(target).flatten(0, 1)  # (B*T, D)
        for layer in model.layers:
            memory = cross_key_value(layer, encoded, packed)
            attend_self = self._attend_target(target)
            attend_cross = self._attend_source(target, source_length, memory, weights_by_layer)
            x = layer(x, attend_self, attend_cross)
        logits = model.output(model.norm(x))  # (B*T, V)
        chosen = logits.log_softmax(-1).gather(-1, label.flatten()[:, None])  # (B*T, 1)
        return [chosen.view(label.shape), torch.stack(weights_by_layer, dim=1)]  # (B, T), (B, L, T, S)

    def _attend_target(self, target: Tensor) -> SelfAttend:
        mask = causal_mask(target.size(1), target.device)

        def attend_self(packed: Tensor) -> Tensor:
            heads = unpack(packed.view(*target.shape, -1), self.model.heads, self.model.kv_heads)
            return attend(*heads, mask).flatten(0, 1)  # (B*T, D)

        return attend_self

    def _attend_source(
        self, target: Tensor, source_length: Tensor, memory: tuple[Tensor, Tensor], weights_by_layer: list[Tensor]
    ) -> CrossAttend:
        key, value = memory
        mask = padding_mask(source_length, key.size(2))

        def attend_cross(query: Tensor) -> Tensor:
            heads = split_heads(query.view(*target.shape, -1), self.model.heads)
            weights = attention_weights(heads, key, mask)  # (B, H, T, S)
            weights_by_layer.append(weights.mean(dim=1))  # (B, T, S)
            return merge_heads(apply_weights(weights, value)).flatten(0, 1)  # (B*T, D)

        return attend_cross


class TransformerClassify(nn.Module):
    """A packed source -> probability (B, labels)."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor, pack_index: Tensor, unpack_index: Tensor) -> list[Tensor]:
        packed = PackedSource(source, source_length, pack_index, unpack_index)
        encoded = packed.restore_padding(packed.encode(self.model.encoder))  # (B, S, D)
        first = self.model.config.pooling == "first"
        pooled = encoded[:, 0] if first else mean_of_real_tokens(encoded, source_length)  # (B, D)
        return [label_probabilities(self.model.output(pooled), self.model.multi_label)]


def translator_graphs(model: Transformer) -> dict[str, GraphSpec]:
    """Return the graphs of a translator, `select` excepted."""
    batch, source, capacity = 3, 5, 7
    b = torch.export.Dim("B")
    s = torch.export.Dim("S", max=model.config.max_source_length)
    t = torch.export.Dim("T", max=model.config.max_target_length)
    source_axes = packed_source_axes(b, s)
    config = model.config
    width = config.width // config.heads

    kinds: dict[str, str] = {}
    for i in range(len(model.layers)):
        kinds |= {f"self_key_{i}": "growing", f"self_value_{i}": "growing"}
        kinds |= {f"cross_key_{i}": "constant", f"cross_value_{i}": "constant"}
    lengths = {"growing": capacity, "constant": source}
    caches = {name: torch.zeros(batch, config.kv_heads, lengths[kind], width) for name, kind in kinds.items()}
    cache_axes: dict[str, Axes] = {name: {0: b, 2: t if kind == "growing" else s} for name, kind in kinds.items()}
    inputs = step_inputs(batch, source)
    constants = [name for name, kind in kinds.items() if kind == "constant"]
    return {
        "encode": GraphSpec(TransformerEncode(model), packed_source_inputs(batch, source), source_axes, constants),
        "step": GraphSpec(
            TransformerStep(model),
            inputs | caches,
            {name: {0: b} for name in inputs} | cache_axes,
            ["logits", *(f"{name}_out" for name in kinds)],
            kinds,
        ),
        "score": GraphSpec(
            TransformerScore(model),
            packed_source_inputs(batch, source) | target_inputs(batch, capacity),
            source_axes | {name: {0: b, 1: t} for name in ("target", "label")},
            ["log_probability", "cross_attention"],
        ),
    }


def classifier_graphs(model: Classifier) -> dict[str, GraphSpec]:
    """Return the graph of a classifier."""
    return packed_classifier_spec(TransformerClassify(model), model.config.max_source_length)


def cache_slices(model: nn.Module) -> dict[str, WeightSlice]:
    """Return the columns of the linear map that writes each KV cache; empty for a model without KV caches."""
    if not isinstance(model, Transformer):
        return {}
    size = model.kv_heads * (model.config.width // model.heads)  # K*d
    query = model.config.width
    slices: dict[str, WeightSlice] = {}
    for i in range(len(model.layers)):
        for kind, linear, first in (("self", "query_key_value", query), ("cross", "key_value", 0)):
            weight = f"model.layers.{i}.{kind}_attention.{linear}.weight"
            slices[f"{kind}_key_{i}"] = WeightSlice(weight, first, first + size)
            slices[f"{kind}_value_{i}"] = WeightSlice(weight, first + size, first + 2 * size)
    return slices
