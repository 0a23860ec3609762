"""torch.nn.Transformer with this project's embeddings and model interface, so that this project's loop trains it.

Shapes: B rows, S source length, T target length, D model width, V vocabulary.
"""

import warnings

import torch
from torch import Tensor, nn

from training.config import TransformerConfig
from training.models.transformer import Embedding, State


class TorchTransformer(nn.Module):
    """nn.Transformer between this project's embeddings and a tied output projection."""

    def __init__(self, config: TransformerConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> None:
        super().__init__()
        self.config = config
        self.source = Embedding(config, source_vocabulary, config.max_source_length)
        self.embedding = Embedding(config, target_vocabulary, config.max_target_length)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pre-norm having no fast path for inference
            self.transformer = nn.Transformer(
                config.width, config.heads, config.encoder_layers, config.decoder_layers, config.feed_forward,
                config.dropout, config.activation, batch_first=True, norm_first=config.norm == "pre",
            )  # fmt: skip
        self.output = nn.Linear(config.width, target_vocabulary, bias=False)
        self.output.weight = self.embedding.token.weight
        if joint:
            self.source.token.weight = self.embedding.token.weight

    def encode(self, source: Tensor, lengths: Tensor) -> State:
        """Map source ids (B, S) and lengths (B,) to the state before the first step; there is no KV cache."""
        padding = torch.arange(source.size(1), device=source.device) >= lengths[:, None]  # (B, S)
        memory = self.transformer.encoder(self.source(source), src_key_padding_mask=padding)  # (B, S, D)
        return {"source_lengths": lengths, "padding": padding, "memory": memory, "written": source[:, :0]}

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Decode the whole prefix again; return the logits (B, V) of the last position."""
        written = torch.cat([state["written"], token[:, None]], dim=1)  # (B, T+1)
        return self.output(self._decode(written, state)[:, -1]), state | {"written": written}

    def features(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Teacher forcing: map target ids (B, T), shifted right by one, to decoder output (B, T, D)."""
        return self._decode(target, self.encode(source, lengths))

    def _decode(self, target: Tensor, state: State) -> Tensor:
        ahead = torch.ones(target.size(1), target.size(1), dtype=torch.bool, device=target.device).triu(1)
        return self.transformer.decoder(
            self.embedding(target), state["memory"], tgt_mask=ahead, tgt_is_causal=True,
            memory_key_padding_mask=state["padding"],
        )  # fmt: skip
