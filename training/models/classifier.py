"""A text classifier: the Transformer's encoder, one pooled vector per text, one linear map to the labels."""

from torch import Tensor, nn

from training.config import TransformerConfig
from training.models.attention import padding_mask
from training.models.dropout import Dropout
from training.models.transformer import Embedding, Encoder, initialise


def mean_pool(encoded: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over each text's tokens, without padding: (B, S, D), lengths (B,) -> (B, D)."""
    mask = padding_mask(lengths, encoded.size(1))[:, 0].to(encoded.dtype)  # (B, 1, S)
    return (mask @ encoded)[:, 0] / lengths[:, None]  # (B, D)


def label_probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Return the probabilities of the labels (B, labels): together 1, or with `multi_label` each from 0 to 1."""
    return logits.sigmoid() if multi_label else logits.softmax(-1)


class Classifier(nn.Module):
    """Ids (B, S), lengths (B,) -> logits (B, labels), from the mean of all tokens or from the first."""

    multi_label = False  # whether a text can have several labels

    def __init__(self, config: TransformerConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, Embedding(config, vocabulary, config.max_source_length))
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        self.apply(initialise)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        encoded = self.encoder(source, lengths)  # (B, S, D)
        pooled = encoded[:, 0] if self.config.pooling == "first" else mean_pool(encoded, lengths)  # (B, D)
        return self.output(self.dropout(pooled))  # (B, labels)
