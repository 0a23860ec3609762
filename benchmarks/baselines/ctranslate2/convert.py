"""Convert a trained Transformer to a CTranslate2 model folder.

Shapes: D model width, V vocabulary. CTranslate2 keeps linear weights as (outputs, inputs), as torch does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ctranslate2.specs import common_spec, transformer_spec
from torch import Tensor, nn

from benchmarks.baselines import UnsupportedModel
from benchmarks.baselines.equal_heads import with_equal_heads
from training.data.tokenizer import BOS, EOS, SPECIAL_TOKENS, UNK, Codec
from training.models.transformer import DecoderLayer, Embedding, EncoderLayer, FeedForward, Residual, Transformer
from training.runs.run import RunFolder
from training.tasks import TranslateTask


def convert_run(run: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Write the CTranslate2 model of a run folder; return the source and the target vocabulary.

    Raises:
        UnsupportedModel: the run is not a translator.
        CheckpointError, RecipeError, TokenizerError: the run folder cannot be read.
    """
    task, model = RunFolder(run).open(torch.device("cpu"))
    if not isinstance(task, TranslateTask) or not isinstance(model, Transformer):
        raise UnsupportedModel(f"{run}: not a run of a translator")
    vocabularies = codec_vocabularies(task.codec)
    convert(model, folder, *vocabularies)
    return vocabularies


def codec_vocabularies(codec: Codec) -> tuple[list[str], list[str]]:
    """Return the tokens of the source and the target side, ordered by id."""

    def tokens(vocabulary: dict[str, int]) -> list[str]:
        return sorted(vocabulary, key=vocabulary.__getitem__)

    return tokens(codec.source.get_vocab()), tokens(codec.target.get_vocab())


def numbered_vocabulary(size: int) -> list[str]:
    """Return the four special tokens, then one synthetic token per id, for a model without a tokeniser."""
    return [*SPECIAL_TOKENS, *(f"t{i}" for i in range(len(SPECIAL_TOKENS), size))][:size]


def convert(
    model: Transformer, folder: Path, source_vocabulary: Sequence[str], target_vocabulary: Sequence[str]
) -> None:
    """Write the model as a CTranslate2 folder in float32, replacing an existing one; shared key-value heads are
    repeated.

    Sources are passed as tokens with special tokens, `<eos>` included; the decoder starts from `<bos>`.

    Raises:
        ValueError: a vocabulary and its embedding differ in size.
    """
    model = with_equal_heads(model)
    config = model.config
    spec = transformer_spec.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.heads,
        pre_norm=config.norm == "pre",
        activation=getattr(common_spec.Activation, config.activation.upper()),
    )
    _set_encoder(spec.encoder, model)
    _set_decoder(spec.decoder, model)
    spec.register_source_vocabulary(list(source_vocabulary))
    spec.register_target_vocabulary(list(target_vocabulary))
    spec.config.unk_token = target_vocabulary[UNK]
    spec.config.bos_token = spec.config.decoder_start_token = target_vocabulary[BOS]
    spec.config.eos_token = target_vocabulary[EOS]
    spec.config.add_source_bos = spec.config.add_source_eos = False
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _set_encoder(spec: Any, model: Transformer) -> None:
    encoder = model.encoder
    _set_embedding(spec.embeddings[0], spec.position_encodings, encoder.embedding)
    for of, layer in zip(spec.layer, encoder.layers, strict=True):
        assert isinstance(layer, EncoderLayer)
        _set_linears(of.self_attention, layer.around_attention, layer.attention.query_key_value, layer.attention.output)
        _set_feed_forward(of.ffn, layer.around_feed_forward, layer.feed_forward)
    if model.config.norm == "pre":
        _set_norm(spec.layer_norm, encoder.norm)


def _set_decoder(spec: Any, model: Transformer) -> None:
    _set_embedding(spec.embeddings, spec.position_encodings, model.embedding)
    for of, layer in zip(spec.layer, model.layers, strict=True):
        assert isinstance(layer, DecoderLayer)
        own, cross = layer.self_attention, layer.cross_attention
        _set_linears(of.self_attention, layer.around_self, own.query_key_value, own.output)
        _set_linears(of.attention, layer.around_cross, cross.query, cross.key_value, cross.output)
        _set_feed_forward(of.ffn, layer.around_feed_forward, layer.feed_forward)
    if model.config.norm == "pre":
        _set_norm(spec.layer_norm, model.norm)
    spec.projection.weight = array(model.output.weight)  # (V, D)


def _set_embedding(spec: Any, positions: Any, embedding: Embedding) -> None:
    spec.weight = array(embedding.token.weight)  # (V, D), multiplied by sqrt(D) at lookup, as in our model
    positions.encodings = array(embedding.position)  # (length, D)


def _set_linears(spec: Any, around: Residual, *linears: nn.Linear) -> None:
    """Set the projections of an attention, packed in the same order on both sides, and its norm."""
    _set_norm(spec.layer_norm, around.norm)
    for of, linear in zip(spec.linear, linears, strict=True):
        of.weight, of.bias = array(linear.weight), array(linear.bias)


def _set_feed_forward(spec: Any, around: Residual, layer: FeedForward) -> None:
    _set_norm(spec.layer_norm, around.norm)
    for of, linear in ((spec.linear_0, layer.inner), (spec.linear_1, layer.outer)):
        of.weight, of.bias = array(linear.weight), array(linear.bias)


def _set_norm(spec: Any, norm: nn.Module) -> None:
    assert isinstance(norm, nn.LayerNorm)
    spec.gamma, spec.beta = array(norm.weight), array(norm.bias)


def array(tensor: Tensor) -> np.ndarray:
    """Convert a tensor to a float32 array."""
    return tensor.detach().cpu().float().numpy()
