"""The recurrent models: against torch's cells, the papers' formulas, and their own steps."""

import itertools
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.models.test_transformer import LENGTHS, padded_source, some_target
from training.config import RecurrentConfig
from training.models import ScheduledModel, build_classifier, build_translator
from training.models.recurrent import (
    CELL_TYPES,
    AdditiveAttention,
    MultiplicativeAttention,
    RecurrentCell,
    RecurrentTranslator,
)
from training.runs.run import RunFolder

SHAPES: list[dict[str, Any]] = [
    {"architecture": architecture, "attention": attention}
    for architecture, attention in itertools.product(CELL_TYPES, ("additive", "multiplicative", "none"))
] + [
    {"bidirectional": False, "encoder_layers": 1, "decoder_layers": 3},
    {"joint": False, "attention": "none", "decoder_layers": 1},
    {"joint": False, "tied_embeddings": False, "encoder_layers": 3},
]  # fmt: skip


def configured(**changes: Any) -> RecurrentConfig:
    shape = {"architecture": "lstm", "width": 32, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.3}
    return RecurrentConfig(**{**shape, **changes})


def translator(joint: bool = True, **changes: Any) -> RecurrentTranslator:
    """Return a translator with random parameters, biases included, so that an unused one is noticed."""
    torch.manual_seed(0)
    model = build_translator(configured(**changes), 20, 20 if joint else 30, joint).eval()
    assert isinstance(model, RecurrentTranslator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "cell"), [("rnn", nn.RNNCell), ("gru", nn.GRUCell), ("lstm", nn.LSTMCell)])
def test_cells_equal_those_of_torch(name: str, cell: Any) -> None:
    torch.manual_seed(0)
    own, reference = RecurrentCell(CELL_TYPES[name], 12, 8), cell(12, 8)
    with torch.no_grad():
        reference.weight_ih.copy_(own.input.weight)
        reference.weight_hh.copy_(own.recurrent.weight)
        reference.bias_ih.copy_(own.input.bias)
        reference.bias_hh.copy_(own.recurrent.bias)
    x, cells = torch.randn(3, 12), tuple(torch.randn(3, 8) for _ in CELL_TYPES[name].state)
    expected = reference(x, cells if name == "lstm" else cells[0])
    for one, other in zip(own(x, cells), expected if name == "lstm" else [expected], strict=True):
        close(one, other)


def test_additive_scores_equal_paper_formula() -> None:
    torch.manual_seed(0)
    attention, query, states = AdditiveAttention(4), torch.randn(2, 4), torch.randn(2, 3, 4)
    scores = attention(query, attention.key(states))
    w, b, u = attention.query.weight, attention.query.bias, attention.key.weight
    for row, state in itertools.product(range(2), range(3)):
        close(scores[row, state], attention.energy.weight[0] @ (w @ query[row] + b + u @ states[row, state]).tanh())


def test_multiplicative_scores_equal_paper_formula() -> None:
    torch.manual_seed(0)
    attention, query, states = MultiplicativeAttention(4), torch.randn(2, 4), torch.randn(2, 3, 4)
    scores = attention(query, attention.key(states))
    for row, state in itertools.product(range(2), range(3)):
        close(scores[row, state], query[row] @ attention.key.weight @ states[row, state])


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_attention_ignores_padding(kind: str) -> None:
    model = translator(attention=kind)
    state, query = model.encode(padded_source(extra=2), LENGTHS), torch.randn(3, 32)
    weights = model.attention_weights(query, state)
    close(weights.sum(1), torch.ones(3))
    for row, length in enumerate(LENGTHS.tolist()):
        assert (weights[row, :length] > 0).all()
        assert (weights[row, length:] == 0).all()
        attend: Any = model.attend_source(state)
        close(attend(query)[row], weights[row] @ state["memory_value"][row])


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_and_other_rows_do_not_change_output(shape: dict[str, Any]) -> None:
    model, target = translator(**shape), some_target()
    logits = model(padded_source(), LENGTHS, target)
    assert logits.shape == (3, 9, 20 if shape.get("joint", True) else 30)
    close(model(padded_source(extra=5), LENGTHS, target), logits)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = padded_source()[row : row + 1, :length], LENGTHS[row : row + 1]
        close(model(*alone, target[row : row + 1])[0], logits[row])


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_give_logits_of_teacher_forcing(shape: dict[str, Any]) -> None:
    model, target = translator(**shape), some_target()
    logits = model(padded_source(), LENGTHS, target)
    first = state = model.encode(padded_source(), LENGTHS)
    for position in range(target.size(1)):
        before = {name: tensor.clone() for name, tensor in state.items()}
        stepped, following = model.step(target[:, position], state)
        close(stepped, logits[:, position])
        # A step does not change its input state: a beam may step from it again.
        assert all(torch.equal(state[name], before[name]) for name in before)
        state = following
    constant = {"source_lengths", "memory_key", "memory_value"} & state.keys()
    assert state.keys() == first.keys()
    for name, tensor in state.items():
        assert (tensor is first[name]) == (name in constant)
        assert name in constant or tensor.shape == (3, 32)


