"""The Transformer encoder-decoder (Vaswani et al. 2017), in the order in which the data meets it.

Shapes: B rows, S source length, T target length, D model width, H heads, K key-value heads, d = D/H, V vocabulary.

Translators of every family have the same interface:
  encode(source, lengths) -> state     once per sentence; a flat dict of tensors whose first dimension is the row
  step(token, state) -> logits, state  one target token of each row; reads nothing but the state
  features(source, lengths, target)    teacher forcing, up to the output projection
  forward(source, lengths, target)     teacher forcing, up to the logits
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from training.config import TransformerConfig
from training.models.attention import (
    CrossAttend,
    CrossAttention,
    SelfAttend,
    SelfAttention,
    attend,
    causal_mask,
    padding_mask,
    split_heads,
    unpack,
)
from training.models.dropout import Dropout

State = dict[str, Tensor]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Return sine and cosine of each position at D/2 wavelengths, 2*pi to 10000*2*pi: (length, D); section 3.5."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))  # (D/2,)
    angle = torch.arange(length)[:, None] * frequency  # (length, D/2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, width)  # (length, D)


class Embedding(nn.Module):
    """Sum of token and position embeddings: ids (B, T) at positions first..first+T-1 -> (B, T, D).

    The tokens' are scaled by the root of their width; or, with `embedding_norm`, the sum is normalised (BERT). An
    embedding of another width is projected (ELECTRA).
    """

    def __init__(self, config: TransformerConfig, vocabulary: int, max_length: int) -> None:
        super().__init__()
        width = config.embedding_width or config.width
        self.scale = 1.0 if config.embedding_norm else math.sqrt(width)
        self.token = nn.Embedding(vocabulary, width)
        table = sinusoidal_positions(max_length, width)
        if config.positions == "learned":
            self.position = nn.Parameter(torch.randn_like(table) * 0.02)
        else:
            self.register_buffer("position", table, persistent=False)
        self.norm = nn.LayerNorm(width, config.norm_epsilon) if config.embedding_norm else nn.Identity()
        self.projection = nn.Linear(width, config.width) if config.embedding_width else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        return self.at(ids, self.position[first : first + ids.size(1)])  # (B, T, D)

    def at(self, ids: Tensor, position: Tensor) -> Tensor:
        """Embed ids (B, T) with position embeddings that broadcast to (B, T, D)."""
        x = self.projection(self.norm(self.token(ids) * self.scale + position))
        return self.dropout(to_autocast_dtype(x))  # (B, T, D)


def to_autocast_dtype(x: Tensor) -> Tensor:
    """Under autocast on a CPU, return x in the lower precision, so that the residual sums of all layers stay in it."""
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return x.to(torch.get_autocast_dtype("cpu"))
    return x


class Residual(nn.Module):
    """Residual connection around a sublayer, with LayerNorm before the sublayer (pre) or after the sum (post)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.norm = nn.LayerNorm(config.width, config.norm_epsilon)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class FeedForward(nn.Module):
    """Two linear maps with an activation in between, for each position separately: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, config.feed_forward)
        self.activation = ACTIVATIONS[config.activation]()
        self.outer = nn.Linear(config.feed_forward, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, config.kv_heads)
        self.feed_forward = FeedForward(config)
        self.around_attention = Residual(config)
        self.around_feed_forward = Residual(config)

    def forward(self, x: Tensor, attend_self: SelfAttend) -> Tensor:
        x = self.around_attention(x, lambda h: self.attention(h, attend_self))
        return self.around_feed_forward(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, then feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config.width, config.heads, config.kv_heads)
        self.cross_attention = CrossAttention(config.width, config.heads, config.kv_heads)
        self.feed_forward = FeedForward(config)
        self.around_self = Residual(config)
        self.around_cross = Residual(config)
        self.around_feed_forward = Residual(config)

    def forward(self, x: Tensor, attend_self: SelfAttend, attend_cross: CrossAttend) -> Tensor:
        x = self.around_self(x, lambda h: self.self_attention(h, attend_self))
        x = self.around_cross(x, lambda h: self.cross_attention(h, attend_cross))
        return self.around_feed_forward(x, self.feed_forward)


def final_norm(config: TransformerConfig) -> nn.Module:
    """Return the LayerNorm behind the last layer, which only pre-norm layers need: their sums are not normalised."""
    return nn.LayerNorm(config.width, config.norm_epsilon) if config.norm == "pre" else nn.Identity()


class Encoder(nn.Module):
    """Source ids (B, S), lengths (B,) -> encoded source (B, S, D); padding gets no attention."""

    def __init__(self, config: TransformerConfig, embedding: Embedding) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.embedding = embedding
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = final_norm(config)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        mask = padding_mask(lengths, source.size(1))  # (B, 1, 1, S)
        return self.encode(source, self.attend_masked(mask))

    def encode(self, source: Tensor, attend_self: SelfAttend) -> Tensor:
        x = self.embedding(source)  # (B, S, D)
        for layer in self.layers:
            x = layer(x, attend_self)
        return self.norm(x)

    def attend_masked(self, mask: Tensor) -> SelfAttend:
        return lambda packed: attend(*unpack(packed, self.heads, self.kv_heads), mask)


class Transformer(nn.Module):
    """Encoder, decoder and output projection; see the module's docstring for the interface."""

    def __init__(self, config: TransformerConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> None:
        super().__init__()
        self.config = config
        self.heads, self.kv_heads = config.heads, config.kv_heads
        source = Embedding(config, source_vocabulary, config.max_source_length)
        self.encoder = Encoder(config, source)
        self.embedding = Embedding(config, target_vocabulary, config.max_target_length)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = final_norm(config)
        self.output = nn.Linear(config.width, target_vocabulary, bias=False)
        self.apply(initialise)
        if config.tied_embeddings:
            self.output.weight = self.embedding.token.weight
            if joint:
                source.token.weight = self.embedding.token.weight

    def encode(self, source: Tensor, lengths: Tensor) -> State:
        """Source ids (B, S), lengths (B,) -> state before the first step, with empty self-attention KV caches."""
        encoded = self.encoder(source, lengths)  # (B, S, D)
        state: State = {"source_lengths": lengths}
        empty = encoded.new_zeros(source.size(0), self.kv_heads, 0, self.config.width // self.heads)  # (B, K, 0, d)
        for i, layer in enumerate(self.layers):
            cross = cast(CrossAttention, layer.cross_attention)
            state[f"cross_key_{i}"], state[f"cross_value_{i}"] = cross.memory(encoded)
            state[f"self_key_{i}"] = state[f"self_value_{i}"] = empty
        return state

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Last target token of each row (B,), state -> logits of the next token (B, V), state with longer KV caches."""
        new_state = dict(state)
        x = self.embedding(token[:, None], first=state["self_key_0"].size(2))  # (B, 1, D)
        for i, layer in enumerate(self.layers):
            x = layer(x, self._attend_cached(new_state, i), self.attend_source(new_state, i))  # (B, 1, D)
        return self.output(self.norm(x[:, 0])), new_state  # (B, V)

    def features(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Target ids (B, T), shifted right by one -> decoder output (B, T, D); no position sees a later one."""
        return self.decode(target, self.encode(source, lengths), self.attend_source)  # (B, T, D)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        return self.output(self.features(source, lengths, target))  # (B, T, V)

    def decode(self, target: Tensor, state: State, attend_source: Callable[[State, int], CrossAttend]) -> Tensor:
        mask = causal_mask(target.size(1), target.device)  # (1, 1, T, T)
        x = self.embedding(target)  # (B, T, D)
        for i, layer in enumerate(self.layers):
            x = layer(x, self.encoder.attend_masked(mask), attend_source(state, i))
        return self.norm(x)

    def attend_source(self, state: State, layer: int) -> CrossAttend:
        key, value = state[f"cross_key_{layer}"], state[f"cross_value_{layer}"]  # (B, K, S, d)
        mask = padding_mask(state["source_lengths"], key.size(2))  # (B, 1, 1, S)
        return lambda query: attend(split_heads(query, self.heads), key, value, mask)

    def _attend_cached(self, state: State, layer: int) -> SelfAttend:
        """Append this step's key and value to the KV cache in `state`, then attend to the whole cache."""
        names = f"self_key_{layer}", f"self_value_{layer}"

        def attend_self(packed: Tensor) -> Tensor:
            query, key, value = unpack(packed, self.heads, self.kv_heads)
            for name, new in zip(names, (key, value), strict=True):
                state[name] = torch.cat([state[name], new], dim=2)  # (B, K, T+1, d)
            return attend(query, state[names[0]], state[names[1]], None)

        return attend_self


def initialise(module: nn.Module) -> None:
    """Initialise linear maps by Glorot, embeddings with variance 1/D: inputs scale them by sqrt(D), and tied ones also
    project the output."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
