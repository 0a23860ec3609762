"""The graphs of a trained recurrent model: encode, step and score of a translator, classify of a classifier.

service/artifact.py lists the names and shapes of their inputs and outputs. As with a Transformer, a row's result
depends on no padding and no neighbour, bit for bit. The encoder's layers are ONNX's own operators, which take a length
per row; the decoder's cells are the trained ones. Its attention is com.microsoft.GroupQueryAttention with one head: the
attention score is the operator's product of query and key (multiplicative), or its bias with a query of zeros
(additive).

Shapes: B rows, S source length, T target length, D width, V vocabulary.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from export.graphs.operators import FLOAT, group_query_attention, mean_of_real_tokens
from export.graphs.scan import repeat
from export.graphs.spec import Axes, GraphSpec, classifier_spec, source_inputs, step_inputs, target_inputs
from training.models.attention import padding_mask
from training.models.classifier import label_probabilities
from training.models.recurrent import (
    AdditiveAttention,
    AttendSource,
    RecurrentClassifier,
    RecurrentEncoder,
    RecurrentTranslator,
)
from training.models.transformer import State

MEMORY = ("memory_key", "memory_value")
GATES = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}  # ONNX's order of the gates, as indices into torch's
OPERATORS = {"rnn": "GRU", "gru": "GRU", "lstm": "LSTM"}
SATURATED = 100.0  # the sigmoid of it is 1 in float32, the sigmoid of its negative 0


class RecurrentLayer(nn.Module):
    """One layer of the encoder as one operator: x (S, B, I), source_length (B,) -> states (S, B, D), last state (B, D).

    A plain RNN becomes a GRU with constant gates, z = 0 and r = 1: onnxruntime's RNN does not prepack its weights, so
    the order of its additions depends on the other rows and on the number of threads.
    """

    input_weight: Tensor  # (directions, gates*H, I)
    state_weight: Tensor  # (directions, gates*H, H)
    bias: Tensor  # (directions, 2*gates*H)

    def __init__(self, layer: nn.RNNBase, architecture: str) -> None:
        super().__init__()
        endings = ("", "_reverse") if layer.bidirectional else ("",)
        self.name, self.width = OPERATORS[architecture], layer.hidden_size
        self.directions = len(endings)
        self.plain = architecture == "rnn"

        def stacked(*parts: str) -> Tensor:
            rows = [torch.cat([self._gates(layer.get_parameter(p + e), architecture) for p in parts]) for e in endings]
            return torch.stack(rows).detach()

        self.register_buffer("input_weight", stacked("weight_ih_l0"))
        self.register_buffer("state_weight", stacked("weight_hh_l0"))
        bias = stacked("bias_ih_l0", "bias_hh_l0")
        if self.plain:
            bias[:, : self.width], bias[:, self.width : 2 * self.width] = -SATURATED, SATURATED
        self.register_buffer("bias", bias)

    def _gates(self, parameter: Tensor, architecture: str) -> Tensor:
        """Return a parameter (gates*H, ...) with its gates in the operator's order."""
        gates = torch.split(parameter, self.width)
        ordered = [gates[i] for i in GATES[architecture]]
        if self.plain:
            ordered = [torch.zeros_like(gates[0])] * 2 + ordered
        return torch.cat(ordered)

    def forward(self, x: Tensor, source_length: Tensor) -> tuple[Tensor, Tensor]:
        length, rows = x.size(0), x.size(1)
        attributes: dict[str, Any] = {
            "hidden_size": self.width,
            "direction": "bidirectional" if self.directions == 2 else "forward",
        }
        if self.name == "GRU":
            attributes["linear_before_reset"] = 1
        shapes = [(length, self.directions, rows, self.width), (self.directions, rows, self.width)]
        states, last = torch.onnx.ops.symbolic_multi_out(
            f"::{self.name}", (x, self.input_weight, self.state_weight, self.bias, source_length), attributes,
            dtypes=(FLOAT,) * 2, shapes=shapes,
        )  # fmt: skip
        return states.transpose(1, 2).flatten(2), last.transpose(0, 1).flatten(1)  # (S, B, D), (B, D)


