"""Greedy decoding in plain torch, and the published figures: BLEU and chrF by sacreBLEU, accuracy and macro-F1."""

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import nn

from training.data.batching import Ragged
from training.decoding.greedy import batches_by_length

Figures = dict[str, float | str]


@torch.inference_mode()
def class_probabilities(model: nn.Module, sources: list[list[int]], device: torch.device) -> np.ndarray:
    """The softmax over labels for each text: (N, labels)."""
    ragged = Ragged(sources)
    parts: dict[int, np.ndarray] = {}
    for indices in batches_by_length(ragged.lengths):
        source, lengths = (x.to(device) for x in ragged.padded(indices))
        probabilities = model(source, lengths).float().softmax(-1).cpu().numpy()
        parts.update(zip(indices.tolist(), probabilities, strict=True))
    return np.stack([parts[i] for i in range(len(sources))])


def translation_figures(hypotheses: list[str], references: list[str]) -> Figures:
    """Corpus BLEU, cased and lower-cased, and chrF, with the signature of the cased BLEU."""
    cased, lowered, chrf = BLEU(), BLEU(lowercase=True), CHRF()
    return {
        "bleu": round(cased.corpus_score(hypotheses, [references]).score, 2),
        "bleu_lowercased": round(lowered.corpus_score(hypotheses, [references]).score, 2),
        "chrf": round(chrf.corpus_score(hypotheses, [references]).score, 2),
        "signature": str(cased.get_signature()),
    }


def classification_figures(predicted: np.ndarray, expected: np.ndarray, classes: int) -> Figures:
    """Accuracy and macro-F1 in per cent; a class that is neither expected nor predicted does not count in F1."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (expected, predicted), 1)
    hits, seen = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    f1 = 2 * hits[seen > 0] / seen[seen > 0]
    return {"accuracy": round(100 * hits.sum() / len(expected), 2), "macro_f1": round(100 * float(f1.mean()), 2)}
