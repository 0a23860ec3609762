"""The state pool: every array that belongs to a row of the running batch, rows first.

Live rows are always a prefix of the pool, so that a step runs on a view of it and nothing is copied. A row that leaves
gives its place to the last row.
"""

from collections.abc import Iterable

import numpy as np

from service.artifact import State

Arrays = dict[str, np.ndarray]


class StatePool:
    """`rows` rows of every state, with room for `lengths[kind]` positions in growing and constant ones."""

    def __init__(self, states: Iterable[State], rows: int, lengths: dict[str, int]) -> None:
        self.states = list(states)
        self.rows = rows
        self.count = 0
        self.arrays: Arrays = {s.input: np.zeros(self._shape(s, rows, lengths), s.dtype) for s in self.states}

    @staticmethod
    def _shape(state: State, rows: int, lengths: dict[str, int]) -> tuple[int, ...]:
        fixed = [axis if isinstance(axis, int) else lengths[state.kind] for axis in state.shape[1:]]
        return (rows, *fixed)

    @property
    def bytes(self) -> int:
        """Memory held by the pool."""
        return sum(array.nbytes for array in self.arrays.values())

    def append(self, initial: Arrays) -> None:
        """Add rows, with the values that encode computed for their constant and replaced states.

        A constant state may be shorter than its room, what lies behind it is never read.
        """
        added = len(next(iter(initial.values())))
        if self.count + added > self.rows:
            raise ValueError(f"{added} rows do not fit a pool of {self.rows} that holds {self.count}")
        rows = slice(self.count, self.count + added)
        for name, values in initial.items():
            target = self.arrays[name]
            if values.shape[1:] == target.shape[1:]:
                target[rows] = values
            else:
                target[rows, :, : values.shape[2]] = values
        self.count += added

    def remove(self, row: int) -> None:
        """Drop a row; the last row moves into its place."""
        last = self.count - 1
        if row != last:
            for array in self.arrays.values():
                array[row] = array[last]
        self.count = last

    def clear(self) -> None:
        """Drop all rows."""
        self.count = 0

    def view(self, name: str) -> np.ndarray:
        """The live rows of a state, sharing the pool's memory."""
        return self.arrays[name][: self.count]
