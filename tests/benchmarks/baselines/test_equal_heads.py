"""A model with grouped key-value heads and its conversion compute the same function."""

import pytest
import torch

from benchmarks.baselines.equal_heads import with_equal_heads
from training.config import TransformerConfig
from training.models.transformer import Transformer

SHAPE = {
    "width": 64, "heads": 4, "kv_heads": 4, "feed_forward": 48, "encoder_layers": 2, "decoder_layers": 2,
    "dropout": 0.1, "max_source_length": 16, "max_target_length": 16,
}  # fmt: skip


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("joint", [True, False])
def test_converted_model_computes_the_same(kv_heads: int, joint: bool) -> None:
    torch.manual_seed(3)
    model = Transformer(TransformerConfig.model_validate(SHAPE | {"kv_heads": kv_heads}), 30, 30, joint).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    wide = with_equal_heads(model)
    assert (wide.kv_heads, wide.training) == (4, False)
    assert (wide.encoder.embedding.token.weight is wide.embedding.token.weight) == joint
    source, target, lengths = torch.randint(4, 30, (3, 9)), torch.randint(4, 30, (3, 7)), torch.tensor([9, 4, 7])
    assert torch.allclose(wide(source, lengths, target), model(source, lengths, target), atol=1e-5)


def test_model_with_equal_heads_is_returned_unchanged() -> None:
    model = Transformer(TransformerConfig.model_validate(SHAPE), 30, 30, joint=True)
    assert with_equal_heads(model) is model
