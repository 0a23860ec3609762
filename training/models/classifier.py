"""A text classifier: the Transformer's encoder, one pooled vector a text, one linear map to the labels."""

from torch import Tensor, nn

from training.config import ModelConfig
from training.models.attention import padding_mask
from training.models.dropout import Dropout
from training.models.transformer import Embedding, Encoder, initialise


class Classifier(nn.Module):
    """Ids (B, S) with lengths (B,) -> logits (B, labels)."""

    def __init__(self, config: ModelConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, Embedding(config, vocabulary, config.max_source_length))
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        self.apply(initialise)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        encoded = self.encoder(source, lengths)  # (B, S, D)
        return self.output(self.dropout(self.pool(encoded, lengths)))  # (B, labels)

    def pool(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """Encoded text (B, S, D) -> (B, D): the mean of its real tokens, or its first token."""
        if self.config.pooling == "first":
            return encoded[:, 0]
        mask = padding_mask(lengths, encoded.size(1))[:, 0].to(encoded.dtype)  # (B, 1, S)
        return (mask @ encoded)[:, 0] / lengths[:, None]  # (B, D)
