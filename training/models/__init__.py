"""Model families. `build` is the one place that knows their names."""

from torch import nn

from training.config import ModelConfig
from training.models.classifier import Classifier
from training.models.transformer import Transformer


def build_translator(config: ModelConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> Transformer:
    """A translator with fresh weights; `joint` says that source and target share one vocabulary."""
    return Transformer(config, source_vocabulary, target_vocabulary, joint)


def build_classifier(config: ModelConfig, vocabulary: int, labels: int) -> nn.Module:
    """A classifier with fresh weights."""
    return Classifier(config, vocabulary, labels)
