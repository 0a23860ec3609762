"""ModernBERT (Warner et al. 2024) with a classification head, as a module whose attention the caller provides.

Pre-norm layers without a norm before the first attention, gated feed-forward, rotary positions (Su et al. 2021). In
most layers a token attends to the tokens near it alone.

Shapes: B rows, S source length, D model width, F feed-forward width, H heads, d = D/H.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from export.graphs.operators import group_query_attention, mean_of_real_tokens
from export.graphs.spec import GraphSpec, classifier_spec
from training.models.attention import attend, padding_mask, split_heads
from training.models.classifier import label_probabilities
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.weights import Weights

MAX_LENGTH = 2048  # tokens: memory grows with the square of a text's length
FAR = -1e30  # added to the score of a token that is not attended to
ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
# query, key and value, each (B, S, D), and whether only near tokens count -> (B, S, D)
Attend = Callable[[Tensor, Tensor, Tensor, bool], Tensor]


class Layer(nn.Module):
    """Self-attention, near or far, then a gated feed-forward sublayer: (B, S, D) -> (B, S, D)."""

    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.near = config.layer_types[index] == "sliding_attention"
        self.attention_norm = _norm(config) if index else nn.Identity()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.norm = _norm(config)
        self.inner = nn.Linear(width, 2 * inner)
        self.activation = ACTIVATIONS[config.hidden_activation]()
        self.outer = nn.Linear(inner, width)

    def forward(self, x: Tensor, attend: Callable[[Tensor, bool], Tensor]) -> Tensor:
        x = x + self.attention_output(attend(self.query_key_value(self.attention_norm(x)), self.near))
        passed, gate = self.inner(self.norm(x)).chunk(2, dim=-1)  # each (B, S, F)
        return cast(Tensor, x + self.outer(self.activation(passed) * gate))


class ModernBertClassifier(nn.Module):
    """Ids (B, S), lengths (B,) -> logits (B, labels), from the first token or the mean of all."""

    def __init__(self, config: Any, labels: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.window = config.num_attention_heads, config.sliding_window
        self.max_length = min(MAX_LENGTH, config.max_position_embeddings)
        self.pools_first = config.classifier_pooling == "cls"
        self.multi_label = config.problem_type == "multi_label_classification"
        self.token = nn.Embedding(config.vocab_size, width)
        self.embedding_norm = _norm(config)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = _norm(config)
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[config.classifier_activation]()
        self.head_norm = _norm(config)
        self.output = nn.Linear(width, labels)
        for near, kind in ((True, "sliding_attention"), (False, "full_attention")):
            base = config.rope_parameters[kind]["rope_theta"]
            self.register_buffer(_table(near), rotary_table(self.max_length, width // self.heads, base))

    def encode(self, source: Tensor, attend: Attend) -> Tensor:
        """Encode ids (B, S) to (B*S, D): on a matrix, a linear map and its bias become one operator, Gemm."""
        batch, length = source.shape

        def attend_rotated(packed: Tensor, near: bool) -> Tensor:
            heads = packed.view(batch, length, 3, self.heads, -1)  # (B, S, 3, H, d)
            query, key, value = heads.unbind(2)
            table = self.get_buffer(_table(near))[:, :length, None]  # (2, S, 1, d)
            query, key = rotated(query, table), rotated(key, table)
            return attend(query.flatten(2), key.flatten(2), value.flatten(2), near).flatten(0, 1)  # (B*S, D)

        x = self.embedding_norm(self.token(source)).flatten(0, 1)  # (B*S, D)
        for layer in self.layers:
            x = layer(x, attend_rotated)
        return cast(Tensor, self.final_norm(x))

    def head(self, pooled: Tensor) -> Tensor:
        """One vector per text (B, D) -> logits (B, labels)."""
        return cast(Tensor, self.output(self.head_norm(self.activation(self.dense(pooled)))))

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        mask = padding_mask(lengths, source.size(1))  # (B, 1, 1, S)

        def attend_masked(query: Tensor, key: Tensor, value: Tensor, near: bool) -> Tensor:
            seen = mask & (distances(source.size(1)) <= self.window) if near else mask  # (B, 1, S, S)
            query, key, value = (split_heads(x, self.heads) for x in (query, key, value))  # each (B, H, S, d)
            return attend(query, key, value, seen)

        encoded = self.encode(source, attend_masked).view(*source.shape, -1)  # (B, S, D)
        return self.head(self.pool(encoded, lengths))

    def pool(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """Encoded texts (B, S, D) -> one vector each (B, D)."""
        return encoded[:, 0] if self.pools_first else mean_of_real_tokens(encoded, lengths)


class ModernBertClassify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: ModernBertClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        model, total = self.model, torch.full((), source.size(1), dtype=torch.int32)
        bias = torch.where(distances(source.size(1)) <= model.window, 0.0, FAR)  # (S, S)

        def attend_real(query: Tensor, key: Tensor, value: Tensor, near: bool) -> Tensor:
            return group_query_attention(
                query, (key, value), None, source_length - 1, total, heads=model.heads, kv_heads=model.heads,
                causal=False, bias=bias.expand(source.size(0), 1, -1, -1) if near else None,
            )[0]  # fmt: skip

        encoded = model.encode(source, attend_real).view(*source.shape, -1)  # (B, S, D)
        logits = model.head(model.pool(encoded, source_length))
        return [label_probabilities(logits, model.multi_label)]


def modern_bert_graphs(model: ModernBertClassifier) -> dict[str, GraphSpec]:
    """Return the graph of an imported classifier."""
    return classifier_spec(ModernBertClassify(model), model.max_length)


def distances(length: int) -> Tensor:
    """Return how far two positions are apart: (S, S)."""
    position = torch.arange(length)
    return (position[:, None] - position).abs()  # (S, S)


def rotary_table(length: int, width: int, base: float) -> Tensor:
    """Return cosines and sines of each position at d/2 frequencies, twice: (2, length, d)."""
    frequency = 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float) / width))  # (d/2,)
    angle = torch.arange(length).float()[:, None] * frequency.repeat(2)  # (length, d)
    return torch.stack([angle.cos(), angle.sin()])  # (2, length, d)


def rotated(x: Tensor, table: Tensor) -> Tensor:
    """Turn each pair of the halves of x (B, S, H, d) by its position's angles, by a table (2, S, 1, d)."""
    first, second = x.chunk(2, dim=-1)  # each (B, S, H, d/2)
    return x * table[0] + torch.cat([-second, first], dim=-1) * table[1]  # (B, S, H, d)


