"""The metrics of an evaluation: BLEU and chrF by sacreBLEU, accuracy and F1. Shapes: N texts, L labels."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import nn

from training.data.batching import Ragged
from training.decoding.greedy import batches_by_length
from training.models.classifier import label_probabilities

Metrics = dict[str, float | str]


DECIDED = 0.5  # a text has a label, of several, from this probability on


@dataclass(frozen=True)
class Answers:
    """What a classifier answered; of texts that can have several labels, see `multi_label`."""

    labels: list[str]
    texts: list[str]
    expected: np.ndarray  # (N,) indices of labels; or (N, L), whether a text has a label
    probabilities: np.ndarray  # (N, L)

    @property
    def multi_label(self) -> bool:
        """Whether a text can have several labels."""
        return self.expected.ndim == 2

    @property
    def decided(self) -> np.ndarray:
        """Which labels a text gets, if it can have several: (N, L)."""
        found: np.ndarray = self.probabilities >= DECIDED
        return found

    @property
    def predicted(self) -> np.ndarray:
        """The most probable label of each text: (N,)."""
        found: np.ndarray = self.probabilities.argmax(-1)
        return found

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted label: (N,)."""
        found: np.ndarray = self.probabilities.max(-1)
        return found


@torch.inference_mode()
def class_probabilities(model: nn.Module, sources: list[list[int]], device: torch.device) -> np.ndarray:
    """Return the probabilities of the labels for each text: (N, labels)."""
    multi_label: bool = cast(Any, model).multi_label
    ragged = Ragged(sources)
    rows: dict[int, np.ndarray] = {}
    for indices in batches_by_length(ragged.lengths):
        source, lengths = (x.to(device) for x in ragged.padded(indices))
        probabilities = label_probabilities(model(source, lengths).float(), multi_label).cpu().numpy()
        rows.update(zip(indices.tolist(), probabilities, strict=True))
    return np.stack([rows[i] for i in range(len(sources))])


def translation_metrics(hypotheses: list[str], references: list[str]) -> Metrics:
    """Return corpus BLEU, cased and lower-cased, and chrF, with the signature of the cased BLEU."""
    cased, lowered, chrf = BLEU(), BLEU(lowercase=True), CHRF()
    return {
        "bleu": round(cased.corpus_score(hypotheses, [references]).score, 2),
        "bleu_lowercased": round(lowered.corpus_score(hypotheses, [references]).score, 2),
        "chrf": round(chrf.corpus_score(hypotheses, [references]).score, 2),
        "signature": str(cased.get_signature()),
    }


def classification_metrics(predicted: np.ndarray, expected: np.ndarray, classes: int) -> Metrics:
    """Return accuracy and macro-F1 in per cent; F1 skips a class that is neither expected nor predicted."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (expected, predicted), 1)
    correct, occurrences = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    f1 = 2 * correct[occurrences > 0] / occurrences[occurrences > 0]
    return {"accuracy": round(100 * correct.sum() / len(expected), 2), "macro_f1": round(100 * float(f1.mean()), 2)}


def multi_label_metrics(decided: np.ndarray, expected: np.ndarray) -> Metrics:
    """Return micro-F1, macro-F1 and exact matches in per cent, of which labels texts got and have: each (N, L).

    Macro-F1 skips a label that no text got or has; an exact match is a text with all its labels and no other.
    """
    right, occurrences = (decided & expected).sum(0), decided.sum(0) + expected.sum(0)
    f1 = 2 * right[occurrences > 0] / occurrences[occurrences > 0]
    return {
        "micro_f1": round(200 * right.sum() / max(1, occurrences.sum()), 2),
        "macro_f1": round(100 * float(f1.mean()), 2) if len(f1) else 0.0,
        "exact_match": round(100 * float((decided == expected).all(1).mean()), 2),
    }
