"""The decoder of one worker: the arrays of its running rows, and the graphs that read and write them.

The live rows are always a prefix. `token`, `position` and `source_length` are numpy arrays that the engine writes; all
other arrays belong to the decoder, which keeps them in the memory of this process (`HostDecoder`) or of a device
(`DeviceDecoder`).

Shapes: B rows of the running batch, N sources, V vocabulary.
"""

from typing import Protocol

import numpy as np

from service.engine.decoding.search import ArrayLogits, Candidates, Logits, SearchStep
from service.engine.models.graphs import TranslateGraphs
from service.engine.models.session import Arrays, BoundSession
from service.engine.models.state_pool import DecoderStatePool


class StatePool(Protocol):
    """The states of the running rows; the first `live_rows` are in use."""

    live_rows: int

    @property
    def bytes(self) -> int:
        """Memory of all states, in bytes."""


class Decoder(Protocol):
    """The arrays of the running rows, and the graphs that compute them."""

    @property
    def pool(self) -> StatePool:
        """The states of the rows."""

    token: np.ndarray  # (rows,) int64: read in the next step
    position: np.ndarray  # (rows,) int32: target tokens in the caches
    source_length: np.ndarray  # (rows,) int32

    def append(self, source: Arrays, copies: np.ndarray) -> None:
        """Encode sources and add rows: `copies[i]` rows with the states of source i. Sets no `token` or `position`."""

    def forward(self) -> Logits:
        """Run a step on the live rows: the caches grow by one token; return the next logits."""

    def candidates(self, logits: Logits, width: int) -> Candidates:
        """Return the `width` most probable tokens of every row."""

    def copy_states(self, step: SearchStep) -> None:
        """Copy the states of rows that are continued by other rows; rows of a request share the constant states."""

    def move(self, targets: np.ndarray, sources: np.ndarray) -> None:
        """Copy all states of source rows onto target rows."""

    def release(self) -> None:
        """Release memory that no row needs, when nothing runs."""


class HostDecoder:
    """A decoder whose states are numpy arrays, which the graphs update in place."""

    def __init__(self, graphs: TranslateGraphs, rows: int) -> None:
        manifest = graphs.artifact.manifest
        self.graphs = graphs
        max_positions = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}
        self.pool = DecoderStatePool(manifest.state, rows, max_positions)
        self.token = np.zeros(rows, dtype=np.int64)
        self.position = np.zeros(rows, dtype=np.int32)
        self.source_length = np.zeros(rows, dtype=np.int32)
        self._logits = np.zeros((0, manifest.vocabulary), dtype=np.float32)
        self._replaced: Arrays = {}  # outputs of the `replaced` states, copied into the pool after each step
        self._bound: dict[int, BoundSession] = {}  # by number of rows
        self._generation = -1  # of the pool when the arrays were bound

    def append(self, source: Arrays, copies: np.ndarray) -> None:
        """Encode sources and add rows: `copies[i]` rows with the states of source i."""
        initial = self.graphs.encode.run(source)
        self._resize_pool(self.pool.live_rows + int(copies.sum()), int(source["source_length"].max()))
        self.pool.append(initial, copies)

    def _resize_pool(self, rows: int, joining_source_length: int = 0) -> None:
        """Provide room in the pool for the next step of `rows` rows."""
        count = self.pool.live_rows
        generated = int(self.position[:count].max(initial=0))
        source = int(self.source_length[:count].max(initial=0))
        positions = {"growing": generated + 1, "constant": max(source, joining_source_length)}
        self.pool.resize(rows, positions, {"growing": generated, "constant": source})

    def forward(self) -> ArrayLogits:
        """Run a step on the live rows: the caches grow by one token; return the next logits."""
        count = self.pool.live_rows
        self._resize_pool(count)
        self._reset_buffers()
        if count not in self._bound:
            self._bound[count] = self._bind(count)
        self._bound[count].run()
        for name, values in self._replaced.items():
            self.pool.view(name)[:] = values[:count]
        return ArrayLogits(self._logits[:count])

    def _reset_buffers(self) -> None:
        """Discard the bindings and output buffers if the pool has replaced an array."""
        if self._generation == self.pool.generation:
            return
        self._bound, self._generation = {}, self.pool.generation
        if len(self._logits) != self.pool.capacity:
            self._logits = np.zeros((self.pool.capacity, self._logits.shape[1]), dtype=np.float32)
        names = [state.input for state in self.pool.states if state.kind == "replaced"]
        self._replaced = {name: np.empty_like(self.pool.array(name)) for name in names}

    def _bind(self, count: int) -> BoundSession:
        """Bind the first `count` rows of all arrays; valid until the pool replaces an array."""
        inputs: Arrays = {"token": self.token, "position": self.position, "source_length": self.source_length}
        prefixes = {name: array[:count] for name, array in inputs.items()}
        states = {state.input: self.pool.array(state.input)[:count] for state in self.pool.states}
        outputs = {"logits": self._logits[:count]}
        for state in self.pool.states:
            buffer = self._replaced.get(state.input)
            outputs[state.output] = states[state.input] if buffer is None else buffer[:count]
        return self.graphs.step.bind(prefixes | states, outputs)

    def candidates(self, logits: Logits, width: int) -> Candidates:
        """Return the `width` most probable tokens of every row."""
        inputs = {"logits": logits.all(), "count": np.array([width], dtype=np.int64)}
        outputs = self.graphs.select.run(inputs)
        return Candidates(outputs["token"], outputs["log_probability"])

    def copy_states(self, step: SearchStep) -> None:
        """Copy the states of rows that are continued by other rows; rows of a request share the constant states."""
        # The cache at position p belongs to the token read there: bos at 0, the p-th generated token at p.
        spans = {"growing": (step.shared_length + 1, int(self.position[step.source_rows].max()))}
        self.pool.copy_rows(step.target_rows, step.source_rows, spans, ("growing", "replaced"))

    def move(self, targets: np.ndarray, sources: np.ndarray) -> None:
        """Copy all states of source rows onto target rows."""
        spans = {
            "growing": (0, int(self.position[sources].max())),
            "constant": (0, int(self.source_length[sources].max())),
        }
        self.pool.copy_rows(targets, sources, spans, ("growing", "constant", "replaced"))

    def release(self) -> None:
        """Release the memory of all but a few rows."""
        self.pool.clear()
        self._reset_buffers()
