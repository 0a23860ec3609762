"""The graph of a trained n-gram classifier: the model's own operators, except for a mean that ignores padding."""

from torch import Tensor, nn

from export.graphs.operators import mean_of_real_tokens
from export.graphs.spec import GraphSpec, classifier_spec
from training.models.classifier import label_probabilities
from training.models.ngrams import NgramClassifier


class NgramClassify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: NgramClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        pooled = mean_of_real_tokens(self.model.sums(source), source_length)  # (B, D)
        return [label_probabilities(self.model.output(pooled), self.model.multi_label)]


def classifier_graphs(model: NgramClassifier) -> dict[str, GraphSpec]:
    """Return the graph of a classifier."""
    return classifier_spec(NgramClassify(model), model.config.max_source_length)
