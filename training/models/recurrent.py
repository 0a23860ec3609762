"""Recurrent models, from the cell's equations up, in the order in which the data meets them.

A translator is an encoder whose last states become a decoder's first (Sutskever et al. 2014). With attention the
decoder also looks back at every encoder state; without, all it knows of the source is that one vector.

Shapes: B rows, S source length, T target length, D model width, V vocabulary. The surface is that of
training/models/transformer.py; of the state, `source_lengths`, `memory_key` and `memory_value` never change, and
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
from training.models.classifier import mean_of_tokens
from training.models.dropout import Dropout
from training.models.transformer import State, initialise

Cells = tuple[Tensor, ...]  # what a layer remembers: hidden state and, for an LSTM, cell; each (B, D)
# How the decoder looks at the source is decided by the caller, as in training/models/attention.py.
Look = Callable[[Tensor], Tensor]  # query (B, D) -> context (B, D)


def rnn(x: Tensor, h: Tensor, cells: Cells) -> Cells:
    """h' = tanh(x + h), where x = W x and h = U h of the equation (Elman 1990)."""
    return ((x + h).tanh(),)


def gru(x: Tensor, h: Tensor, cells: Cells) -> Cells:
    """Gates choose between the old state and a new one that sees a reset share of the old (Cho et al. 2014)."""
    x_reset, x_keep, x_new = x.chunk(3, dim=-1)  # each (B, D)
    h_reset, h_keep, h_new = h.chunk(3, dim=-1)
    keep = (x_keep + h_keep).sigmoid()
    new = (x_new + (x_reset + h_reset).sigmoid() * h_new).tanh()
    return (keep * cells[0] + (1 - keep) * new,)


def lstm(x: Tensor, h: Tensor, cells: Cells) -> Cells:
    """Gates write to, keep and read a cell that is only ever added to (Hochreiter and Schmidhuber 1997; Gers 2000)."""
    write, keep, new, read = (x + h).chunk(4, dim=-1)  # each (B, D)
    cell = keep.sigmoid() * cells[1] + write.sigmoid() * new.tanh()
    return read.sigmoid() * cell.tanh(), cell


@dataclass(frozen=True)
class Kind:
    """A recurrent architecture: torch's layer of it for whole sequences, and its equations for one step.

    Both order their gates alike, and `gates` are stacked in one matrix.
    """

    layer: Callable[..., nn.RNNBase]
    equations: Callable[[Tensor, Tensor, Cells], Cells]
    gates: int
    cells: tuple[str, ...]


KINDS = {
    "rnn": Kind(nn.RNN, rnn, 1, ("hidden",)),
    "gru": Kind(nn.GRU, gru, 3, ("hidden",)),
    "lstm": Kind(nn.LSTM, lstm, 4, ("hidden", "cell")),
}


class Words(nn.Module):
    """Token embeddings: ids (...) -> (..., D). A recurrent model knows the order without positions."""

    def __init__(self, config: RecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width)
        self.token = nn.Embedding(vocabulary, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.token(ids) * self.scale)


