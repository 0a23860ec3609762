"""Encoder checkpoints with a classification head, as modules whose encoder is ours: BERT and its relatives.

Shapes: B rows, S source length, D model width.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from export.graphs.packed_encoder import PackedSource, packed_classifier_spec
from export.graphs.spec import GraphSpec
from training.config import TransformerConfig
from training.models.classifier import label_probabilities
from training.models.transformer import Embedding, Encoder
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.encoder import FAMILIES, encoder_config, load_encoder
from training.pretrained.tokenizer import Frame
from training.pretrained.weights import Weights


class PairEmbedding(Embedding):
    """An embedding of pairs, whose second text has a segment of its own: whatever is behind the first separator."""

    def __init__(self, config: TransformerConfig, vocabulary: int, separator: int, segments: Tensor) -> None:
        super().__init__(config, vocabulary, config.max_source_length)
        self.separator = separator
        self.register_buffer("difference", segments[1] - segments[0])  # segment 0 is in the positions

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        separators = (ids == self.separator).long()  # (B, S)
        second = (separators.cumsum(1) - separators).clamp(max=1)  # (B, S)
        position = self.position[first : first + ids.size(1)]  # (S, D)
        return self.at(ids, position + second[..., None].to(position.dtype) * self.get_buffer("difference"))


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
    """A packed source -> probability (B, labels); with several labels a text, each by itself."""

    def __init__(self, model: HfClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor, pack_index: Tensor, unpack_index: Tensor) -> list[Tensor]:
        packed = PackedSource(source, source_length, pack_index, unpack_index)
        encoded = packed.restore_padding(packed.encode(self.model.encoder))  # (B, S, D)
        logits = self.model.head(encoded)
        return [label_probabilities(logits, self.model.multi_label)]


def classifier_graphs(model: HfClassifier) -> dict[str, GraphSpec]:
    """Return the graph of an imported classifier."""
    return packed_classifier_spec(HfClassify(model), model.config.max_source_length)


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


def check_problem(checkpoint: HfCheckpoint) -> str | None:
    """Return the kind of classification that a checkpoint names.

    Raises:
        ImportRefused: it is none.
    """
    problem: str | None = checkpoint.config.get("problem_type")
    if problem not in (None, "single_label_classification", "multi_label_classification"):
        raise ImportRefused(f"{checkpoint.path}: problem_type is {problem!r}; only classification can be imported")
    return problem


def build_classifier(checkpoint: HfCheckpoint, special: Frame) -> HfClassifier:
    """Return a checkpoint of one of `FAMILIES` as a classifier with our encoder.

    Raises:
        ImportRefused: the configuration asks for something that our graphs do not have, or weights are missing.
    """
    family, config = FAMILIES[checkpoint.model_type], encoder_config(checkpoint, "first")
    problem = check_problem(checkpoint)
    weights, vocabulary = Weights(checkpoint), int(checkpoint.get("vocab_size"))
    segments = f"{family.encoder}.embeddings.token_type_embeddings.weight"
    embedding = Embedding(config, vocabulary, config.max_source_length)
    if special.separator and special.typed and weights.has(segments) and len(weights.get(segments)) > 1:
        embedding = PairEmbedding(config, vocabulary, special.separator[0], weights.get(segments))
    model = HfClassifier(
        Encoder(config, embedding), len(labels_of(checkpoint)), config, family.head_activation(),
        problem == "multi_label_classification",
    )  # fmt: skip
    load_encoder(model.encoder, checkpoint, weights)
    with torch.no_grad():
        weights.copy_module(model.dense, family.dense)
        weights.copy_module(model.output, family.output)
    return model.eval()
