"""Recurrent models, from the cell's equations up, in the order in which the data meets them.

In a translator the last states of the encoder initialise the decoder (Sutskever et al. 2014). With attention the
decoder also reads every encoder state; without, that one vector is all it has of the source.

Shapes: B rows, S source length, T target length, D model width, V vocabulary. The interface is that of
training/models/transformer.py. In the state, `source_lengths`, `memory_key` and `memory_value` never change, and
`hidden_i`, `cell_i` (LSTM) and `feed` (with attention), all (B, D), are replaced at every step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from training.config import RecurrentConfig
from training.models.attention import padding_mask
from training.models.classifier import mean_pool
from training.models.dropout import Dropout
from training.models.transformer import State, initialise

CellState = tuple[Tensor, ...]  # of one layer: hidden state and, for an LSTM, cell; each (B, D)
# The caller decides how the decoder attends to the source, as in training/models/attention.py.
AttendSource = Callable[[Tensor], Tensor]  # query (B, D) -> context (B, D)


def rnn(x: Tensor, h: Tensor, state: CellState) -> CellState:
    """Return h' = tanh(W x + U h), given W x and U h, as in all cells here (Elman 1990)."""
    return ((x + h).tanh(),)


def gru(x: Tensor, h: Tensor, state: CellState) -> CellState:
    """Mix the old state with a candidate that is computed from a reset share of the old state (Cho et al. 2014)."""
    x_reset, x_keep, x_new = x.chunk(3, dim=-1)  # each (B, D)
    h_reset, h_keep, h_new = h.chunk(3, dim=-1)
    keep = (x_keep + h_keep).sigmoid()
    new = (x_new + (x_reset + h_reset).sigmoid() * h_new).tanh()
    return (keep * state[0] + (1 - keep) * new,)


def lstm(x: Tensor, h: Tensor, state: CellState) -> CellState:
    """Write to, keep and read an additive cell, each by a gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""
    write, keep, new, read = (x + h).chunk(4, dim=-1)  # each (B, D)
    cell = keep.sigmoid() * state[1] + write.sigmoid() * new.tanh()
    return read.sigmoid() * cell.tanh(), cell


@dataclass(frozen=True)
class CellType:
    """A recurrent architecture: torch's layer for whole sequences, and the equations for one step.

    Both have the same order of gates; `gates` of them are stacked in one matrix. `state` names the tensors of a layer.
    """

    layer: Callable[..., nn.RNNBase]
    equations: Callable[[Tensor, Tensor, CellState], CellState]
    gates: int
    state: tuple[str, ...]


CELL_TYPES = {
    "rnn": CellType(nn.RNN, rnn, 1, ("hidden",)),
    "gru": CellType(nn.GRU, gru, 3, ("hidden",)),
    "lstm": CellType(nn.LSTM, lstm, 4, ("hidden", "cell")),
}


class TokenEmbedding(nn.Module):
    """Token embeddings: ids (...) -> (..., D). A recurrent model needs no position embeddings."""

    def __init__(self, config: RecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width)
        self.token = nn.Embedding(vocabulary, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.token(ids) * self.scale)  # (..., D)


class RecurrentEncoder(nn.Module):
    """Source ids (B, S), lengths (B,) -> all states of the top layer (B, S, D), zero on padding; last state (B, D).

    With two directions each has half the width. The last state is then the forward state of the last token and the
    backward state of the first token, concatenated (Schuster and Paliwal 1997).
    """

    def __init__(self, config: RecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        width, both = config.width, config.bidirectional
        layer = CELL_TYPES[config.architecture].layer
        self.embedding = TokenEmbedding(config, vocabulary)
        self.layers = nn.ModuleList(
            layer(width, width // 2 if both else width, batch_first=True, bidirectional=both)
            for _ in range(config.encoder_layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        # In a packed sequence each row ends with its last token, so neither direction reads padding.
        x = pack_padded_sequence(self.embedding(source), lengths.cpu(), batch_first=True, enforce_sorted=False)
        last: Tensor | CellState = ()
        for i, layer in enumerate(self.layers):
            between = PackedSequence(self.dropout(x.data), *x[1:]) if i else x
            # No autocast: cuDNN's layers would use float16 instead of bf16, in which small gradients vanish.
            with torch.autocast(source.device.type, enabled=False):
                x, last = layer(between)
        hidden = last[0] if isinstance(last, tuple) else last  # (directions, B, D/directions)
        encoded, _ = pad_packed_sequence(x, batch_first=True, total_length=source.size(1))  # (B, S, D)
        return encoded, hidden.transpose(0, 1).flatten(1)  # (B, S, D), (B, D)


class RecurrentCell(nn.Module):
    """One step of one layer: input (B, I) and state -> new state, whose first tensor (B, D) is the output."""

    def __init__(self, cell_type: CellType, inputs: int, width: int) -> None:
        super().__init__()
        self.cell_type = cell_type
        self.input = nn.Linear(inputs, cell_type.gates * width)
        self.recurrent = nn.Linear(width, cell_type.gates * width)

    def forward(self, x: Tensor, state: CellState) -> CellState:
        # In float32 even under bf16 autocast, because a cell accumulates over the whole sequence.
        x, h = self.input(x).float(), self.recurrent(state[0]).float()  # each (B, gates*D)
        return self.cell_type.equations(x, h, state)  # each (B, D)


class AdditiveAttention(nn.Module):
    """score = v . tanh(W query + U state) (Bahdanau et al. 2015, appendix A.1.2); U state is the key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width, bias=False)
        self.query = nn.Linear(width, width)
        self.energy = nn.Linear(width, 1, bias=False)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return self.energy((self.query(query)[:, None] + key).tanh())[..., 0]  # (B, S)