def build_modern_bert(checkpoint: HfCheckpoint, labels: int) -> ModernBertClassifier:
    """Return a ModernBERT checkpoint with a classification head.

    Raises:
        ImportRefused: the configuration asks for something that our graph does not have, or weights are missing.
    """
    from transformers import ModernBertConfig

    config = ModernBertConfig.from_dict(dict(checkpoint.config))  # older files name their settings otherwise
    problems = [
        f"{key} is {getattr(config, key)!r}; {', '.join(ACTIVATIONS)} can be imported"
        for key in ("hidden_activation", "classifier_activation")
        if getattr(config, key) not in ACTIVATIONS
    ]
    scaled = {kind: table for kind, table in config.rope_parameters.items() if table["rope_type"] != "default"}
    if scaled:
        problems.append(f"rope_parameters are {scaled}; only those of rope_type 'default' can be imported")
    if config.hidden_size % (8 * config.num_attention_heads):
        problems.append(f"hidden_size {config.hidden_size} does not give each head a multiple of 8")
    if problems:
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    model, weights = ModernBertClassifier(config, labels), Weights(checkpoint)
    with torch.no_grad():
        _copy(model.token, weights, "model.embeddings.tok_embeddings")
        _copy(model.embedding_norm, weights, "model.embeddings.norm")
        for i, layer in enumerate(model.layers):
            for part, name in (
                ("attention_norm", "attn_norm"), ("query_key_value", "attn.Wqkv"), ("attention_output", "attn.Wo"),
                ("norm", "mlp_norm"), ("inner", "mlp.Wi"), ("outer", "mlp.Wo"),
            ):  # fmt: skip
                _copy(layer.get_submodule(part), weights, f"model.layers.{i}.{name}")
        _copy(model.final_norm, weights, "model.final_norm")
        for module, name in ((model.dense, "head.dense"), (model.head_norm, "head.norm"), (model.output, "classifier")):
            _copy(module, weights, name)
    return model.eval()


def _copy(module: nn.Module, weights: Weights, name: str) -> None:
    """Copy a module's weights; a bias that the checkpoint does not have is zero."""
    for kind, parameter in module.named_parameters():
        if kind == "bias" and not weights.has(f"{name}.bias"):
            parameter.zero_()
        else:
            weights.copy(parameter, f"{name}.{kind}")


def _norm(config: Any) -> nn.Module:
    return nn.LayerNorm(config.hidden_size, config.norm_eps)


def _table(near: bool) -> str:
    return "rotary_near" if near else "rotary_far"
