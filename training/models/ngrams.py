"""A text classifier without layers: the mean of the embeddings of a text's n-grams and one linear map to the labels.

"Bag of tricks" (Joulin et al. 2016, arXiv:1607.01759), with n-grams hashed into a fixed number of buckets as in
Bojanowski et al. 2017 (arXiv:1607.04606). Where words or spellings decide the label (topics, sentiments, languages), it
learns in minutes what larger models need hours for.

Shapes: B texts, S tokens, N the order, D width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from training.config import NgramsConfig
from training.data.tokenizer import PAD
from training.models.classifier import mean_pool
from training.models.dropout import Dropout

MODULUS = 2**31 - 1  # a prime, so that products of two numbers below it fit 64 bits
FACTOR = 1_103_515_245  # large, so that the product exceeds the modulus from the second token on


class NgramEmbedding(nn.Embedding):
    """Embeddings of single tokens, followed by those of the hash buckets: most of the model's weights."""


def ngram_rows(source: Tensor, order: int, vocabulary: int, buckets: int) -> list[Tensor]:
    """Ids (B, S) -> for each n up to `order`, the embedding rows (B, S) of the n-grams that begin at each token.

    Each single token has a row of its own; longer n-grams share the buckets. Every text is followed by padding tokens,
    in a batch or alone, so an n-gram with padding tokens is one at the end of a text.
    """
    length = source.size(1)
    padded = F.pad(source, (0, order - 1), value=PAD)  # (B, S+N-1)
    rows, hashed = [source], source  # (B, S)
    for k in range(1, order):
        hashed = (hashed * FACTOR + padded[:, k : k + length] + 1) % MODULUS
        rows.append(vocabulary + hashed % buckets)
    return rows


class NgramClassifier(nn.Module):
    """Ids (B, S), lengths (B,) -> logits (B, labels)."""

    multi_label = False  # whether a text can have several labels

    def __init__(self, config: NgramsConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.table = NgramEmbedding(vocabulary + config.buckets, config.width)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        nn.init.normal_(self.table.weight, std=0.1)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        return self.output(mean_pool(self.sums(source), lengths))  # (B, labels)

    def sums(self, source: Tensor) -> Tensor:
        """Ids (B, S) -> for each token the sum (B, S, D) of the embeddings of the n-grams that begin there.

        In training, whole n-grams are dropped, so that no label depends on a single one.
        """
        rows = ngram_rows(source, self.config.order, self.vocabulary, self.config.buckets)
        total = self._embed(rows[0])  # (B, S, D)
        for ngrams in rows[1:]:
            total = total + self._embed(ngrams)
        return total

    def _embed(self, rows: Tensor) -> Tensor:
        embedded: Tensor = self.table(rows)  # (B, S, D)
        if not self.training:
            return embedded
        return embedded * self.dropout(embedded.new_ones(*rows.shape, 1))
