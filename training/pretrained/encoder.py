"""Encoders of BERT and its relatives, with the layers and weights of our own Encoder.

BERT (Devlin et al. 2019), RoBERTa and XLM-RoBERTa (Liu et al. 2019, Conneau et al. 2020), ELECTRA (Clark et al. 2020)
and DistilBERT (Sanh et al. 2019) have the same post-norm layers. They differ in the names of their weights, in the
number of their first position, and in the head over the first token.

Shapes: S source length, D model width.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from training.config import TransformerConfig
from training.models.transformer import Encoder, EncoderLayer
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.weights import Weights

LAYER = {  # BERT's names
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense", "outer": "output.dense", "norm": "output.LayerNorm",
}  # fmt: skip
DISTILBERT_LAYER = {
    "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin", "output": "attention.out_lin",
    "attention_norm": "sa_layer_norm", "inner": "ffn.lin1", "outer": "ffn.lin2", "norm": "output_layer_norm",
}  # fmt: skip
KEYS = {  # of config.json
    "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "feed_forward": "intermediate_size", "activation": "hidden_act",
}  # fmt: skip
DISTILBERT_KEYS = {
    "width": "dim", "layers": "n_layers", "heads": "n_heads", "feed_forward": "hidden_dim", "activation": "activation",
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """The names of an architecture's weights and settings, and what its head computes."""

    encoder: str  # the encoder's weights begin with it
    layers: str  # of the encoder's layers
    dense: str  # the head's first linear map
    head_activation: type[nn.Module]
    output: str  # the head's second linear map
    layer: dict[str, str]
    keys: dict[str, str]
    first_position: int | None = 0  # None: the padding token's id plus 1


_BERT = Family("bert", "encoder.layer", "bert.pooler.dense", nn.Tanh, "classifier", LAYER, KEYS)
_ROBERTA = Family(
    "roberta", "encoder.layer", "classifier.dense", nn.Tanh, "classifier.out_proj", LAYER, KEYS, first_position=None
)
FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": Family("electra", "encoder.layer", "classifier.dense", nn.GELU, "classifier.out_proj", LAYER, KEYS),
    "distilbert": Family(
        "distilbert", "transformer.layer", "pre_classifier", nn.ReLU, "classifier", DISTILBERT_LAYER, DISTILBERT_KEYS
    ),
}


def encoder_config(checkpoint: HfCheckpoint, pooling: Literal["mean", "first"]) -> TransformerConfig:
    """Return the configuration of our Encoder for a checkpoint of one of `FAMILIES`, without dropout.

    Raises:
        ImportRefused: the checkpoint asks for something that our Encoder does not have.
    """
    family, get = FAMILIES[checkpoint.model_type], checkpoint.get
    keys, activation = family.keys, str(get(family.keys["activation"]))
    problems = []
    if activation not in ("relu", "gelu"):  # gelu by the error function: other GELUs differ in the third digit
        problems.append(f"{keys['activation']} is {activation!r}; relu and gelu can be imported")
    if (kind := get("position_embedding_type", "absolute")) != "absolute":
        problems.append(f"position_embedding_type is {kind!r}; only absolute positions can be imported")
    if get("is_decoder", False):
        problems.append("is_decoder is set; only encoders can be imported")
    if problems:
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    width, heads = int(get(keys["width"])), int(get(keys["heads"]))
    embedding = int(get("embedding_size", width)) if checkpoint.model_type == "electra" else width
    config = TransformerConfig(
        width=width, heads=heads, kv_heads=heads, feed_forward=int(get(keys["feed_forward"])),
        encoder_layers=int(get(keys["layers"])), norm="post", activation=activation,  # type: ignore[arg-type]
        norm_epsilon=float(get("layer_norm_eps", 1e-12)), positions="learned", embedding_norm=True,
        embedding_width=0 if embedding == width else embedding, dropout=0.0, pooling=pooling,
        max_source_length=int(get("max_position_embeddings")) - _first_position(checkpoint, family),
    )  # fmt: skip
    if problems := config.find_problems():
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    return config


def _first_position(checkpoint: HfCheckpoint, family: Family) -> int:
    if family.first_position is not None:
        return family.first_position
    return int(checkpoint.get("pad_token_id")) + 1


@torch.no_grad()
def load_encoder(encoder: Encoder, checkpoint: HfCheckpoint, weights: Weights) -> None:
    """Copy the weights of a checkpoint, with or without a head, into an encoder of its `encoder_config`.

    Raises:
        ImportRefused: weights are missing, or have another shape.
    """
    family = FAMILIES[checkpoint.model_type]
    prefix = f"{family.encoder}."
    if weights.has("embeddings.word_embeddings.weight"):  # of the encoder alone
        prefix = ""
    embedding, name = encoder.embedding, f"{prefix}embeddings"
    weights.copy(embedding.token.weight, f"{name}.word_embeddings.weight")
    first = _first_position(checkpoint, family)
    position = weights.get(f"{name}.position_embeddings.weight")[first : first + len(embedding.position)]
    segment = f"{name}.token_type_embeddings.weight"
    # All tokens of a single text are of segment 0, so its embedding is added to each position's.
    embedding.position.copy_(position + weights.get(segment)[0] if weights.has(segment) else position)
    weights.copy_module(embedding.norm, f"{name}.LayerNorm")
    weights.copy_module(embedding.projection, f"{prefix}embeddings_project")
    for i, layer in enumerate(encoder.layers):
        _copy_layer(cast(EncoderLayer, layer), weights, f"{prefix}{family.layers}.{i}", family)


def _copy_layer(layer: EncoderLayer, weights: Weights, name: str, family: Family) -> None:
    names = {part: f"{name}.{of}" for part, of in family.layer.items()}
    weights.copy_module(layer.attention.query_key_value, names["query"], names["key"], names["value"])
    weights.copy_module(layer.attention.output, names["output"])
    weights.copy_module(layer.around_attention.norm, names["attention_norm"])
    weights.copy_module(layer.feed_forward.inner, names["inner"])
    weights.copy_module(layer.feed_forward.outer, names["outer"])
    weights.copy_module(layer.around_feed_forward.norm, names["norm"])