class RecurrentEncoder(nn.Module):
    """Source ids (B, S) with lengths (B,) -> every state of the top layer (B, S, D), zero on padding; the last (B, D).

    With two directions each has half the width; the last state is then that of the last token in reading order and
    that of the first token in reverse order, side by side (Schuster and Paliwal 1997).
    """

    def __init__(self, config: RecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        width, both = config.width, config.bidirectional
        layer = KINDS[config.architecture].layer
        self.embedding = Words(config, vocabulary)
        self.layers = nn.ModuleList(
            layer(width, width // 2 if both else width, batch_first=True, bidirectional=both)
            for _ in range(config.encoder_layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        # Packed, a row ends where its tokens end, in either direction: it never meets its padding.
        x = pack_padded_sequence(self.embedding(source), lengths.cpu(), batch_first=True, enforce_sorted=False)
        last: Tensor | Cells = ()
        for i, layer in enumerate(self.layers):
            between = PackedSequence(self.dropout(x.data), *x[1:]) if i else x
            # Without autocast: cuDNN's layers would take float16 for bf16, in which small gradients vanish.
            with torch.autocast(source.device.type, enabled=False):
                x, last = layer(between)
        hidden = last[0] if isinstance(last, tuple) else last  # (directions, B, D/directions)
        encoded, _ = pad_packed_sequence(x, batch_first=True, total_length=source.size(1))  # (B, S, D)
        return encoded, hidden.transpose(0, 1).flatten(1)  # (B, S, D), (B, D)


class Cell(nn.Module):
    """One step of one layer: input (B, I) and what it remembers -> what it remembers then, its output (B, D) first."""

    def __init__(self, kind: Kind, inputs: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.input = nn.Linear(inputs, kind.gates * width)
        self.recurrent = nn.Linear(width, kind.gates * width)

    def forward(self, x: Tensor, cells: Cells) -> Cells:
        # In float32 under bf16 autocast too: a cell sums over the whole sequence.
        return self.kind.equations(self.input(x).float(), self.recurrent(cells[0]).float(), cells)


class Additive(nn.Module):
    """score = v . tanh(W query + U state) (Bahdanau et al. 2015, appendix A.1.2); U state is the key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width, bias=False)
        self.query = nn.Linear(width, width)
        self.energy = nn.Linear(width, 1, bias=False)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return self.energy((self.query(query)[:, None] + key).tanh())[..., 0]  # (B, S)


class Multiplicative(nn.Module):
    """score = query . W state (Luong et al. 2015, "general"); W state is the key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return (key @ query[..., None])[..., 0]  # (B, S)


ATTENTIONS: dict[str, type[Additive] | type[Multiplicative]] = {
    "additive": Additive,
    "multiplicative": Multiplicative,
}


class RecurrentTranslator(nn.Module):
    """Encoder, decoder and the output projection.

    After the cells of a step the top one looks at the source; what it saw and what it is give the feature, which is
    also fed to the next step, so that the decoder knows where it has looked (Luong et al. 2015, section 3.3).
    """

    def __init__(self, config: RecurrentConfig, source_vocabulary: int, target_vocabulary: int, joint: bool) -> None:
        super().__init__()
        self.config = config
        self.kind = KINDS[config.architecture]
        self.sampling_rate = 0.0  # the share of the decoder's inputs that it wrote itself; see `set_progress`
        width, count = config.width, config.decoder_layers
        self.encoder = RecurrentEncoder(config, source_vocabulary)
        self.embedding = Words(config, target_vocabulary)
        self.attention = ATTENTIONS[config.attention](width) if config.attention != "none" else None
        self.merge = nn.Linear(2 * width, width) if self.attention else None
        inputs = [2 * width if self.attention else width] + (count - 1) * [width]
        self.layers = nn.ModuleList(Cell(self.kind, size, width) for size in inputs)
        self.cell_names = [f"{part}_{i}" for i in range(count) for part in self.kind.cells]
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
        """Source ids (B, S), lengths (B,) -> the state before the first step."""
        encoded, last = self.encoder(source, lengths)  # (B, S, D), (B, D)
        cells = self.bridge(last).tanh().chunk(len(self.cell_names), dim=-1)  # each (B, D)
        state: State = {"source_lengths": lengths, **dict(zip(self.cell_names, cells, strict=True))}
        if self.attention:
            state |= {"memory_key": self.attention.key(encoded), "memory_value": encoded}
            state["feed"] = torch.zeros_like(last)
        return state

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """The last target token of every row (B,) -> logits of the next (B, V), and the state after it."""
        features, state = self.advance(self.embedding(token), state, self.look(state))
        return self.output(features), state

    def features(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Target ids (B, T), shifted right by one, -> what is projected to logits (B, T, D)."""
        state = self.encode(source, lengths)
        return self.decode(target, state, self.look(state))

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        return self.output(self.features(source, lengths, target))  # (B, T, V)

    def decode(self, target: Tensor, state: State, look: Look | None) -> Tensor:
        """Teacher forcing: the given words go in, but for the share that scheduled sampling replaces."""
        embedded = self.embedding(target)  # (B, T, D)
        sampling = self.training and self.sampling_rate > 0
        own = torch.rand(target.shape, device=target.device) < self.sampling_rate if sampling else None  # (B, T)
        features: list[Tensor] = []
        for t in range(target.size(1)):
            x = embedded[:, t]  # (B, D)
            if t and own is not None:
                x = torch.where(own[:, t, None], self.embedding(self._best(features[-1])), x)
            feature, state = self.advance(x, state, look)
            features.append(feature)
        return torch.stack(features, dim=1)  # (B, T, D)

    @torch.no_grad()
    def _best(self, features: Tensor) -> Tensor:
        return self.output(features).argmax(-1)  # (B,)

    def advance(self, x: Tensor, state: State, look: Look | None) -> tuple[Tensor, State]:
        """Embedded words (B, D) -> features (B, D) and the state after them."""
        following = dict(state)
        if look:
            x = torch.cat([x, state["feed"]], dim=-1)  # (B, 2D)
        for i, layer in enumerate(self.layers):
            names = [f"{part}_{i}" for part in self.kind.cells]
            cells = layer(self.dropout(x) if i else x, tuple(state[name] for name in names))
            following |= zip(names, cells, strict=True)
            x = cells[0]  # (B, D)
        if look and self.merge is not None:
            x = self.merge(torch.cat([look(x), x], dim=-1)).tanh()  # (B, D)
            following["feed"] = x
        return self.dropout(x), following

    def look(self, state: State) -> Look | None:
        """Look at the source that the state holds; None without attention."""
        if not self.attention:
            return None
        value = state["memory_value"]  # (B, S, D)
        return lambda query: (self.weights(query, state)[:, None] @ value)[:, 0]  # (B, D)

    def weights(self, query: Tensor, state: State) -> Tensor:
        """How much of its look goes where: query (B, D) -> (B, S), rows summing to 1, nothing on padding."""
        assert self.attention is not None
        scores = self.attention(query, state["memory_key"])  # (B, S)
        mask = padding_mask(state["source_lengths"], scores.size(1))[:, 0, 0]  # (B, S)
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)


class RecurrentClassifier(nn.Module):
    """Ids (B, S) with lengths (B,) -> logits (B, labels), from the last state or the mean over all states."""

    def __init__(self, config: RecurrentConfig, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config, vocabulary)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)
        self.apply(initialise_recurrent)

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        encoded, last = self.encoder(source, lengths)  # (B, S, D), (B, D)
        pooled = last if self.config.pooling == "last" else mean_of_tokens(encoded, lengths)  # (B, D)
        return self.output(self.dropout(pooled))  # (B, labels)


def initialise_recurrent(module: nn.Module) -> None:
    """As the Transformer, but recurrent maps orthogonal, gate by gate, so that a state neither grows nor fades, and an
    LSTM's gate open that keeps its cell (Jozefowicz et al. 2015)."""
    initialise(module)
    if isinstance(module, Cell):
        _initialise_gates(module.input.weight, module.recurrent.weight, module.input.bias)
    if isinstance(module, nn.RNNBase):
        for ending in ("", "_reverse") if module.bidirectional else ("",):
            names = (f"weight_ih_l0{ending}", f"weight_hh_l0{ending}", f"bias_ih_l0{ending}")
            _initialise_gates(*(module.get_parameter(name) for name in names))
            nn.init.zeros_(module.get_parameter(f"bias_hh_l0{ending}"))


@torch.no_grad()
def _initialise_gates(of_input: Tensor, of_state: Tensor, bias: Tensor) -> None:
    width = of_state.size(1)
    for gate in of_input.split(width):
        nn.init.xavier_uniform_(gate)
    for gate in of_state.split(width):
        nn.init.orthogonal_(gate)
    bias.zero_()
    if len(of_state) == 4 * width:  # an LSTM
        bias[width : 2 * width] = 1
