"""The decoder state pool in the memory of a device: what `state_pool.py` is for numpy arrays.

Rows are moved and copied by small graphs (`export/graphs/device.py` makes them), because nothing else reaches the
memory of a GPU. Rows and positions only grow, by doubling: a GPU that has once computed a batch has memory for it, and
arrays that stay where they are can be part of a recorded CUDA graph.

Shapes: R rows and P positions that the arrays have room for, L states of a block, B sources, M rows that are written.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from service.artifact import State
from service.engine.device import Device
from service.engine.models.session import DeviceArray, Session

GRAPHS = Path(__file__).parents[1] / "device_graphs"
MIN_ROWS = 8
MIN_POSITIONS = 32


def capacity(needed: int, least: int, most: int) -> int:
    """Return the least power of two times `least` that is enough, but not more than `most` if that is enough."""
    found = least
    while found < needed:
        found *= 2
    return max(needed, min(found, most))


class RowGraphs:
    """The graphs that move rows of one type of state, loaded once and shared by the workers of a pool."""

    def __init__(self, dtype: str, device: Device) -> None:
        self.append, self.move, self.grow = (
            Session(GRAPHS / f"{name}_{dtype}.onnx", 1, device) for name in ("append", "move", "grow")
        )


class DeviceBlock:
    """All states of one kind, type and shape in one array (L, R, before, P, after), so that one run moves a row.

    `before` and `after` are the sizes of a row before and after its axis of positions; P is 1 if it has none.
    """

    def __init__(self, states: list[State], max_positions: int, graphs: RowGraphs, device: Device) -> None:
        self.states, self.kind, self.graphs, self.device = states, states[0].kind, graphs, device
        self.dtype = np.dtype(states[0].dtype)
        shape = states[0].shape[1:]
        axis = next((i for i, size in enumerate(shape) if isinstance(size, str)), None)
        self.max_positions = 1 if axis is None else max_positions
        sizes = [size for size in shape if isinstance(size, int)]
        self.before, self.after = math.prod(sizes[:axis]), 1 if axis is None else math.prod(sizes[axis:])
        self._axes = [-1 if isinstance(size, str) else size for size in shape]
        self.array = self._empty(0, 0)

    def _empty(self, rows: int, positions: int) -> DeviceArray:
        shape = [len(self.states), rows, self.before, positions, self.after]
        return DeviceArray.empty(shape, self.dtype, self.device)

    @property
    def rows(self) -> int:
        """Rows that the array has room for."""
        return self.array.shape[1]

    @property
    def positions(self) -> int:
        """Positions that a row has room for."""
        return self.array.shape[3]

    def resize(self, rows: int, positions: int, max_rows: int) -> bool:
        """Provide room; return whether the array was replaced."""
        rows = capacity(max(rows, self.rows), MIN_ROWS, max_rows)
        least = MIN_POSITIONS if self.max_positions > 1 else 1
        positions = capacity(max(positions, self.positions), least, self.max_positions)
        if (rows, positions) == (self.rows, self.positions):
            return False
        old = self.array
        if not old.bytes:
            shape = [len(self.states), rows, self.before, positions, self.after]
            self.array = DeviceArray.from_numpy(np.zeros(shape, self.dtype), self.device)
            return True
        self.array = self._empty(rows, positions)
        pads = np.array([0, 0, 0, 0, 0, 0, rows - old.shape[1], 0, positions - old.shape[3], 0])
        self.graphs.grow.bind({"data": old, "pads": pads}, {"grown": self.array}).run()
        return True

    def of_state(self, index: int, rows: int, buffer: DeviceArray | None = None) -> DeviceArray:
        """Return the first rows of a state, in the state's own shape; of a buffer of the array's shape if given."""
        shape = [rows, *(self.positions if size < 0 else size for size in self._axes)]
        return (buffer or self.array).view(shape, index * math.prod(self.array.shape[1:]))

    def _flat(self) -> DeviceArray:
        """Return all rows of all states as lines: (L*R, before*P*after)."""
        states, rows, *sizes = self.array.shape
        return self.array.view([states * rows, math.prod(sizes)])

    def append(self, index: int, values: DeviceArray, source: np.ndarray, target: np.ndarray) -> None:
        """Write rows of a state: row `source[i]` of the encoder's output onto row `target[i]`."""
        length = values.shape[1] * math.prod(values.shape[2:]) // (self.before * self.after)
        inputs: dict[str, np.ndarray | DeviceArray] = {
            "data": self._flat(),
            "values": values.view([values.shape[0], self.before, length, self.after]),
            "pads": np.array([0, 0, 0, 0, 0, 0, self.positions - length, 0]),
            "source": source,
            "target": (index * self.rows + target)[:, None],
        }
        self.graphs.append.bind(inputs, {"data_out": self._flat()}).run()

    def move(self, targets: np.ndarray, sources: np.ndarray) -> None:
        """Copy source rows of all states onto target rows, as if all at once."""
        first = self.rows * np.arange(len(self.states))[:, None]  # (L, 1)
        inputs: dict[str, np.ndarray | DeviceArray] = {
            "data": self._flat(),
            "source": (first + sources).ravel(),
            "target": (first + targets).reshape(-1, 1),
        }
        self.graphs.move.bind(inputs, {"data_out": self._flat()}).run()

    def copy_from(self, other: DeviceArray) -> None:
        """Copy an array of the same shape."""
        pads = np.zeros(10, dtype=np.int64)
        self.graphs.grow.bind({"data": other, "pads": pads}, {"grown": self.array}).run()


class DeviceStatePool:
    """The states of at most `max_rows` rows, each with at most `max_positions[kind]` positions."""

    def __init__(
        self, states: Iterable[State], max_rows: int, max_positions: dict[str, int], graphs: Mapping[str, RowGraphs],
        device: Device,
    ) -> None:  # fmt: skip
        self.max_rows, self.live_rows, self.generation = max_rows, 0, 0
        groups: dict[tuple[object, ...], list[State]] = {}
        for state in states:
            groups.setdefault((state.kind, state.dtype, *state.shape[1:]), []).append(state)
        self.blocks = [
            DeviceBlock(group, max_positions.get(group[0].kind, 1), graphs[group[0].dtype], device)
            for group in groups.values()
        ]

    @property
    def bytes(self) -> int:
        """Memory of all arrays, in bytes."""
        return sum(block.array.bytes for block in self.blocks)

    def resize(self, rows: int, positions: dict[str, int]) -> None:
        """Provide room for `rows` rows of `positions[kind]` positions."""
        replaced = [block.resize(rows, positions.get(block.kind, 1), self.max_rows) for block in self.blocks]
        self.generation += any(replaced)

    def append(self, initial: dict[str, DeviceArray], copies: np.ndarray) -> None:
        """Add rows: `copies[i]` rows with the constant and replaced states of row i of the encoder's outputs."""
        source = np.repeat(np.arange(len(copies)), copies)  # (M,)
        target = self.live_rows + np.arange(len(source))  # (M,)
        for block in self.blocks:
            if block.kind != "growing":
                for index, state in enumerate(block.states):
                    block.append(index, initial[state.input], source, target)
        self.live_rows += len(source)

    def copy_rows(self, targets: np.ndarray, sources: np.ndarray, kinds: tuple[str, ...]) -> None:
        """Copy source rows onto target rows, as if all at once, in all states of these kinds."""
        for block in self.blocks:
            if block.kind in kinds:
                block.move(targets, sources)