@pytest.mark.parametrize("shape", SHAPES)
def test_later_token_does_not_change_earlier_logits(shape: dict[str, Any]) -> None:
    model = translator(**shape)
    logits = model(padded_source(), LENGTHS, some_target())
    target = some_target()
    target[:, 5] = (target[:, 5] - 3) % 16 + 4
    again = model(padded_source(), LENGTHS, target)
    assert torch.equal(logits[:, :5], again[:, :5])
    assert not torch.allclose(logits[:, 5:], again[:, 5:])


def test_without_attention_state_is_one_vector_per_layer() -> None:
    model = translator(attention="none")
    state = model.encode(padded_source(), LENGTHS)
    assert state.keys() == {"source_lengths", "hidden_0", "cell_0", "hidden_1", "cell_1"}
    _, last = model.encoder(padded_source(), LENGTHS)
    close(torch.cat([state[name] for name in model.cell_names], dim=1), model.bridge(last).tanh())


def test_last_state_joins_both_directions() -> None:
    model = translator()
    encoded, last = model.encoder(padded_source(extra=2), LENGTHS)
    assert (encoded[1, 4:] == 0).all()
    for row, length in enumerate(LENGTHS.tolist()):
        close(last[row], torch.cat([encoded[row, length - 1, :16], encoded[row, 0, 16:]]))


@pytest.mark.parametrize(("tied", "joint"), [(True, True), (True, False), (False, True)])
def test_tied_and_joint_embeddings_are_shared(tied: bool, joint: bool) -> None:
    model = translator(joint, tied_embeddings=tied)
    assert (model.output.weight is model.embedding.token.weight) == tied
    assert (model.encoder.embedding.token.weight is model.embedding.token.weight) == (tied and joint)


@pytest.mark.parametrize("architecture", CELL_TYPES)
def test_initial_recurrent_weights_are_orthogonal(architecture: str) -> None:
    model: Any = build_translator(configured(architecture=architecture), 20, 20, joint=True)
    encoder, decoder = model.encoder.layers[1], model.layers[1]
    for weight in (encoder.weight_hh_l0, encoder.weight_hh_l0_reverse, decoder.recurrent.weight):
        for gate in weight.split(weight.size(1)):
            close(gate @ gate.T, torch.eye(weight.size(1)))
    for one, other in ((encoder.bias_ih_l0, encoder.bias_hh_l0), (decoder.input.bias, decoder.recurrent.bias)):
        keep = slice(len(one) // 4, len(one) // 2)  # an LSTM's gates: write, keep, new, read
        assert one[keep].sum() + other[keep].sum() == (len(one) // 4 if architecture == "lstm" else 0)
        assert one.sum() + other.sum() == one[keep].sum()


def test_scheduled_sampling_grows_with_training_progress() -> None:
    model = translator(scheduled_sampling=1.0, dropout=0.0)
    assert isinstance(model, ScheduledModel)
    source, target = padded_source(), some_target()
    given = model(source, LENGTHS, target)
    model.train()
    torch.testing.assert_close(model(source, LENGTHS, target), given)
    model.set_progress(0.5)
    assert model.sampling_rate == 0.5
    model.set_progress(1.0)
    own = model(source, LENGTHS, target)
    # With its own predictions only, it ignores all given tokens but the first: this is greedy decoding.
    state, token = model.encode(source, LENGTHS), target[:, 0]
    for position in range(target.size(1)):
        logits, state = model.step(token, state)
        close(own[:, position], logits)
        token = logits.argmax(-1)
    assert not torch.allclose(own, given)
    torch.testing.assert_close(model.eval()(source, LENGTHS, target), given)  # not in evaluation


@pytest.mark.parametrize("architecture", CELL_TYPES)
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_classifier_pools_without_padding(architecture: str, pooling: str) -> None:
    torch.manual_seed(0)
    model: Any = build_classifier(configured(architecture=architecture, pooling=pooling), 20, labels=5).eval()
    logits = model(padded_source(extra=2), LENGTHS)
    assert logits.shape == (3, 5)
    for row, length in enumerate(LENGTHS.tolist()):
        encoded, last = model.encoder(padded_source()[row : row + 1, :length], LENGTHS[row : row + 1])
        close(logits[row], model.output(encoded[0].mean(0) if pooling == "mean" else last[0]))


@pytest.mark.parametrize("architecture", CELL_TYPES)
def test_every_parameter_gets_a_gradient(architecture: str) -> None:
    model = translator(architecture=architecture, joint=False, tied_embeddings=False).train()
    model(padded_source(), LENGTHS, some_target()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_lstm_with_attention_learns_to_translate(toy_recurrent_run: RunFolder) -> None:
    report = json.loads(toy_recurrent_run.report.read_text())
    assert min(metrics["bleu"] for metrics in report["valid"].values()) > 80
