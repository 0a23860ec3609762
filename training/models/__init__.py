"""Model families. What builds them here is the one place that knows their names."""

from typing import Protocol, runtime_checkable

from training.config import ModelConfig
from training.models.classifier import Classifier
from training.models.ngrams import NgramClassifier
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.models.transformer import Transformer

Translator = Transformer | RecurrentTranslator
TextClassifier = Classifier | RecurrentClassifier | NgramClassifier
CLASSIFIERS: dict[str, type[TextClassifier]] = {
    "transformer": Classifier,
    "recurrent": RecurrentClassifier,
    "ngrams": NgramClassifier,
}


@runtime_checkable
class Scheduled(Protocol):
    """A model that trains differently as training goes on."""

    def schedule(self, done: float) -> None:
        """Before each update: training is `done`, from 0 to 1."""


def build_translator(config: ModelConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> Translator:
    """A translator with fresh weights; `joint` says that source and target share one vocabulary."""
    family = RecurrentTranslator if config.family == "recurrent" else Transformer
    return family(config, source_vocabulary, target_vocabulary, joint)


def build_classifier(config: ModelConfig, vocabulary: int, labels: int) -> TextClassifier:
    """A classifier with fresh weights."""
    return CLASSIFIERS[config.family](config, vocabulary, labels)
