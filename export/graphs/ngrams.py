"""A trained bag of n-grams as an ONNX graph, with the names of export/graphs/transformer.py: the model's own
operators, but for
the mean, whose bits must not depend on padding."""

import torch
from torch import Tensor, nn

from export.graphs.transformer import Axes, GraphSource, mean_of_real_tokens, source_inputs
from training.models.ngrams import NgramClassifier


class Classify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: NgramClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        pooled = mean_of_real_tokens(self.model.sums(source), source_length)  # (B, D)
        return [self.model.output(pooled).softmax(-1)]


def classifier_graphs(model: NgramClassifier) -> dict[str, GraphSource]:
    """The graph of a classifier."""
    b, s = torch.export.Dim("B"), torch.export.Dim("S", max=model.config.max_source_length)
    axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    return {"classify": GraphSource(Classify(model), source_inputs(), axes, ["probability"])}
