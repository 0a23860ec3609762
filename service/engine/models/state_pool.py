"""The state pool: every array that belongs to a row of the running batch, rows first.

Live rows are always a prefix of the pool, so that a step runs on a view of it and nothing is copied. The pool grows and
shrinks between two steps, in rows and in positions, so that it holds the memory that its rows need and little more.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from service.artifact import State

Arrays = dict[str, np.ndarray]

ROWS = 8  # step of capacity in rows, doubled up to the limit
POSITIONS = {"growing": 32, "constant": 16}  # steps of capacity in positions


class StateBlock:
    """All states of one kind and shape, in one array (states, rows, ...): a row moves by one copy."""

    def __init__(self, states: list[State], limit: int) -> None:
        self.states = states
        self.kind, self.dtype = states[0].kind, states[0].dtype
        self.shape = states[0].shape[1:]
        self.axis = next((i + 2 for i, axis in enumerate(self.shape) if isinstance(axis, str)), None)
        self.limit = limit  # positions
        self.array = self.allocate(0, 0)

    def allocate(self, rows: int, room: int) -> np.ndarray:
        fixed = [room if isinstance(axis, str) else axis for axis in self.shape]
        return np.zeros((len(self.states), rows, *fixed), self.dtype)

    @property
    def room(self) -> int:
        """Positions that a row has room for."""
        return self.limit if self.axis is None else self.array.shape[self.axis]

    def index(self, rows: object, stop: int, start: int = 0) -> tuple[Any, ...]:
        """Positions start to stop of rows of every state; where there are no positions, everything of them."""
        index: list[Any] = [slice(None)] * self.array.ndim
        index[1] = rows
        if self.axis is not None:
            index[self.axis] = slice(start, stop)
        return tuple(index)


class DecoderStatePool:
    """At most `rows` rows of every state, with at most `limits[kind]` positions each."""

    def __init__(self, states: Iterable[State], rows: int, limits: dict[str, int]) -> None:
        self.states = list(states)
        self.max_rows, self.live_rows = rows, 0
        groups: dict[tuple[object, ...], list[State]] = {}
        for state in self.states:
            groups.setdefault((state.kind, state.dtype, *state.shape[1:]), []).append(state)
        self.blocks = [StateBlock(group, limits.get(group[0].kind, 0)) for group in groups.values()]
        self.generation = 0  # counts the times that arrays have moved

    @property
    def capacity(self) -> int:
        """Rows that there is room for now."""
        return self.blocks[0].array.shape[1] if self.blocks else self.max_rows

    @property
    def bytes(self) -> int:
        """Memory held by the pool."""
        return sum(block.array.nbytes for block in self.blocks)

    def fit(self, rows: int, lengths: dict[str, int], used: dict[str, int]) -> None:
        """Have room for `rows` rows of `lengths[kind]` positions and not much more; `used[kind]` positions are kept."""
        capacity = self._row_capacity(rows)
        for block in self.blocks:
            room = self._room(block, lengths.get(block.kind, 0))
            if block.array.shape[1] == capacity and block.room == room:
                continue
            fresh = block.allocate(capacity, room)
            kept = min(used.get(block.kind, 0), room, block.room)
            live = block.index(slice(self.live_rows), kept)
            fresh[live] = block.array[live]
            block.array = fresh
            self.generation += 1

    def rest(self) -> None:
        """Forget all rows, and have room for few."""
        self.live_rows = 0
        self.fit(0, {block.kind: block.room for block in self.blocks}, {})

    def _row_capacity(self, rows: int) -> int:
        capacity = self.capacity
        if capacity // 4 < rows <= capacity:
            return capacity
        wanted = ROWS
        while wanted < rows:
            wanted *= 2
        return min(wanted, max(rows, self.max_rows))

    def _room(self, block: StateBlock, length: int) -> int:
        if block.axis is None or length <= block.room <= 2 * length + POSITIONS[block.kind]:
            return block.room
        step = POSITIONS[block.kind]
        return min(-(-length // step) * step, max(length, block.limit))

    def append(self, initial: Arrays, copies: np.ndarray) -> None:
        """Add rows: row i of the constant and replaced states that encode computed, `copies[i]` times.

        Raises:
            ValueError: they do not fit the pool's limit of rows.
        """
        added = int(copies.sum())
        if self.live_rows + added > self.max_rows:
            raise ValueError(f"{added} rows do not fit a pool of {self.max_rows} that holds {self.live_rows}")
        rows = slice(self.live_rows, self.live_rows + added)
        several = bool((copies > 1).any())
        for block in self.blocks:
            if block.kind == "growing":
                continue
            for i, state in enumerate(block.states):
                values = np.repeat(initial[state.input], copies, axis=0) if several else initial[state.input]
                length = 0 if block.axis is None else values.shape[block.axis - 1]
                block.array[(i, *block.index(rows, length)[1:])] = values
        self.live_rows += added

    def move(self, to: np.ndarray, rows: np.ndarray, spans: dict[str, tuple[int, int]], kinds: tuple[str, ...]) -> None:
        """Copy rows onto other rows, all at once: the positions `spans[kind]` of each, first to last and one."""
        for block in self.blocks:
            if block.kind in kinds:
                start, stop = spans.get(block.kind, (0, 0))
                block.array[block.index(to, stop, start)] = block.array[block.index(rows, stop, start)]

    def view(self, name: str) -> np.ndarray:
        """The live rows of a state, sharing the pool's memory."""
        return self.array(name)[: self.live_rows]

    def array(self, name: str) -> np.ndarray:
        """All rows of a state."""
        for block in self.blocks:
            for i, state in enumerate(block.states):
                if state.input == name:
                    return block.array[i]  # type: ignore[no-any-return]
        raise KeyError(name)
