"""Convert a trained Transformer to a Hugging Face transformers folder, architecture M2M100.

M2M100 has pre-norm, scaled embeddings shared by both sides, and a fixed position table. Its sinusoids have other
wavelengths and another layout than ours, so our tables are saved in a file beside the weights and loaded by
benchmarks/baselines/transformers/system.py, which runs in a virtual environment of its own. This module does not import
transformers.

Shapes: D model width, V vocabulary.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.baselines import UnsupportedModel
from benchmarks.baselines.equal_heads import with_equal_heads
from training.data.tokenizer import BOS, EOS, PAD
from training.models.attention import CrossAttention, SelfAttention
from training.models.transformer import DecoderLayer, EncoderLayer, FeedForward, Transformer

POSITIONS = "positions.safetensors"
Named = Iterator[tuple[str, nn.Module | Tensor]]


def convert(model: Transformer, folder: Path) -> None:
    """Write config.json, model.safetensors and the position tables (1 + length, D), whose first row is for padding.

    Shared key-value heads are repeated.

    Raises:
        UnsupportedModel: the model is not pre-norm with one shared embedding.
    """
    model = with_equal_heads(model)
    config = model.config
    shared = model.output.weight is model.embedding.token.weight is model.encoder.embedding.token.weight
    if config.norm != "pre" or not shared:
        raise UnsupportedModel("M2M100 needs pre-norm and one shared embedding")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in _tensors(model)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tables = {"encoder": model.encoder.embedding.position, "decoder": model.embedding.position}
    save_file({side: _table(table.detach()) for side, table in tables.items()}, folder / POSITIONS)
    (folder / "config.json").write_text(json.dumps(_config(model), indent=2), "utf-8")


def _config(model: Transformer) -> dict[str, object]:
    config = model.config
    return {
        "architectures": ["M2M100ForConditionalGeneration"],
        "model_type": "m2m_100",
        "vocab_size": model.output.out_features,
        "d_model": config.width,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "num_hidden_layers": config.encoder_layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.feed_forward,
        "decoder_ffn_dim": config.feed_forward,
        "activation_function": config.activation,
        "scale_embedding": True,
        "tie_word_embeddings": True,
        "max_position_embeddings": max(config.max_source_length, config.max_target_length),
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "torch_dtype": "float32",
    }


def _table(positions: Tensor) -> Tensor:
    """Shift position p to row p + 1, as M2M100 numbers them when padding has id 0."""
    return torch.cat([torch.zeros_like(positions[:1]), positions])  # (1 + length, D)


def _tensors(model: Transformer) -> Iterator[tuple[str, Tensor]]:
    yield "model.shared.weight", model.output.weight  # (V, D)
    for name, owner in _modules(model):
        if isinstance(owner, Tensor):
            yield f"model.{name}", owner
            continue
        for parameter, tensor in owner.named_parameters():
            yield f"model.{name}.{parameter}", tensor


def _modules(model: Transformer) -> Named:
    """Their names, and our modules or slices of our packed projections."""
    for i, layer in enumerate(model.encoder.layers):
        assert isinstance(layer, EncoderLayer)
        here = f"encoder.layers.{i}"
        yield from _self_attention(f"{here}.self_attn", layer.attention)
        yield f"{here}.self_attn_layer_norm", layer.around_attention.norm
        yield from _feed_forward(here, layer.feed_forward)
        yield f"{here}.final_layer_norm", layer.around_feed_forward.norm
    yield "encoder.layer_norm", model.encoder.norm
    for i, layer in enumerate(model.layers):
        assert isinstance(layer, DecoderLayer)
        here = f"decoder.layers.{i}"
        yield from _self_attention(f"{here}.self_attn", layer.self_attention)
        yield f"{here}.self_attn_layer_norm", layer.around_self.norm
        yield from _cross_attention(f"{here}.encoder_attn", layer.cross_attention)
        yield f"{here}.encoder_attn_layer_norm", layer.around_cross.norm
        yield from _feed_forward(here, layer.feed_forward)
        yield f"{here}.final_layer_norm", layer.around_feed_forward.norm
    yield "decoder.layer_norm", model.norm


def _self_attention(here: str, attention: SelfAttention) -> Named:
    yield from _split(here, attention.query_key_value, ["q_proj", "k_proj", "v_proj"])
    yield f"{here}.out_proj", attention.output


def _cross_attention(here: str, attention: CrossAttention) -> Named:
    yield f"{here}.q_proj", attention.query
    yield from _split(here, attention.key_value, ["k_proj", "v_proj"])
    yield f"{here}.out_proj", attention.output


def _split(here: str, packed: nn.Linear, names: list[str]) -> Named:
    for kind in ("weight", "bias"):
        parts = getattr(packed, kind).chunk(len(names))
        yield from ((f"{here}.{name}.{kind}", part) for name, part in zip(names, parts, strict=True))


def _feed_forward(here: str, layer: FeedForward) -> Named:
    yield f"{here}.fc1", layer.inner
    yield f"{here}.fc2", layer.outer
