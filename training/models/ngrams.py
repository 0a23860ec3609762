"""A text classifier without layers: the mean of the vectors of a text's n-grams, one linear map to the labels.

"Bag of tricks" (Joulin et al. 2016, arXiv:1607.01759), its n-grams hashed into a table of a fixed size as in Bojanowski
et al. 2017 (arXiv:1607.04606). It learns in minutes what larger models need hours for, where words or spellings tell
the label: topics, sentiments, languages.

Shapes: B texts, S tokens, N the order, D width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from training.config import NgramsConfig
from training.data.tokenizer import PAD
from training.models.classifier import mean_of_tokens
from training.models.dropout import Dropout

MODULUS = 2**31 - 1  # a prime, so that products of two numbers below it fit 64 bits
FACTOR = 1_103_515_245  # large, so that already the second token takes products around the modulus


class Table(nn.Embedding):
    """Vectors of tokens and, behind them, of buckets that n-grams share: most of the model's weights."""


def ngram_rows(source: Tensor, order: int, vocabulary: int, buckets: int) -> list[Tensor]:
    """Ids (B, S) -> for each length up to `order` the rows (B, S) of the table of the n-grams that begin at a token.

    A single token has a row of its own. Behind the end of a text are padding marks, in a batch or not: an n-gram with
    some of them is one that ends the text.
    """
    length = source.size(1)
    padded = F.pad(source, (0, order - 1), value=PAD)  # (B, S+N-1)
    rows, hashed = [source], source
    for k in range(1, order):
        hashed = (hashed * FACTOR + padded[:, k : k + length] + 1) % MODULUS
        rows.append(vocabulary + hashed % buckets)
    return rows


class NgramClassifier(nn.Module):
    """Ids (B, S) with lengths (B,) -> logits (B, labels)."""

    def __init__(self, config: NgramsConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.table = Table(vocabulary + config.buckets, config.width)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        nn.init.normal_(self.table.weight, std=0.1)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        return self.output(mean_of_tokens(self.sums(source), lengths))  # (B, labels)

    def sums(self, source: Tensor) -> Tensor:
        """For each token (B, S) the sum (B, S, D) of the vectors of the n-grams that begin there.

        While training, whole n-grams are left out, so that no label hangs on one of them.
        """
        rows = ngram_rows(source, self.config.order, self.vocabulary, self.config.buckets)
        total = self._vectors(rows[0])
        for one in rows[1:]:
            total = total + self._vectors(one)
        return total

    def _vectors(self, rows: Tensor) -> Tensor:
        vectors: Tensor = self.table(rows)  # (B, S, D)
        if not self.training:
            return vectors
        return vectors * self.dropout(vectors.new_ones(*rows.shape, 1))
