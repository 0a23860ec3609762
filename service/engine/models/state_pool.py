"""The decoder state pool: every array that belongs to a row of the running batch, such as the KV caches.

Live rows are always a prefix of the pool, so a decoder step runs on a view of it and copies nothing. Between two steps
the pool grows and shrinks in rows and in positions, so that it holds little more memory than its rows need.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from service.artifact import State

Arrays = dict[str, np.ndarray]

MIN_ROWS = 8  # smallest capacity in rows; doubled up to the limit
POSITION_STEP = {"growing": 32, "constant": 16}  # capacities in positions are multiples of this


class StateBlock:
    """All states of one kind, dtype and shape in one array (states, rows, ...), so that one copy moves a row."""

    def __init__(self, states: list[State], max_positions: int) -> None:
        self.states = states
        self.kind, self.dtype = states[0].kind, states[0].dtype
        self.shape = states[0].shape[1:]
        self.position_axis = next((i + 2 for i, axis in enumerate(self.shape) if isinstance(axis, str)), None)
        self.max_positions = max_positions
        self.array = self.allocate(0, 0)

    def allocate(self, rows: int, positions: int) -> np.ndarray:
        """Return a new array for this many rows and positions, filled with zeros."""
        sizes = [positions if isinstance(axis, str) else axis for axis in self.shape]
        return np.zeros((len(self.states), rows, *sizes), self.dtype)

    @property
    def positions(self) -> int:
        """Capacity of a row in positions."""
        return self.max_positions if self.position_axis is None else self.array.shape[self.position_axis]

    def index(self, rows: object, stop: int, start: int = 0) -> tuple[Any, ...]:
        """Return the index of positions start to stop of these rows of every state; all of a state without positions.

        `rows` is a slice or an array of row numbers.
        """
        index: list[Any] = [slice(None)] * self.array.ndim
        index[1] = rows
        if self.position_axis is not None:
            index[self.position_axis] = slice(start, stop)
        return tuple(index)


class DecoderStatePool:
    """The states of at most `max_rows` rows, each with at most `max_positions[kind]` positions."""

    def __init__(self, states: Iterable[State], max_rows: int, max_positions: dict[str, int]) -> None:
        self.states = list(states)
        self.max_rows, self.live_rows = max_rows, 0
        groups: dict[tuple[object, ...], list[State]] = {}
        for state in self.states:
            groups.setdefault((state.kind, state.dtype, *state.shape[1:]), []).append(state)
        self.blocks = [StateBlock(group, max_positions.get(group[0].kind, 0)) for group in groups.values()]
        self.generation = 0  # incremented whenever an array is replaced

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for now."""
        return self.blocks[0].array.shape[1] if self.blocks else self.max_rows

    @property
    def bytes(self) -> int:
        """Memory of all arrays, in bytes."""
        return sum(block.array.nbytes for block in self.blocks)

    def resize(self, rows: int, positions: dict[str, int], used: dict[str, int]) -> None:
        """Provide room for `rows` rows of `positions[kind]` positions, and little more.

        The first `used[kind]` positions of the live rows keep their values.
        """
        capacity = self._row_capacity(rows)
        for block in self.blocks:
            new_positions = self._position_capacity(block, positions.get(block.kind, 0))
            if block.array.shape[1] == capacity and block.positions == new_positions:
                continue
            array = block.allocate(capacity, new_positions)
            kept = min(used.get(block.kind, 0), new_positions, block.positions)
            live = block.index(slice(self.live_rows), kept)
            array[live] = block.array[live]
            block.array = array
            self.generation += 1

    def clear(self) -> None:
        """Remove all rows and release the memory of all but a few."""
        self.live_rows = 0
        self.resize(0, {block.kind: block.positions for block in self.blocks}, {})

    def _row_capacity(self, rows: int) -> int:
        capacity = self.capacity
        if capacity // 4 < rows <= capacity:
            return capacity
        new_capacity = MIN_ROWS
        while new_capacity < rows:
            new_capacity *= 2
        return min(new_capacity, max(rows, self.max_rows))

    def _position_capacity(self, block: StateBlock, positions: int) -> int:
        if block.position_axis is None or positions <= block.positions <= 2 * positions + POSITION_STEP[block.kind]:
            return block.positions
        step = POSITION_STEP[block.kind]
        return min(-(-positions // step) * step, max(positions, block.max_positions))

    def append(self, initial: Arrays, copies: np.ndarray) -> None:
        """Add rows: `copies[i]` rows with the constant and replaced states of row i of the encoder's outputs.

        Raises:
            ValueError: the pool would exceed its maximum of rows.
        """
        added = int(copies.sum())
        if self.live_rows + added > self.max_rows:
            raise ValueError(f"{added} rows do not fit a pool of {self.max_rows} that holds {self.live_rows}")
        rows = slice(self.live_rows, self.live_rows + added)
        repeated = bool((copies > 1).any())
        for block in self.blocks:
            if block.kind == "growing":
                continue
            for i, state in enumerate(block.states):
                values = np.repeat(initial[state.input], copies, axis=0) if repeated else initial[state.input]
                length = 0 if block.position_axis is None else values.shape[block.position_axis - 1]
                block.array[(i, *block.index(rows, length)[1:])] = values
        self.live_rows += added

    def copy_rows(
        self, targets: np.ndarray, sources: np.ndarray, spans: dict[str, tuple[int, int]], kinds: tuple[str, ...]
    ) -> None:
        """Copy source rows onto target rows, as if all at once: of each state of these kinds the positions
        `spans[kind]`, given as (start, stop)."""
        for block in self.blocks:
            if block.kind in kinds:
                start, stop = spans.get(block.kind, (0, 0))
                block.array[block.index(targets, stop, start)] = block.array[block.index(sources, stop, start)]

    def view(self, name: str) -> np.ndarray:
        """Return the live rows of a state, sharing the pool's memory."""
        return self.array(name)[: self.live_rows]

    def array(self, name: str) -> np.ndarray:
        """Return all rows of a state, sharing the pool's memory.

        Raises:
            KeyError: there is no such state.
        """
        for block in self.blocks:
            for i, state in enumerate(block.states):
                if state.input == name:
                    return block.array[i]  # type: ignore[no-any-return]
        raise KeyError(name)