class MultiplicativeAttention(nn.Module):
    """score = query . W state (Luong et al. 2015, "general"); W state is the key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return (key @ query[..., None])[..., 0]  # (B, S)


ATTENTIONS: dict[str, type[AdditiveAttention] | type[MultiplicativeAttention]] = {
    "additive": AdditiveAttention,
    "multiplicative": MultiplicativeAttention,
}


class RecurrentTranslator(nn.Module):
    """Encoder, decoder and output projection.

    With attention, the top cell's output is the query. Context and query together give the feature, which is also fed
    into the next step, so that the decoder knows what it has attended to (Luong et al. 2015, section 3.3).
    """

    def __init__(self, config: RecurrentConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> None:
        super().__init__()
        self.config = config
        self.cell_type = CELL_TYPES[config.architecture]
        self.sampling_rate = 0.0  # share of the decoder's inputs that are its own predictions; see `set_progress`
        width, count = config.width, config.decoder_layers
        self.encoder = RecurrentEncoder(config, source_vocabulary)
        self.embedding = TokenEmbedding(config, target_vocabulary)
        self.attention = ATTENTIONS[config.attention](width) if config.attention != "none" else None
        self.merge = nn.Linear(2 * width, width) if self.attention else None
        inputs = [2 * width if self.attention else width] + (count - 1) * [width]
        self.layers = nn.ModuleList(RecurrentCell(self.cell_type, size, width) for size in inputs)
        self.cell_names = [f"{part}_{i}" for i in range(count) for part in self.cell_type.state]
        self.bridge = nn.Linear(width, len(self.cell_names) * width)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(width, target_vocabulary, bias=False)
        self.apply(initialise_recurrent)
        if config.tied_embeddings:
            self.output.weight = self.embedding.token.weight
            if joint:
                self.encoder.embedding.token.weight = self.embedding.token.weight

    def set_progress(self, progress: float) -> None:
        """Scheduled sampling (Bengio et al. 2015): feed more own predictions as `progress` grows from 0 to 1."""
        self.sampling_rate = self.config.scheduled_sampling * progress

    def encode(self, source: Tensor, lengths: Tensor) -> State:
        """Source ids (B, S), lengths (B,) -> state before the first step."""
        encoded, last = self.encoder(source, lengths)  # (B, S, D), (B, D)
        initial = self.bridge(last).tanh().chunk(len(self.cell_names), dim=-1)  # each (B, D)
        state: State = {"source_lengths": lengths, **dict(zip(self.cell_names, initial, strict=True))}
        if self.attention:
            state |= {"memory_key": self.attention.key(encoded), "memory_value": encoded}
            state["feed"] = torch.zeros_like(last)
        return state

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Last target token of each row (B,), state -> logits of the next token (B, V), state after it."""
        features, state = self.step_features(self.embedding(token), state, self.attend_source(state))  # (B, D)
        return self.output(features), state  # (B, V)

    def features(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Target ids (B, T), shifted right by one -> features (B, T, D), which `output` projects to logits."""
        state = self.encode(source, lengths)
        return self.decode(target, state, self.attend_source(state))  # (B, T, D)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        return self.output(self.features(source, lengths, target))  # (B, T, V)

    def decode(self, target: Tensor, state: State, attend: AttendSource | None) -> Tensor:
        """Teacher forcing on target ids (B, T) -> features (B, T, D); scheduled sampling replaces some of the ids."""
        embedded = self.embedding(target)  # (B, T, D)
        sampling = self.training and self.sampling_rate > 0
        replaced = torch.rand(target.shape, device=target.device) < self.sampling_rate if sampling else None  # (B, T)
        features: list[Tensor] = []
        for t in range(target.size(1)):
            x = embedded[:, t]  # (B, D)
            if t and replaced is not None:
                x = torch.where(replaced[:, t, None], self.embedding(self._predict(features[-1])), x)  # (B, D)
            feature, state = self.step_features(x, state, attend)  # (B, D)
            features.append(feature)
        return torch.stack(features, dim=1)  # (B, T, D)

    @torch.no_grad()
    def _predict(self, features: Tensor) -> Tensor:
        return self.output(features).argmax(-1)  # (B,)

    def step_features(self, x: Tensor, state: State, attend: AttendSource | None) -> tuple[Tensor, State]:
        """Embedded tokens (B, D), state -> features (B, D), state after them."""
        new_state = dict(state)
        if attend:
            x = torch.cat([x, state["feed"]], dim=-1)  # (B, 2D)
        for i, layer in enumerate(self.layers):
            names = [f"{part}_{i}" for part in self.cell_type.state]
            cell_state = layer(self.dropout(x) if i else x, tuple(state[name] for name in names))
            new_state |= zip(names, cell_state, strict=True)
            x = cell_state[0]  # (B, D)
        if attend and self.merge is not None:
            x = self.merge(torch.cat([attend(x), x], dim=-1)).tanh()  # (B, D)
            new_state["feed"] = x
        return self.dropout(x), new_state

    def attend_source(self, state: State) -> AttendSource | None:
        """Return attention to the encoded source in `state`; None if the model has no attention."""
        if not self.attention:
            return None
        value = state["memory_value"]  # (B, S, D)
        return lambda query: (self.attention_weights(query, state)[:, None] @ value)[:, 0]  # (B, D)

    def attention_weights(self, query: Tensor, state: State) -> Tensor:
        """Query (B, D) -> weights over the source (B, S); rows sum to 1, padding has weight 0."""
        assert self.attention is not None
        scores = self.attention(query, state["memory_key"])  # (B, S)
        mask = padding_mask(state["source_lengths"], scores.size(1))[:, 0, 0]  # (B, S)
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)


class RecurrentClassifier(nn.Module):
    """Ids (B, S), lengths (B,) -> logits (B, labels), from the last state or the mean of all states."""

    multi_label = False  # whether a text can have several labels

    def __init__(self, config: RecurrentConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config, vocabulary)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        self.apply(initialise_recurrent)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        encoded, last = self.encoder(source, lengths)  # (B, S, D), (B, D)
        pooled = last if self.config.pooling == "last" else mean_pool(encoded, lengths)  # (B, D)
        return self.output(self.dropout(pooled))  # (B, labels)


def initialise_recurrent(module: nn.Module) -> None:
    """Initialise as the Transformer does, except for recurrent weights: orthogonal for each gate, so that states keep
    their norm, and an LSTM's forget gate open (Jozefowicz et al. 2015)."""
    initialise(module)
    if isinstance(module, RecurrentCell):
        _initialise_gates(module.input.weight, module.recurrent.weight, module.input.bias)
    if isinstance(module, nn.RNNBase):
        for ending in ("", "_reverse") if module.bidirectional else ("",):
            names = (f"weight_ih_l0{ending}", f"weight_hh_l0{ending}", f"bias_ih_l0{ending}")
            _initialise_gates(*(module.get_parameter(name) for name in names))
            nn.init.zeros_(module.get_parameter(f"bias_hh_l0{ending}"))


@torch.no_grad()
def _initialise_gates(input_weight: Tensor, recurrent_weight: Tensor, bias: Tensor) -> None:
    width = recurrent_weight.size(1)
    for gate in torch.split(input_weight, width):
        nn.init.xavier_uniform_(gate)  # (D, I)
    for gate in torch.split(recurrent_weight, width):
        nn.init.orthogonal_(gate)  # (D, D)
    bias.zero_()
    if len(recurrent_weight) == 4 * width:  # an LSTM
        bias[width : 2 * width] = 1
