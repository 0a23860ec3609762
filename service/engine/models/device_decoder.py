"""The decoder whose states and logits stay in the memory of a device: a GPU, or a CPU that takes the same way.

Only a few bytes of each row come back: the most probable token for a greedy search, the candidates for a beam search.
Logits come back of rows whose options change them, and of rows that are sampled.

Shapes: B rows of the running batch, N of them that are read, R rows that the arrays have room for, V vocabulary.
"""

import numpy as np

from service.engine.decoding.search import Candidates, Lines, Logits, SearchStep
from service.engine.models.device_pool import GRAPHS, MIN_ROWS, DeviceStatePool, RowGraphs, capacity
from service.engine.models.graphs import TranslateGraphs
from service.engine.models.session import Arrays, Bound, BoundSession, DeviceArray, Session


class DeviceDecoder:
    """A decoder on a device."""

    def __init__(self, graphs: TranslateGraphs, rows: int) -> None:
        manifest, self.device = graphs.artifact.manifest, graphs.device
        self.graphs, self.rows, self.vocabulary = graphs, rows, manifest.vocabulary
        dtypes: set[str] = {state.dtype for state in manifest.state}
        row_graphs = {dtype: RowGraphs(dtype, self.device) for dtype in dtypes}
        max_positions = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}
        self.pool = DeviceStatePool(manifest.state, rows, max_positions, row_graphs, self.device)
        self.best, self.best_of, self.read, self.store = (
            Session(GRAPHS / f"{name}.onnx", 1, self.device) for name in ("best", "best_of", "read", "store")
        )
        self.token = np.zeros(rows, dtype=np.int64)
        self.position = np.zeros(rows, dtype=np.int32)
        self.source_length = np.ones(rows, dtype=np.int32)
        arrays: Arrays = {"token": self.token, "position": self.position, "source_length": self.source_length}
        self._inputs = {name: (array, DeviceArray.from_numpy(array, self.device)) for name, array in arrays.items()}
        self._logits = DeviceArray.empty([rows, self.vocabulary], np.float32, self.device)
        self._replaced: dict[str, DeviceArray] = {}  # by the input of the first state: outputs of a block of `replaced`
        self._bound: dict[int, BoundSession] = {}  # by number of rows
        self._generation = -1  # of the pool when the arrays were bound

    def append(self, source: Arrays, copies: np.ndarray) -> None:
        """Encode sources and add rows: `copies[i]` rows with the states of source i.

        Raises:
            ValueError: there is no room for the rows.
        """
        count, added = self.pool.live_rows, int(copies.sum())
        if count + added > self.rows:
            raise ValueError(f"{added} rows do not fit a pool of {self.rows} that holds {count}")
        initial = self.graphs.encode.run_on_device(source)
        self.pool.resize(count + added, {"constant": int(source["source_length"].max()), "growing": 1})
        self.pool.append(initial, copies)

    def forward(self) -> "DeviceLogits":
        """Run a step on the live rows: the caches grow by one token; return the next logits."""
        live = self.pool.live_rows
        count = capacity(live, MIN_ROWS, self.rows) if self.device.row_buckets else live
        self.pool.resize(count, {"growing": int(self.position[:live].max(initial=0)) + 1})
        if self._generation != self.pool.generation:
            self._reset_buffers()
        self.position[live:], self.source_length[live:] = 0, 1  # rows that are not in use compute something harmless
        for array, on_device in self._inputs.values():
            on_device.update(array)
        if count not in self._bound:
            self._bound[count] = self._bind(count)
        self._bound[count].run()
        for block in self.pool.blocks:
            if block.kind == "replaced":
                block.copy_from(self._replaced[block.states[0].input])
        return DeviceLogits(self, live)

    def _reset_buffers(self) -> None:
        """Discard the bindings and output buffers, because the pool has replaced an array."""
        self._bound, self._generation = {}, self.pool.generation
        for block in self.pool.blocks:
            if block.kind == "replaced":
                buffer = DeviceArray.empty(block.array.shape, block.dtype, self.device)
                self._replaced[block.states[0].input] = buffer

    def _bind(self, count: int) -> BoundSession:
        """Bind the first `count` rows of all arrays; valid until the pool replaces an array."""
        inputs = {name: on_device.view([count]) for name, (_, on_device) in self._inputs.items()}
        outputs = {"logits": self._logits.view([count, self.vocabulary])}
        for block in self.pool.blocks:
            buffer = self._replaced.get(block.states[0].input)
            for index, state in enumerate(block.states):
                inputs[state.input] = block.of_state(index, count)
                outputs[state.output] = block.of_state(index, count, buffer)
        return self.graphs.step.bind(inputs, outputs)

    def logits(self, count: int) -> DeviceArray:
        """Return the logits of the first rows."""
        return self._logits.view([count, self.vocabulary])

    def candidates(self, logits: Logits, width: int) -> Candidates:
        """Return the `width` most probable tokens of every row."""
        count = self.pool.live_rows
        found = Candidates(np.empty((count, width), np.int64), np.empty((count, width), np.float32))
        outputs = {"token": found.token, "log_probability": found.log_probability}
        self.graphs.select.bind({"logits": self.logits(count), "count": np.array([width])}, outputs).run()
        return found

    def copy_states(self, step: SearchStep) -> None:
        """Copy the states of rows that are continued by other rows; rows of a request share the constant states."""
        self.pool.copy_rows(step.target_rows, step.source_rows, ("growing", "replaced"))

    def move(self, targets: np.ndarray, sources: np.ndarray) -> None:
        """Copy all states of source rows onto target rows."""
        self.pool.copy_rows(targets, sources, ("growing", "constant", "replaced"))

    def release(self) -> None:
        """Do nothing: the memory stays for the next batch."""


class DeviceLogits:
    """The logits of a step (B, V) in the memory of a device."""

    def __init__(self, decoder: DeviceDecoder, count: int) -> None:
        self._decoder, self._count = decoder, count

    def best(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the most probable token of each of these rows (N,) and its logit (N,)."""
        token, logit = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        inputs: Bound = {"logits": self._decoder.logits(self._count)}
        outputs: Bound = {"token": token, "logit": logit}
        if len(rows) == self._count:
            self._decoder.best.bind(inputs, outputs).run()
            return token[rows], logit[rows]
        places = np.ascontiguousarray(rows, np.int64)
        self._decoder.best_of.bind({**inputs, "rows": places}, outputs).run()
        return token, logit

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the logits of these rows (N, V)."""
        lines = np.empty((len(rows), self._decoder.vocabulary), np.float32)
        places = np.ascontiguousarray(rows, np.int64)
        self._decoder.read.bind({"logits": self._decoder.logits(self._count), "rows": places}, {"lines": lines}).run()
        return lines

    def store(self, rows: np.ndarray, lines: Lines) -> None:
        """Put lines that `lines` has returned back, after they were changed in place."""
        logits = self._decoder.logits(self._count)
        places, values = rows.reshape(-1, 1), np.asarray(lines)
        self._decoder.store.bind({"logits": logits, "rows": places, "lines": values}, {"logits_out": logits}).run()

    def all(self) -> np.ndarray:
        """Return the logits of all rows (B, V)."""
        return self.lines(np.arange(self._count))
