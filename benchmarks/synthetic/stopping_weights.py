"""Random weights that stop by construction: every translation has as many tokens as its source, special tokens
included.

An untrained model never stops, or stops anywhere; a benchmark would then measure an external length limit, which every
engine handles differently. These weights make every engine, in greedy and in beam search, write the end-of-sequence
token exactly when the target is as long as the source:

- some dimensions of the residual stream are reserved: no layer writes into them before the last cross-attention;
- the position embeddings of both sides carry the same code word of +1 and -1 at the same position;
- one head of the last cross-attention compares code words, so that target position t attends to source position t only,
  and copies whether the end-of-sequence token is there into the `stop` dimensions, as +1 or -1;
- the tied embedding of the end-of-sequence token is non-zero in these dimensions only: its logit is far above all
  others, or far below;
- in the same way the `ban` dimensions prevent the other special tokens.

All values have the magnitude of their neighbours, so that the rule survives 8-bit weights and activations.

Shapes: D model width, H heads, d = D/H, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import TransformerConfig
from training.data.tokenizer import BOS, EOS, PAD, UNK
from training.models.transformer import DecoderLayer, Transformer

STOP_WIDTH, BAN_WIDTH = 32, 16  # dimensions
SUBLAYER = 0.3  # scale, relative to Glorot, of the maps that write into the residual stream
PEAKED = 5.0  # scale of the last norm: gives the confidence of a trained model
CODE = 4.0  # scale of queries and keys: the right position is about 25 nats above every other
STOP, BAN = 0.15, 0.4  # embedding entries of the end-of-sequence token, and of the banned special tokens
STOP_STEP = 3.0  # written into the stop dimensions
STOP_SCALE, BAN_SCALE = 5.0, 6.0  # scales of the last norm


@dataclass(frozen=True)
class Reserved:
    """The reserved dimensions, in this order from 0 on."""

    code: slice
    stop: slice
    ban: slice

    @staticmethod
    def of(config: TransformerConfig) -> "Reserved":
        """Reserve dimensions for code words of one head's width.

        Raises:
            ValueError: the shape is too small or not supported.
        """
        head = config.width // config.heads
        if (config.norm, config.positions, config.tied_embeddings) != ("pre", "learned", True):
            raise ValueError("weights that stop need pre-norm, learned positions and tied embeddings")
        if head < 64 or config.width < 256 or config.kv_heads != config.heads:
            raise ValueError(
                f"width {config.width}, {config.heads} heads, {config.kv_heads} key-value heads: stopping needs "
                "a width of 256, heads of 64 and as many key-value heads"
            )
        return Reserved(
            slice(head), slice(head, head + STOP_WIDTH), slice(head + STOP_WIDTH, head + STOP_WIDTH + BAN_WIDTH)
        )

    @property
    def all(self) -> slice:
        return slice(self.ban.stop)


def stopping_model(config: TransformerConfig, vocabulary: int, seed: int) -> Transformer:
    """Return a model of this shape with a joint vocabulary of V entries; the same seed gives the same weights.

    Raises:
        ValueError: see `Reserved.of`.
    """
    reserved = Reserved.of(config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = Transformer(config, vocabulary, vocabulary, joint=True).eval()
        for layer in model.encoder.layers:
            _scale_sublayers(layer, reserved)
        for layer in model.layers:
            _scale_sublayers(layer, reserved)
        _set_embeddings(model, reserved)
        _set_position_attention(model, reserved)
        assert isinstance(model.norm, nn.LayerNorm)
        model.norm.weight[:] = PEAKED * _signs(
            config.width
        )  # random signs: otherwise a tied model repeats its last token
        model.norm.weight[reserved.stop] = STOP_SCALE
        model.norm.weight[reserved.ban] = BAN_SCALE
    return model


def _scale_sublayers(layer: nn.Module, reserved: Reserved) -> None:
    """Scale down the output of a layer's sublayers, to zero in the reserved dimensions."""
    for name, linear in layer.named_modules():
        if name.endswith((".output", ".outer")):
            assert isinstance(linear, nn.Linear)
            linear.weight *= SUBLAYER
            linear.weight[reserved.all] = 0
            linear.bias[reserved.all] = 0


def _set_embeddings(model: Transformer, reserved: Reserved) -> None:
    """Set special tokens, code words and the constant that bans special tokens."""
    scale = model.embedding.scale
    token = model.embedding.token.weight  # (V, D), also the output projection
    token[:, reserved.all] = 0
    token[[PAD, UNK, BOS, EOS]] = 0
    token[EOS, reserved.stop] = STOP * _alternating(STOP_WIDTH)
    token[[PAD, UNK, BOS], reserved.ban] = -BAN * _alternating(BAN_WIDTH)
    source, target = model.encoder.embedding.position, model.embedding.position
    longest = max(len(source), len(target))
    codes = _signs(longest, reserved.code.stop)
    source[:, reserved.all] = target[:, reserved.all] = 0
    source[:, reserved.code], target[:, reserved.code] = codes[: len(source)], codes[: len(target)]
    target[:, reserved.ban] = _alternating(BAN_WIDTH)
    target[0, reserved.ban] += BAN * scale * _alternating(BAN_WIDTH)  # compensates for <bos>, the first input


def _set_position_attention(model: Transformer, reserved: Reserved) -> None:
    """Set the first head of the last cross-attention: compare code words, copy the end-of-sequence flag."""
    layer = model.layers[-1]
    assert isinstance(layer, DecoderLayer)
    attention = layer.cross_attention
    width, head = model.config.width, reserved.code.stop
    query, key_value, output = attention.query, attention.key_value, attention.output
    value = slice(width, width + head)
    for linear, rows in ((query, slice(head)), (key_value, slice(head)), (key_value, value)):
        linear.weight[rows] = 0
        linear.bias[rows] = 0
    query.weight[:head, reserved.code] = CODE * torch.eye(head)
    key_value.weight[:head, reserved.code] = CODE * torch.eye(head)
    seen = STOP * model.embedding.scale  # approximate value in the stop dimensions of an encoded end-of-sequence token
    key_value.weight[width : width + STOP_WIDTH, reserved.stop] = torch.eye(STOP_WIDTH) / (2 * seen)
    output.weight[reserved.stop, :STOP_WIDTH] = 4 * STOP_STEP * torch.eye(STOP_WIDTH)
    output.bias[reserved.stop] = -STOP_STEP * _alternating(STOP_WIDTH)


def _signs(*shape: int) -> Tensor:
    """Random +1 and -1."""
    return torch.randint(0, 2, shape) * 2.0 - 1.0


def _alternating(width: int) -> Tensor:
    """+1, -1, +1, ...: zero mean, so LayerNorm does not change it."""
    return 1.0 - 2.0 * (torch.arange(width) % 2)