def encoder_parameters(
    tensors: dict[str, np.ndarray], encoder: RecurrentEncoder, architecture: str
) -> dict[str, np.ndarray]:
    """Return the parameters of an encoder's layers from a graph's constants: the inverse of `RecurrentLayer`."""
    parameters: dict[str, np.ndarray] = {}
    order = GATES[architecture]
    for i, layer in enumerate(cast(Iterable[nn.RNNBase], encoder.layers)):
        stacked = {part: tensors[f"layers.{i}.{part}"] for part in ("input_weight", "state_weight", "bias")}
        for direction, ending in enumerate(("", "_reverse") if layer.bidirectional else ("",)):
            halves = np.split(stacked["bias"][direction], 2)
            arrays = stacked["input_weight"][direction], stacked["state_weight"][direction], *halves
            for name, array in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), arrays, strict=True):
                gates = np.split(array, len(array) // layer.hidden_size)[-len(order) :]
                ordered = [gate for _, gate in sorted(zip(order, gates, strict=True), key=itemgetter(0))]
                parameters[f"layers.{i}.{name}_l0{ending}"] = np.concatenate(ordered)
    return parameters


class RecurrentLayers(nn.ModuleList):
    """The layers of an encoder: embedded source (B, S, D), source_length (B,) -> all states of the top layer (B, S, D),
    its last state (B, D)."""

    def __init__(self, encoder: RecurrentEncoder, architecture: str) -> None:
        super().__init__(RecurrentLayer(cast(nn.RNNBase, layer), architecture) for layer in encoder.layers)

    def forward(self, x: Tensor, source_length: Tensor) -> tuple[Tensor, Tensor]:
        x = x.transpose(0, 1)  # (S, B, D)
        for layer in self:
            x, last = layer(x, source_length)
        return x.transpose(0, 1), last


class RecurrentGraph(nn.Module):
    """Base of a translator's graphs; `replaced` names the states that every step replaces."""

    def __init__(self, model: RecurrentTranslator) -> None:
        super().__init__()
        self.model = model
        self.replaced = [*model.cell_names, *(["feed"] if model.attention else [])]


class RecurrentSourceGraph(RecurrentGraph):
    """Base of the graphs that encode the source."""

    def __init__(self, model: RecurrentTranslator) -> None:
        super().__init__(model)
        self.layers = RecurrentLayers(model.encoder, model.config.architecture)

    def initial_state(self, source: Tensor, source_length: Tensor) -> State:
        """Return the decoder's initial states (B, D) and, with attention, its memory of the source (B, 1, S, D)."""
        model = self.model
        encoded, last = self.layers(model.encoder.embedding(source), source_length)  # (B, S, D), (B, D)
        cells = model.bridge(last).tanh().chunk(len(model.cell_names), dim=-1)  # each (B, D)
        state = dict(zip(model.cell_names, cells, strict=True))
        if model.attention:
            state["feed"] = torch.zeros_like(last)
            # On a matrix, a linear map and its bias become one operator, Gemm.
            key = model.attention.key(encoded.flatten(0, 1)).view(encoded.shape)  # (B, S, D)
            state |= {"memory_key": key[:, None], "memory_value": encoded[:, None]}  # each (B, 1, S, D)
        return state


class RecurrentEncode(RecurrentSourceGraph):
    """source (B, S), source_length (B,) -> every state before the first step."""

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        return list(self.initial_state(source, source_length).values())


class RecurrentStep(RecurrentGraph):
    """token (B,), position (B,), source_length (B,), states -> logits (B, V), states after the token."""

    def __init__(self, model: RecurrentTranslator) -> None:
        super().__init__(model)
        self.names = [*self.replaced, *(MEMORY if model.attention else [])]

    def forward(self, token: Tensor, position: Tensor, source_length: Tensor, *states: Tensor) -> list[Tensor]:
        state = dict(zip(self.names, states, strict=True))
        presents: State = {}
        look = self._look(state, source_length, presents) if self.model.attention else None
        features, following = self.model.step_features(self.model.embedding(token), state, look)
        following |= presents
        return [self.model.output(features), *(following[name] for name in self.names)]

    def _look(self, state: State, source_length: Tensor, presents: State) -> AttendSource:
        key, value = (state[name] for name in MEMORY)  # (B, 1, S, D)
        total = torch.full((), key.size(2), dtype=torch.int32)
        attention = self.model.attention

        def look(query: Tensor) -> Tensor:
            product_query, bias = query, None
            if isinstance(attention, AdditiveAttention):
                product_query, bias = torch.zeros_like(query), self._scores(attention, query, key)
            # No new keys: the whole memory is "past", and present is the same buffer.
            nothing = query[:, None][:, :0]  # (B, 0, D)
            context, *present = group_query_attention(
                product_query[:, None], (nothing, nothing), (key, value), source_length - 1, total,
                heads=1, kv_heads=1, causal=False, scale=1.0, bias=bias,
            )  # fmt: skip
            presents.update(zip(MEMORY, present, strict=True))
            return context.squeeze(1)  # (B, D)

        return look

    def _scores(self, attention: AdditiveAttention, query: Tensor, key: Tensor) -> Tensor:
        """Return additive attention scores as a bias (B, 1, 1, S)."""
        sums = (attention.query(query)[:, None, None] + key).tanh()  # (B, 1, S, D)
        scores: Tensor = attention.energy(sums.flatten(0, 2)).view(key.size(0), 1, 1, key.size(2))
        return scores


class RecurrentScore(RecurrentSourceGraph):
    """Teacher forcing: source (B, S), target (B, T), label (B, T) -> log-probability of every label token (B, T) and,
    with attention, its weights (B, 1, T, S)."""

    def forward(self, source: Tensor, source_length: Tensor, target: Tensor, label: Tensor) -> list[Tensor]:
        model = self.model
        state = self.initial_state(source, source_length)
        constants = [state[name][:, 0] for name in MEMORY if name in state]  # each (B, S, D)
        if constants:
            constants.append(padding_mask(source_length, source.size(1))[:, 0, 0])  # (B, S)
        collected = [tuple(state["hidden_0"].shape)] + [tuple(source.shape)] * bool(constants)
        outputs = repeat([state[name] for name in self.replaced], target.T, constants, collected)
        features, *weights = outputs[len(self.replaced) :]  # (T, B, D), (T, B, S)
        logits = model.output(features.transpose(0, 1).flatten(0, 1))  # (B*T, V)
        chosen = logits.log_softmax(-1).gather(-1, label.flatten()[:, None])  # (B*T, 1)
        return [chosen.view(label.shape), *(w.transpose(0, 1)[:, None] for w in weights)]  # (B, T), (B, 1, T, S)


class RecurrentScoreBody(RecurrentGraph):
    """One iteration of the loop in `RecurrentScore`: states (B, D), token (B,), memory (B, S, D), mask (B, S)
    -> states, features (B, D) and, with attention, its weights (B, S)."""

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        count = len(self.replaced)
        state = dict(zip(self.replaced, tensors, strict=False))
        token, memory = tensors[count], tensors[count + 1 :]
        weights: list[Tensor] = []
        look = self._look(memory, weights) if memory else None
        features, following = self.model.step_features(self.model.embedding(token), state, look)
        # A name may be an output only once, and with attention the features are also a state.
        return [*(following[name] for name in self.replaced), features.clone(), *weights]

    def _look(self, memory: tuple[Tensor, ...], collected: list[Tensor]) -> AttendSource:
        key, value, mask = memory
        attention = self.model.attention
        assert attention is not None

        def look(query: Tensor) -> Tensor:
            scores: Tensor = attention(query, key)  # (B, S)
            weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
            collected.append(weights)
            return (weights[:, None] @ value)[:, 0]  # (B, D)

        return look


class RecurrentClassify(nn.Module):
    """source (B, S), source_length (B,) -> probability (B, labels)."""

    def __init__(self, model: RecurrentClassifier) -> None:
        super().__init__()
        self.model = model
        self.layers = RecurrentLayers(model.encoder, model.config.architecture)

    def forward(self, source: Tensor, source_length: Tensor) -> list[Tensor]:
        encoded, last = self.layers(self.model.encoder.embedding(source), source_length)  # (B, S, D), (B, D)
        pooled = last if self.model.config.pooling == "last" else mean_of_real_tokens(encoded, source_length)
        return [label_probabilities(self.model.output(pooled), self.model.multi_label)]


def translator_graphs(model: RecurrentTranslator) -> dict[str, GraphSpec]:
    """Return the graphs of a translator, `select` excepted."""
    batch, source, target, width = 3, 5, 7, model.config.width
    b = torch.export.Dim("B")
    s = torch.export.Dim("S", max=model.config.max_source_length)
    t = torch.export.Dim("T", max=model.config.max_target_length)
    source_axes: dict[str, Axes] = {"source": {0: b, 1: s}, "source_length": {0: b}}
    step = RecurrentStep(model)
    kinds = {name: "constant" if name in MEMORY else "replaced" for name in step.names}
    states = {n: torch.zeros((batch, 1, source, width) if n in MEMORY else (batch, width)) for n in step.names}
    state_axes: dict[str, Axes] = {name: {0: b, 2: s} if name in MEMORY else {0: b} for name in step.names}
    inputs = step_inputs(batch, source)
    return {
        "encode": GraphSpec(RecurrentEncode(model), source_inputs(batch, source), source_axes, step.names),
        "step": GraphSpec(
            step,
            inputs | states,
            {name: {0: b} for name in inputs} | state_axes,
            ["logits", *(f"{name}_out" for name in step.names)],
            kinds,
        ),
        "score": GraphSpec(
            RecurrentScore(model),
            source_inputs(batch, source) | target_inputs(batch, target),
            source_axes | {name: {0: b, 1: t} for name in ("target", "label")},
            ["log_probability", *(["cross_attention"] if model.attention else [])],
            loop_body=_score_body(model, states, b, s),
        ),
    }


def _score_body(model: RecurrentTranslator, states: dict[str, Tensor], b: Any, s: Any) -> GraphSpec:
    body = RecurrentScoreBody(model)
    inputs = {name: states[name] for name in body.replaced}
    batch = inputs["hidden_0"].size(0)
    inputs["token"] = torch.ones(batch, dtype=torch.int64)
    axes: dict[str, Axes] = {name: {0: b} for name in inputs}
    outputs = [*(f"{name}_out" for name in body.replaced), "features"]
    if model.attention:
        inputs |= {name: states[name][:, 0] for name in MEMORY}  # (B, S, D)
        inputs["mask"] = torch.ones(inputs["memory_key"].shape[:2], dtype=torch.bool)
        axes |= {name: {0: b, 1: s} for name in (*MEMORY, "mask")}
        outputs.append("weights")
    return GraphSpec(body, inputs, axes, outputs)


def classifier_graphs(model: RecurrentClassifier) -> dict[str, GraphSpec]:
    """Return the graph of a classifier."""
    return classifier_spec(RecurrentClassify(model), model.config.max_source_length)
