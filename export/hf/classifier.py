"""Encoder checkpoints with a classification head, as modules whose encoder is ours: BERT and its relatives.

BERT (Devlin et al. 2019), RoBERTa and XLM-RoBERTa (Liu et al. 2019, Conneau et al. 2020), ELECTRA (Clark et al. 2020)
and DistilBERT (Sanh et al. 2019) have the same post-norm layers. They differ in the names of their weights, in the
number of their first position, and in the head over the first token.

Shapes: B rows, S source length, D model width.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from export.graphs.spec import GraphSpec, classifier_spec
from export.graphs.transformer import encode_flat
from export.hf.checkpoint import HfCheckpoint, ImportRefused
from export.hf.weights import Weights
from training.config import TransformerConfig
from training.models.transformer import Embedding, Encoder, EncoderLayer

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


class SummedEmbedding(nn.Module):
    """Ids (B, S) -> normalised sum of token, position and (constant) segment embeddings, projected to (B, S, D)."""

    def __init__(self, vocabulary: int, positions: int, width: int, projected: int | None, epsilon: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.register_buffer("position", torch.zeros(positions, width))
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.projection = nn.Identity() if projected is None else nn.Linear(width, projected)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token(ids) + self.get_buffer("position")[: ids.size(1)]  # (B, S, width)
        return cast(Tensor, self.projection(self.norm(x)))


class HfClassifier(nn.Module):
    """Ids (B, S), lengths (B,) -> logits (B, labels), from the vector of the first token."""

    def __init__(
        self, encoder: Encoder, labels: int, config: TransformerConfig, activation: nn.Module, multi_label: bool
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.multi_label = encoder, config, multi_label
        self.dense = nn.Linear(config.width, config.width)
        self.activation = activation
        self.output = nn.Linear(config.width, labels)

    def head(self, encoded: Tensor) -> Tensor:
        """Encoded texts (B, S, D) -> logits (B, labels)."""
        return cast(Tensor, self.output(self.activation(self.dense(encoded[:, 0]))))

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        return self.head(self.encoder(source, lengths))


class HfClassify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels); with several labels a text, each by itself."""

    def __init__(self, model: HfClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoded = encode_flat(self.model.encoder, source, source_length).view(*source.shape, -1)  # (B, S, D)
        logits = self.model.head(encoded)
        return [logits.sigmoid() if self.model.multi_label else logits.softmax(-1)]


def classifier_graphs(model: HfClassifier) -> dict[str, GraphSpec]:
    """Return the graph of an imported classifier."""
    return classifier_spec(HfClassify(model), model.config.max_source_length)


def labels_of(checkpoint: HfCheckpoint) -> list[str]:
    """Return the labels in the order of the logits.

    Raises:
        ImportRefused: they are not two or more different names.
    """
    table: dict[str, Any] = checkpoint.config.get("id2label") or {}
    labels = [str(label) for _, label in sorted(table.items(), key=lambda item: int(item[0]))]
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ImportRefused(
            f"{checkpoint.path}: id2label names {labels}; a classifier needs two or more labels of different names"
        )
    return labels


def build_classifier(checkpoint: HfCheckpoint) -> HfClassifier:
    """Return a checkpoint of one of `FAMILIES` as a classifier with our encoder.

    Raises:
        ImportRefused: the configuration asks for something that our graphs do not have, or weights are missing.
    """
    family, weights = FAMILIES[checkpoint.model_type], Weights(checkpoint)
    config = _config(checkpoint, family)
    epsilon = float(checkpoint.get("layer_norm_eps", 1e-12))
    width = int(checkpoint.get("embedding_size", config.width)) if checkpoint.model_type == "electra" else config.width
    embedding = SummedEmbedding(
        int(checkpoint.get("vocab_size")), config.max_source_length, width,
        config.width if width != config.width else None, epsilon,
    )  # fmt: skip
    encoder = Encoder(config, cast(Embedding, embedding))
    problem = checkpoint.config.get("problem_type")
    if problem not in (None, "single_label_classification", "multi_label_classification"):
        raise ImportRefused(f"{checkpoint.path}: problem_type is {problem!r}; only classification can be imported")
    model = HfClassifier(
        encoder, len(labels_of(checkpoint)), config, family.head_activation(), problem == "multi_label_classification"
    )
    with torch.no_grad():
        _copy_embedding(embedding, weights, family, _first_position(checkpoint, family))
        for i, layer in enumerate(encoder.layers):
            _copy_layer(cast(EncoderLayer, layer), weights, f"{family.encoder}.{family.layers}.{i}", family, epsilon)
        weights.copy_module(model.dense, family.dense)
        weights.copy_module(model.output, family.output)
    return model.eval()


def _config(checkpoint: HfCheckpoint, family: Family) -> TransformerConfig:
    get, keys = checkpoint.get, family.keys
    activation = str(get(keys["activation"]))
    problems = []
    if activation not in ("relu", "gelu"):  # gelu by the error function: other GELUs differ in the third digit
        problems.append(f"{keys['activation']} is {activation!r}; relu and gelu can be imported")
    if (kind := get("position_embedding_type", "absolute")) != "absolute":
        problems.append(f"position_embedding_type is {kind!r}; only absolute positions can be imported")
    if get("is_decoder", False):
        problems.append("is_decoder is set; only encoders can be imported")
    if problems:
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    heads = int(get(keys["heads"]))
    config = TransformerConfig(
        width=int(get(keys["width"])), heads=heads, kv_heads=heads, feed_forward=int(get(keys["feed_forward"])),
        encoder_layers=int(get(keys["layers"])), norm="post", activation=activation,  # type: ignore[arg-type]
        dropout=0.0, pooling="first",
        max_source_length=int(get("max_position_embeddings")) - _first_position(checkpoint, family),
    )  # fmt: skip
    if problems := config.find_problems():
        raise ImportRefused(f"{checkpoint.path}: " + "; ".join(problems))
    return config


def _first_position(checkpoint: HfCheckpoint, family: Family) -> int:
    if family.first_position is not None:
        return family.first_position
    return int(checkpoint.get("pad_token_id")) + 1


def _copy_embedding(embedding: SummedEmbedding, weights: Weights, family: Family, first: int) -> None:
    name = f"{family.encoder}.embeddings"
    weights.copy(embedding.token.weight, f"{name}.word_embeddings.weight")
    position = embedding.get_buffer("position")
    position.copy_(weights.get(f"{name}.position_embeddings.weight")[first : first + len(position)])
    segment = f"{name}.token_type_embeddings.weight"
    if weights.has(segment):  # all tokens of a single text are of segment 0
        position += weights.get(segment)[0]
    weights.copy_module(embedding.norm, f"{name}.LayerNorm")
    weights.copy_module(embedding.projection, f"{family.encoder}.embeddings_project")


def _copy_layer(layer: EncoderLayer, weights: Weights, name: str, family: Family, epsilon: float) -> None:
    names = {part: f"{name}.{of}" for part, of in family.layer.items()}
    weights.copy_module(layer.attention.query_key_value, names["query"], names["key"], names["value"])
    weights.copy_module(layer.attention.output, names["output"])
    weights.copy_module(layer.around_attention.norm, names["attention_norm"])
    weights.copy_module(layer.feed_forward.inner, names["inner"])
    weights.copy_module(layer.feed_forward.outer, names["outer"])
    weights.copy_module(layer.around_feed_forward.norm, names["norm"])
    layer.around_attention.norm.eps = layer.around_feed_forward.norm.eps = epsilon
