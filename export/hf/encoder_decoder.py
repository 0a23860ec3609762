"""Encoder-decoder checkpoints as our Transformer, so that their weights flow into our graphs.

MarianMT (Junczys-Dowmunt et al. 2018), mBART (Liu et al. 2020) and M2M-100 (Fan et al. 2020), which is NLLB's
architecture too, have the layers of BART (Lewis et al. 2020), named alike in transformers: all projections with biases,
embeddings shared by both sides and the output. They differ in the place of their norms and in their positions.

Shapes: D model width, V vocabulary.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from training.config import TransformerConfig
from training.models.transformer import DecoderLayer, Embedding, EncoderLayer, Transformer
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.weights import Weights

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu", "silu": "silu"}
NEVER = -1e4  # the bias of a token that is never generated; it then takes no part in probabilities
FIRST_POSITION = 2  # of fairseq's tables of positions: the first two are for padding


def marian_positions(length: int, width: int) -> Tensor:
    """Return sinusoidal positions in Marian's layout, all sines before all cosines: (length, D)."""
    wavelength = torch.pow(10000.0, torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D/2,)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / wavelength  # (length, D/2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()  # (length, D)


def fairseq_positions(length: int, width: int) -> Tensor:
    """Return sinusoidal positions in fairseq's layout, in the precision in which transformers has them: (length, D)."""
    half = width // 2
    frequency = torch.exp(torch.arange(half).float() * -(math.log(10000.0) / (half - 1)))  # (D/2,)
    angle = torch.arange(FIRST_POSITION, FIRST_POSITION + length).float()[:, None] * frequency  # (length, D/2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)  # (length, D)


@dataclass(frozen=True)
class Family:
    """How an architecture differs from the others."""

    norm: Literal["pre", "post"]
    embedding_norm: bool
    positions: Callable[[int, int], Tensor] | None  # None: learned


FAMILIES = {
    "marian": Family("post", embedding_norm=False, positions=marian_positions),
    "m2m_100": Family("pre", embedding_norm=False, positions=fairseq_positions),
    "mbart": Family("pre", embedding_norm=True, positions=None),
}


def build_translator(checkpoint: HfCheckpoint, never: Iterable[int]) -> Transformer:
    """Return a checkpoint of one of `FAMILIES` as a Transformer; `never` are tokens that it does not generate.

    Raises:
        ImportRefused: the configuration asks for something that our graphs do not have, or weights are missing.
    """
    config = translator_config(checkpoint)
    vocabulary = int(checkpoint.get("vocab_size"))
    model = Transformer(config, vocabulary, vocabulary, joint=True)
    model.output = nn.Linear(config.width, vocabulary)
    model.output.weight = model.embedding.token.weight
    weights = Weights(checkpoint)
    with torch.no_grad():
        weights.copy(model.embedding.token.weight, "model.shared.weight")
        for side, layers in (("encoder", model.encoder.layers), ("decoder", model.layers)):
            for i, layer in enumerate(layers):
                for target, names in _layer_parts(layer, f"model.{side}.layers.{i}"):
                    weights.copy(target, *names)
        for side, norm in (("encoder", model.encoder.norm), ("decoder", model.norm)):
            weights.copy_module(norm, f"model.{side}.layer_norm")
        model.output.bias.zero_()
        if weights.has("final_logits_bias"):
            weights.copy(model.output.bias, "final_logits_bias")
        model.output.bias[list(never)] = NEVER
        for side, embedding in (("encoder", model.encoder.embedding), ("decoder", model.embedding)):
            embedding.scale = config.width**0.5 if checkpoint.config.get("scale_embedding") else 1.0
            weights.copy_module(embedding.norm, f"model.{side}.layernorm_embedding")
            _set_positions(embedding, FAMILIES[checkpoint.model_type], weights, f"model.{side}.embed_positions.weight")
    return model.eval()


def _set_positions(embedding: Embedding, family: Family, weights: Weights, name: str) -> None:
    length, width = embedding.position.shape
    table = weights.get(name)[FIRST_POSITION:] if family.positions is None else family.positions(length, width)
    embedding.position.copy_(table)


def translator_config(checkpoint: HfCheckpoint) -> TransformerConfig:
    """Return the configuration of our Transformer.

    Raises:
        ImportRefused: it differs in something that our graphs do not have.
    """
    get, family = checkpoint.get, FAMILIES[checkpoint.model_type]
    activation = str(get("activation_function"))
    heads = {int(get("encoder_attention_heads")), int(get("decoder_attention_heads"))}
    inner = {int(get("encoder_ffn_dim")), int(get("decoder_ffn_dim"))}
    problems = []
    if activation not in ACTIVATIONS:
        problems.append(f"activation_function is {activation!r}; {', '.join(ACTIVATIONS)} can be imported")
    if len(heads) > 1 or len(inner) > 1:
        problems.append("encoder and decoder differ in attention heads or feed-forward width; both must be the same")
    if not (get("share_encoder_decoder_embeddings", True) and get("tie_word_embeddings", True)):
        problems.append(
            "share_encoder_decoder_embeddings or tie_word_embeddings is not set; only one shared vocabulary can be "
            "imported"
        )
    if checkpoint.model_type == "marian":  # the other architectures do not read these keys
        if get("normalize_before", False) or get("normalize_embedding", False):
            problems.append("normalize_before or normalize_embedding is set; only post-norm layers can be imported")
        if get("static_position_embeddings", True) is not True:
            problems.append("static_position_embeddings is not set; only sinusoidal positions can be imported")
    if problems:
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    length = int(get("max_position_embeddings"))
    config = TransformerConfig(
        width=int(get("d_model")),
        heads=heads.pop(),
        kv_heads=int(get("encoder_attention_heads")),
        feed_forward=inner.pop(),
        encoder_layers=int(get("encoder_layers")),
        decoder_layers=int(get("decoder_layers")),
        norm=family.norm,
        embedding_norm=family.embedding_norm,
        positions="learned" if family.positions is None else "sinusoidal",
        activation=ACTIVATIONS[activation],  # type: ignore[arg-type]
        dropout=0.0,
        max_source_length=length,
        max_target_length=length,
    )
    if problems := config.find_problems():
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    return config


def _layer_parts(layer: nn.Module, name: str) -> Iterator[tuple[Tensor, list[str]]]:
    """Yield each parameter of a layer with the names of the weights that it is made of, stacked."""
    modules: list[tuple[nn.Module, list[str]]] = []
    if isinstance(layer, EncoderLayer):
        own, around_own = layer.attention, layer.around_attention
    else:
        assert isinstance(layer, DecoderLayer)
        own, around_own = layer.self_attention, layer.around_self
        modules += [
            (layer.cross_attention.query, ["encoder_attn.q_proj"]),
            (layer.cross_attention.key_value, ["encoder_attn.k_proj", "encoder_attn.v_proj"]),
            (layer.cross_attention.output, ["encoder_attn.out_proj"]),
            (layer.around_cross.norm, ["encoder_attn_layer_norm"]),
        ]
    modules += [
        (own.query_key_value, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        (own.output, ["self_attn.out_proj"]),
        (around_own.norm, ["self_attn_layer_norm"]),
        (layer.feed_forward.inner, ["fc1"]),
        (layer.feed_forward.outer, ["fc2"]),
        (layer.around_feed_forward.norm, ["final_layer_norm"]),
    ]
    for module, parts in modules:
        for kind, parameter in module.named_parameters():
            yield parameter, [f"{name}.{part}.{kind}" for part in parts]
