"""The Transformer: against torch's layers, and its own steps, masks and padding."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.toys import REVERSE
from training.config import TransformerConfig
from training.models import build_classifier, build_translator
from training.models.attention import attend, causal_mask, merge_heads, padding_mask, split_heads
from training.models.dropout import Dropout
from training.models.transformer import sinusoidal_positions

LENGTHS = torch.tensor([7, 4, 1])
SHAPES: list[dict[str, Any]] = [
    {},
    {"norm": "post", "activation": "gelu"},
    {"positions": "learned", "kv_heads": 2},
    {"heads": 2, "kv_heads": 2, "tied_embeddings": False},
    {"joint": False},
    {"joint": False, "tied_embeddings": False, "encoder_layers": 1, "decoder_layers": 3},
]


def configured(**changes: Any) -> TransformerConfig:
    shape = {"width": 32, "heads": 4, "kv_heads": 1, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.3}
    return TransformerConfig(**{**REVERSE["model"], **shape, **changes})


def translator(joint: bool = True, **changes: Any) -> Any:
    """Return a translator with random parameters, biases and norms included, so that an unused one is noticed."""
    torch.manual_seed(0)
    model = build_translator(configured(**changes), 20, 20 if joint else 30, joint).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def padded_source(extra: int = 0) -> Tensor:
    """Return three sources of LENGTHS tokens; the padding, `extra` columns more, has tokens that must not matter."""
    generator = torch.Generator().manual_seed(1)
    real = torch.randint(4, 20, (3, 7), generator=generator)
    return torch.cat([real, torch.randint(4, 20, (3, extra))], dim=1)


def some_target() -> Tensor:
    return torch.randint(4, 20, (3, 9), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_attention_equals_that_of_torch(kv_heads: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 6, 5, 8), torch.randn(3, kv_heads, 7, 8), torch.randn(3, kv_heads, 7, 8)
    mask = padding_mask(LENGTHS, 7)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(attend(query, key, value, mask), merge_heads(expected))
    expected = F.scaled_dot_product_attention(query, key[:, :, :5], value[:, :, :5], is_causal=True, enable_gqa=True)
    causal = causal_mask(5, query.device)
    torch.testing.assert_close(attend(query, key[:, :, :5], value[:, :, :5], causal), merge_heads(expected))


def test_heads_split_the_width_in_order() -> None:
    x = torch.arange(12.0).view(1, 2, 6)
    assert split_heads(x, 3)[0, 1].tolist() == [[2, 3], [8, 9]]
    assert torch.equal(merge_heads(split_heads(x, 3)), x)


def test_sinusoidal_positions_equal_paper_formula() -> None:
    table = sinusoidal_positions(50, 8)
    for position, i in [(0, 0), (3, 0), (7, 1), (49, 3)]:
        angle = position / 10000 ** (2 * i / 8)
        assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def copy_into(reference: nn.Module, weights: dict[str, Tensor]) -> None:
    parameters = dict(reference.named_parameters())
    assert parameters.keys() == weights.keys()
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers_equal_those_of_torch(norm: str, activation: str) -> None:
    model = translator(norm=norm, activation=activation, kv_heads=4)
    source, target = torch.randn(3, 7, 32), torch.randn(3, 9, 32)
    kind: dict[str, Any] = {
        "dim_feedforward": 16,
        "activation": activation,
        "norm_first": norm == "pre",
        "dropout": 0.0,
    }
    layer: Any = model.encoder.layers[0]
    reference: nn.Module = nn.TransformerEncoderLayer(32, 4, batch_first=True, **kind)
    copy_into(reference, {
        **renamed("self_attn.in_proj_", layer.attention.query_key_value, "_"),
        **renamed("self_attn.out_proj.", layer.attention.output),
        **renamed("linear1.", layer.feed_forward.inner), **renamed("linear2.", layer.feed_forward.outer),
        **renamed("norm1.", layer.around_attention.norm), **renamed("norm2.", layer.around_feed_forward.norm),
    })  # fmt: skip
    padding = ~padding_mask(LENGTHS, 7)[:, 0, 0]
    encoded = layer(source, model.encoder.attend_masked(padding_mask(LENGTHS, 7)))
    torch.testing.assert_close(encoded, reference(source, src_key_padding_mask=padding), rtol=1e-4, atol=1e-5)

    layer = model.layers[0]
    reference = nn.TransformerDecoderLayer(32, 4, batch_first=True, **kind)
    cross = layer.cross_attention
    copy_into(reference, {
        **renamed("self_attn.in_proj_", layer.self_attention.query_key_value, "_"),
        **renamed("self_attn.out_proj.", layer.self_attention.output),
        "multihead_attn.in_proj_weight": torch.cat([cross.query.weight, cross.key_value.weight]),
        "multihead_attn.in_proj_bias": torch.cat([cross.query.bias, cross.key_value.bias]),
        **renamed("multihead_attn.out_proj.", cross.output),
        **renamed("linear1.", layer.feed_forward.inner), **renamed("linear2.", layer.feed_forward.outer),
        **renamed("norm1.", layer.around_self.norm), **renamed("norm2.", layer.around_cross.norm),
        **renamed("norm3.", layer.around_feed_forward.norm),
    })  # fmt: skip
    key, value = cross.memory(source)
    state = {"cross_key_0": key, "cross_value_0": value, "source_lengths": LENGTHS}
    causal = causal_mask(9, target.device)
    decoded = layer(target, model.encoder.attend_masked(causal), model.attend_source(state, 0))
    expected = reference(target, source, tgt_mask=~causal[0, 0], memory_key_padding_mask=padding)
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-5)


def renamed(prefix: str, module: nn.Module, joint: str = "") -> dict[str, Tensor]:
    """Return a module's weight and bias under torch's names."""
    return {prefix.removesuffix(joint) + joint + name: p.detach() for name, p in module.named_parameters()}


@pytest.mark.parametrize("shape", SHAPES)
def test_later_token_does_not_change_earlier_logits(shape: dict[str, Any]) -> None:
    model = translator(**shape)
    logits = model(padded_source(), LENGTHS, some_target())
    for position in (3, 8):
        target = some_target()
        target[:, position] = (target[:, position] - 3) % 16 + 4
        again = model(padded_source(), LENGTHS, target)
        assert torch.equal(logits[:, :position], again[:, :position])
        assert not torch.allclose(logits[:, position], again[:, position])


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_does_not_change_output(shape: dict[str, Any]) -> None:
    model, target = translator(**shape), some_target()
    encoded, logits = model.encoder(padded_source(), LENGTHS), model(padded_source(), LENGTHS, target)
    torch.testing.assert_close(model(padded_source(extra=5), LENGTHS, target), logits, rtol=1e-4, atol=1e-5)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = padded_source()[row : row + 1, :length], LENGTHS[row : row + 1]
        torch.testing.assert_close(model.encoder(*alone)[0], encoded[row, :length], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model(*alone, target[row : row + 1])[0], logits[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_give_logits_of_teacher_forcing(shape: dict[str, Any]) -> None:
    model, target = translator(**shape), some_target()
    logits = model(padded_source(), LENGTHS, target)
    state = model.encode(padded_source(), LENGTHS)
    for position in range(target.size(1)):
        before = {name: tensor.clone() for name, tensor in state.items()}
        stepped, following = model.step(target[:, position], state)
        torch.testing.assert_close(stepped, logits[:, position], rtol=1e-4, atol=1e-5)
        # A step does not change its input state: a beam may step from it again.
        assert all(torch.equal(state[name], before[name]) for name in before)
        state = following
    assert state["self_key_0"].shape == (3, model.config.kv_heads, 9, model.config.width // model.config.heads)


@pytest.mark.parametrize(("tied", "joint"), [(True, True), (True, False), (False, True)])
def test_tied_and_joint_embeddings_are_shared(tied: bool, joint: bool) -> None:
    model = translator(joint, tied_embeddings=tied)
    assert (model.output.weight is model.embedding.token.weight) == tied
    assert (model.encoder.embedding.token.weight is model.embedding.token.weight) == (tied and joint)
    assert model.encoder.embedding.token.weight.size(0) == 20
    assert model.output.weight.size(0) == (20 if joint else 30)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_classifier_pools_without_padding(pooling: str) -> None:
    torch.manual_seed(0)
    model = build_classifier(configured(pooling=pooling), 20, labels=5).eval()
    logits = model(padded_source(extra=2), LENGTHS)
    assert logits.shape == (3, 5)
    for row, length in enumerate(LENGTHS.tolist()):
        encoded = model.encoder(padded_source()[row : row + 1, :length], LENGTHS[row : row + 1])[0]  # type: ignore[operator]
        pooled = encoded.mean(0) if pooling == "mean" else encoded[0]
        torch.testing.assert_close(logits[row], model.output(pooled), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(p)
    dropped = dropout(torch.ones(999, 1001))
    share = min(round(p * 256), 255) / 256
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.003)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    assert torch.equal(dropout.eval()(dropped), dropped)
    # Eight mask bytes come from one draw, yet neighbours and rows are dropped independently.
    zero = (dropped == 0).float()
    assert (zero[:, 1:] * zero[:, :-1]).mean().item() == pytest.approx(share**2, abs=0.003)
    assert (zero[1:] * zero[:-1]).mean().item() == pytest.approx(share**2, abs=0.003)


def test_zero_dropout_is_the_identity() -> None:
    x = torch.ones(3)
    assert torch.equal(Dropout(0.0)(x), x)
    kept = Dropout(0.5)(x.requires_grad_())
    (slope,) = torch.autograd.grad(kept.sum(), x)
    assert torch.equal(slope, kept)  # the gradient passes the same mask with the same scale
