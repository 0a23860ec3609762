"""The model families, and the builders that choose one by the recipe."""

from typing import Protocol, runtime_checkable

from training.config import ModelConfig, NgramsConfig, RecurrentConfig, TransformerConfig
from training.models.classifier import Classifier
from training.models.ngrams import NgramClassifier
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.models.transformer import Transformer

Translator = Transformer | RecurrentTranslator
TextClassifier = Classifier | RecurrentClassifier | NgramClassifier


@runtime_checkable
class ScheduledModel(Protocol):
    """A model that changes during training."""

    def set_progress(self, progress: float) -> None:
        """Called before each update with the finished share of the training, from 0 to 1."""


def build_translator(config: ModelConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> Translator:
    """Return a translator with initial weights; `joint`: source and target share one vocabulary.

    Raises:
        TypeError: the family has no translator.
    """
    match config:
        case TransformerConfig():
            return Transformer(config, source_vocabulary, target_vocabulary, joint)
        case RecurrentConfig():
            return RecurrentTranslator(config, source_vocabulary, target_vocabulary, joint)
    raise TypeError(f"architecture {config.architecture} only classifies")


def build_classifier(config: ModelConfig, vocabulary: int, labels: int, multi_label: bool = False) -> TextClassifier:
    """Return a classifier with initial weights; `multi_label`: a text can have several labels."""
    model: TextClassifier
    match config:
        case TransformerConfig():
            model = Classifier(config, vocabulary, labels)
        case RecurrentConfig():
            model = RecurrentClassifier(config, vocabulary, labels)
        case NgramsConfig():
            model = NgramClassifier(config, vocabulary, labels)
    model.multi_label = multi_label
    return model
