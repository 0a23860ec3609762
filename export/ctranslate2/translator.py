"""A Transformer of CTranslate2 as ours: linear maps of query, key and value are packed in both alike.

Shapes: D model width, V vocabulary.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from export.ctranslate2.model_file import SEQUENCE_TO_SEQUENCE, ModelFile
from training.config import TransformerConfig
from training.models.attention import SelfAttention
from training.models.transformer import DecoderLayer, Embedding, EncoderLayer, FeedForward, Residual, Transformer
from training.pretrained.checkpoint import ImportRefused

ACTIVATIONS = {0: "relu", 2: "silu", 3: "gelu"}  # of ctranslate2.specs.common_spec.Activation
LAYER, CROSS, FEED_FORWARD = "self_attention", "attention", "ffn"
MAX_LENGTH = 512  # tokens: OpenNMT stores 5,000 positions, of which it was trained on few
FOREIGN = {  # parts of the names of variables that our layers do not have, and what they are
    "relative_position": "relative positions", "relative_attention_bias": "relative position biases",
    "rotary": "rotary positions", "linear_0_noact": "gated feed-forward layers", "q_norm": "norms of queries and keys",
    "embeddings_1/": "several source embeddings", "project_in": "projected embeddings", "alibi_slopes": "ALiBi",
}  # fmt: skip


def translator_config(model: ModelFile, epsilon: float) -> TransformerConfig:
    """Return the configuration of our Transformer.

    Raises:
        ImportRefused: the model is no translator, or has something that our graphs do not have.
    """
    if model.spec != SEQUENCE_TO_SEQUENCE:
        raise ImportRefused(f"{model.path}: a model of the kind {model.spec}; only {SEQUENCE_TO_SEQUENCE} translates")
    problems = [what for part, what in FOREIGN.items() if any(part in name for name in model.variables)]
    if not model.has("encoder/position_encodings/encodings"):
        problems.append("positions that are not stored (OpenNMT-tf)")
    if any(name.endswith("layer_norm/gamma") and f"{name[:-5]}beta" not in model.variables for name in model.variables):
        problems.append("RMSNorm")
    activation = int(model.number("encoder/activation", "activation", default=0))
    if activation not in ACTIVATIONS:
        problems.append(f"the activation number {activation}")
    for setting in ("decoder/start_from_zero_embedding", "decoder/scale_outputs"):
        if model.number(setting, default=0):
            problems.append(setting.partition("/")[2])
    if problems:
        raise ImportRefused(f"{model.path}: has {', '.join(problems)}, which our graphs do not have")
    heads = int(model.number("encoder/num_heads", "num_heads"))
    positions = model.variables["encoder/position_encodings/encodings"].shape
    width = int(positions[1])
    tied = all(
        np.array_equal(model.variables[_embedding(model, "encoder")], model.variables[other])
        for other in (_embedding(model, "decoder"), "decoder/projection/weight")
    )
    length = min(MAX_LENGTH, int(positions[0]))
    config = TransformerConfig(
        width=width, heads=heads, kv_heads=heads,
        feed_forward=len(model.array("encoder/layer_0/ffn/linear_0/bias")),
        encoder_layers=_count(model, "encoder"), decoder_layers=_count(model, "decoder"),
        norm="pre" if model.number("encoder/pre_norm", "pre_norm", default=1) else "post",
        norm_epsilon=epsilon, embedding_norm=model.has("encoder/layernorm_embedding/gamma"), positions="learned",
        activation=ACTIVATIONS[activation],  # type: ignore[arg-type]
        tied_embeddings=tied, dropout=0.0, max_source_length=length, max_target_length=length,
    )  # fmt: skip
    if problems := config.find_problems():
        raise ImportRefused(f"{model.path}: " + "; ".join(problems))
    return config


def _count(model: ModelFile, side: str) -> int:
    count = 0
    while model.has(f"{side}/layer_{count}/{LAYER}/linear_0/weight"):
        count += 1
    return count


def _embedding(model: ModelFile, side: str) -> str:
    names = f"{side}/embeddings_0/weight", f"{side}/embeddings/weight"
    return names[0] if model.has(names[0]) else names[1]


def build_translator(model: ModelFile, config: TransformerConfig, vocabulary: int) -> Transformer:
    """Return the model as a Transformer.

    Raises:
        ImportRefused: variables are missing or have another shape, or do not fit the vocabulary.
    """
    size = len(model.array(_embedding(model, "encoder")))
    if size < vocabulary:
        raise ImportRefused(f"{model.path}: the embedding has {size} tokens, but the vocabulary {vocabulary}")
    found = Transformer(config, size, size, joint=True)
    found.output = nn.Linear(config.width, size)
    if config.tied_embeddings:
        found.output.weight = found.embedding.token.weight
    with torch.no_grad():
        for target, name in _parts(found):
            _copy(target, model, name)
        for side, embedding in (("encoder", found.encoder.embedding), ("decoder", found.embedding)):
            _copy_embedding(embedding, model, side)
        _copy(found.output.weight, model, "decoder/projection/weight")
        found.output.bias.zero_()
        if model.has("decoder/projection/bias"):
            _copy(found.output.bias, model, "decoder/projection/bias")
    return found.eval()


def _copy_embedding(embedding: Embedding, model: ModelFile, side: str) -> None:
    scale = model.number(f"{side}/scale_embeddings", f"{side}/embeddings/multiply_by_sqrt_depth", default=1.0)
    boolean = model.variables.get(f"{side}/scale_embeddings", np.zeros(1, np.int8)).dtype == np.int8
    embedding.scale = (embedding.token.weight.size(1) ** 0.5 if scale else 1.0) if boolean else scale
    _copy(embedding.token.weight, model, _embedding(model, side))
    positions = model.array(f"{side}/position_encodings/encodings")
    embedding.position.copy_(torch.from_numpy(positions[: len(embedding.position)]))
    if not isinstance(embedding.norm, nn.Identity):
        _copy_norm(embedding.norm, model, f"{side}/layernorm_embedding")


def _parts(model: Transformer) -> Iterator[tuple[Tensor, str]]:
    """Yield each parameter of the layers with the name of its variable."""
    for i, layer in enumerate(model.encoder.layers):
        assert isinstance(layer, EncoderLayer)
        parts = _own_parts(layer.attention, layer.around_attention, layer.feed_forward, layer.around_feed_forward)
        yield from _of_modules(parts, f"encoder/layer_{i}")
    for i, layer in enumerate(model.layers):
        assert isinstance(layer, DecoderLayer)
        parts = _own_parts(layer.self_attention, layer.around_self, layer.feed_forward, layer.around_feed_forward)
        cross = layer.cross_attention
        parts |= {
            f"{CROSS}/linear_0": cross.query, f"{CROSS}/linear_1": cross.key_value, f"{CROSS}/linear_2": cross.output,
            f"{CROSS}/layer_norm": layer.around_cross.norm,
        }  # fmt: skip
        yield from _of_modules(parts, f"decoder/layer_{i}")
    yield from _of_modules({"layer_norm": model.encoder.norm}, "encoder")
    yield from _of_modules({"layer_norm": model.norm}, "decoder")


def _own_parts(
    attention: SelfAttention, around_attention: Residual, feed_forward: FeedForward, around_feed_forward: Residual
) -> dict[str, nn.Module]:
    return {
        f"{LAYER}/linear_0": attention.query_key_value, f"{LAYER}/linear_1": attention.output,
        f"{LAYER}/layer_norm": around_attention.norm,
        f"{FEED_FORWARD}/linear_0": feed_forward.inner, f"{FEED_FORWARD}/linear_1": feed_forward.outer,
        f"{FEED_FORWARD}/layer_norm": around_feed_forward.norm,
    }  # fmt: skip


def _of_modules(modules: dict[str, nn.Module], name: str) -> Iterator[tuple[Tensor, str]]:
    for part, module in modules.items():
        yield from _of_module(module, f"{name}/{part}")


def _of_module(module: nn.Module, name: str) -> Iterator[tuple[Tensor, str]]:
    names = {"weight": "gamma", "bias": "beta"} if isinstance(module, nn.LayerNorm) else {}
    for kind, parameter in module.named_parameters():
        yield parameter, f"{name}/{names.get(kind, kind)}"


def _copy_norm(norm: nn.Module, model: ModelFile, name: str) -> None:
    for target, variable in _of_module(norm, name):
        _copy(target, model, variable)


def _copy(target: Tensor, model: ModelFile, name: str) -> None:
    """Copy a variable into a parameter.

    Raises:
        ImportRefused: it is missing, or its shape differs.
    """
    value = model.array(name)
    if value.shape != tuple(target.shape):
        raise ImportRefused(
            f"{model.path}: {name} has the shape {value.shape}; the model's sizes ask for {tuple(target.shape)}"
        )
    target.copy_(torch.from_numpy(value))
