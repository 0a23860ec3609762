"""The state pool in the memory of a device: it moves rows like the pool of numpy arrays, and only grows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact import State
from service.engine.models.device_pool import MIN_POSITIONS, MIN_ROWS, DeviceStatePool, RowGraphs, capacity
from service.engine.models.session import DeviceArray
from tests.service.engine.devices import RESIDENT

KINDS = ("growing", "constant", "replaced")
LIMITS = {"growing": 200, "constant": 100}
GRAPHS = {dtype: RowGraphs(dtype, RESIDENT) for dtype in ("float32", "float16", "int8")}


def states(dtype: Any = "float32") -> list[State]:
    shapes: dict[str, list[int | str]] = {
        "cache": ["B", 3, "T", 2], "other_cache": ["B", 3, "T", 2], "memory": ["B", 1, "S", 2], "cell": ["B", 3]
    }  # fmt: skip
    kinds: dict[str, Any] = {"cache": "growing", "other_cache": "growing", "memory": "constant", "cell": "replaced"}
    return [
        State(input=name, output=f"{name}_out", dtype=dtype, shape=shape, kind=kinds[name])
        for name, shape in shapes.items()
    ]


def new_pool(rows: int = 20, dtype: str = "float32") -> DeviceStatePool:
    pool = DeviceStatePool(states(dtype), rows, LIMITS, GRAPHS, RESIDENT)
    pool.resize(1, {"growing": 1, "constant": 6})
    return pool


def add(pool: DeviceStatePool, *values: float, copies: list[int] | None = None, length: int = 6) -> None:
    numbers, dtype = np.array(values), pool.blocks[0].dtype
    shapes = {"memory": (len(values), 1, length, 2), "cell": (len(values), 3)}
    initial = {
        name: DeviceArray.from_numpy(
            np.broadcast_to(numbers.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(dtype), RESIDENT
        )
        for name, shape in shapes.items()
    }
    given = np.array(copies or [1] * len(values))
    pool.resize(pool.live_rows + int(given.sum()), {"constant": length})
    pool.append(initial, given)


def array(pool: DeviceStatePool, kind: str) -> np.ndarray:
    """Return the states of a kind (L, R, before, P, after)."""
    [block] = [block for block in pool.blocks if block.kind == kind]
    return block.array.numpy()


def cells(pool: DeviceStatePool) -> list[float]:
    found: list[float] = array(pool, "replaced")[0, : pool.live_rows, 0, 0, 0].tolist()
    return found


@pytest.mark.parametrize(
    ("needed", "least", "most", "expected"),
    [(0, 8, 100, 8), (8, 8, 100, 8), (9, 8, 100, 16), (65, 8, 100, 100), (3, 8, 5, 5), (101, 8, 100, 101)],
)
def test_capacity_doubles_up_to_the_limit(needed: int, least: int, most: int, expected: int) -> None:
    assert capacity(needed, least, most) == expected


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_rows_are_appended_and_repeated(dtype: str) -> None:
    pool = new_pool(dtype=dtype)
    add(pool, 1, 2, copies=[1, 3])
    add(pool, 5, length=2)
    assert cells(pool) == [1, 2, 2, 2, 5]
    memory = array(pool, "constant")[0, :5, 0]  # (R, P, after)
    assert memory[:, :3, 1].tolist() == [[1] * 3, [2] * 3, [2] * 3, [2] * 3, [5, 5, 0]]
    assert not memory[:, 6:].any()
    assert array(pool, "constant").dtype == np.dtype(dtype)


def test_move_reads_all_sources_before_writing() -> None:
    pool = new_pool()
    add(pool, 1, 2, 3)
    pool.copy_rows(np.array([0, 1, 2]), np.array([1, 2, 0]), KINDS)
    assert cells(pool) == [2, 3, 1]
    assert array(pool, "constant")[0, :3, 0, 5, 1].tolist() == [2, 3, 1]


def test_only_the_given_kinds_are_copied() -> None:
    pool = new_pool()
    add(pool, 1, 2)
    pool.copy_rows(np.array([0]), np.array([1]), ("growing", "replaced"))
    assert cells(pool) == [2, 2]
    assert array(pool, "constant")[0, :2, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_growth_keeps_values_and_adds_zeros(dtype: str) -> None:
    pool = new_pool(dtype=dtype)
    add(pool, *range(1, 8))
    [block] = [block for block in pool.blocks if block.kind == "growing"]
    before = np.arange(1, 1 + block.array.bytes // block.dtype.itemsize).reshape(block.array.shape) % 100
    block.array = DeviceArray.from_numpy(before.astype(dtype), RESIDENT)
    generation, (_, rows, _, positions, _) = pool.generation, before.shape
    pool.resize(rows + 1, {"growing": positions + 1})
    after = array(pool, "growing")
    assert (rows, positions) == (MIN_ROWS, MIN_POSITIONS)
    assert after.shape == (2, 2 * MIN_ROWS, 3, 2 * MIN_POSITIONS, 2)
    np.testing.assert_array_equal(after[:, :rows, :, :positions], before)
    assert after[:, rows:].max() == after[:, :, :, positions:].max() == 0
    assert pool.generation == generation + 1
    assert cells(pool) == list(range(1, 8))
    pool.resize(2, {"growing": 1})  # it never shrinks
    assert pool.generation == generation + 1
    assert pool.bytes == sum(array(pool, kind).nbytes for kind in KINDS)


@given(st.lists(st.one_of(st.just("append"), st.integers(0, 11)), max_size=40))
def test_any_order_of_appends_and_removals_equals_a_list(moves: list[Any]) -> None:
    pool, model = new_pool(rows=12), list[float]()
    for number, move in enumerate(moves):
        if move == "append":
            if len(model) < 12:
                add(pool, number)
                model.append(number)
        elif move < len(model):
            pool.copy_rows(np.array([move]), np.array([len(model) - 1]), KINDS)
            pool.live_rows -= 1
            model[move] = model[-1]
            model.pop()
        assert cells(pool) == model
