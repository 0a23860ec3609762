"""The chunked loss equals the textbook loss."""

import pytest
import torch
import torch.nn.functional as F

from tests.training.toys import REVERSE
from training.config import TransformerConfig
from training.data.batching import Batch
from training.data.tokenizer import PAD
from training.loss import CHUNK, TrainingLoss, linear_cross_entropy
from training.models import build_classifier, build_translator


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("count", [1, CHUNK, 2 * CHUNK + 77])
def test_loss_and_gradients_equal_those_of_torch(count: int, smoothing: float) -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(count, 16, requires_grad=True), torch.randn(40, 16, requires_grad=True)
    labels = torch.randint(40, (count,))
    expected = F.cross_entropy(features @ weight.T, labels, label_smoothing=smoothing, reduction="sum")
    expected_gradients = torch.autograd.grad(expected / 3, (features, weight))
    loss = linear_cross_entropy(features, weight, labels, smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss / 3, (features, weight)), expected_gradients, rtol=1e-4, atol=1e-5
    )


def test_bf16_loss_and_gradients_are_close_to_float32() -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(700, 64, requires_grad=True), torch.randn(90, 64, requires_grad=True)
    labels = torch.randint(90, (700,))
    expected = F.cross_entropy(features @ weight.T, labels, label_smoothing=0.1, reduction="sum")
    expected_gradients = torch.autograd.grad(expected, (features, weight))
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(features, weight, labels, 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)
    for gradient, reference in zip(torch.autograd.grad(loss, (features, weight)), expected_gradients, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - reference).norm() < 0.02 * reference.norm()


def test_loss_is_finite_when_probability_underflows() -> None:
    features = torch.tensor([[500.0]], requires_grad=True)
    loss = linear_cross_entropy(features, torch.tensor([[1.0], [-1.0]]), torch.tensor([1]), 0.0)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, features)[0]).all()


def test_translation_loss_ignores_padding() -> None:
    torch.manual_seed(0)
    model = build_translator(TransformerConfig(**{**REVERSE["model"], "dropout": 0.0}), 20, 30, joint=False)
    labels = torch.tensor([[5, 6, 7], [8, PAD, PAD]])
    batch = Batch(torch.randint(4, 20, (2, 4)), torch.tensor([4, 2]), labels, torch.randint(4, 30, (2, 3)))
    logits = model(batch.source, batch.lengths, batch.target).flatten(0, 1)
    expected = F.cross_entropy(logits, labels.flatten(), ignore_index=PAD, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(TrainingLoss(model, 0.1)(batch), expected)


def test_classification_loss_equals_that_of_torch() -> None:
    torch.manual_seed(0)
    model = build_classifier(TransformerConfig(**{**REVERSE["model"], "dropout": 0.0}), 20, labels=3)
    batch = Batch(torch.randint(4, 20, (2, 4)), torch.tensor([4, 2]), torch.tensor([2, 0]))
    logits = model(batch.source, batch.lengths)
    expected = F.cross_entropy(logits, batch.labels, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(TrainingLoss(model, 0.1)(batch), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_of_several_labels_is_binary_for_each(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 4), torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)

    class Fixed(torch.nn.Module):
        def forward(self, source: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return logits

    batch = Batch(torch.ones(3, 2, dtype=torch.int64), torch.tensor([2, 2, 2]), labels)
    target = torch.where(labels, 1 - smoothing / 2, smoothing / 2)
    expected = -(target * logits.sigmoid().log() + (1 - target) * (1 - logits.sigmoid()).log()).sum()
    torch.testing.assert_close(TrainingLoss(Fixed(), smoothing)(batch), expected)
    assert batch.tokens == 3
