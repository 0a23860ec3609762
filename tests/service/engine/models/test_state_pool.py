"""The decoder state pool: live rows are a prefix, views share its memory, and it grows and shrinks with its rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact import State
from service.engine.models.state_pool import MIN_ROWS, POSITION_STEP, DecoderStatePool

KINDS = ("growing", "constant", "replaced")
LIMITS = {"growing": 200, "constant": 100}


def state(name: str, kind: Any, shape: list[int | str]) -> State:
    return State(input=name, output=f"{name}_out", dtype="float32", shape=shape, kind=kind)


STATES = [
    state("cache", "growing", ["B", 1, "T", 2]),
    state("other_cache", "growing", ["B", 1, "T", 2]),
    state("memory", "constant", ["B", 1, "S", 2]),
    state("cell", "replaced", ["B", 3]),
]


def new_pool(rows: int = 4) -> DecoderStatePool:
    """Return an empty pool with capacity for a few rows of 5 and 6 positions."""
    pool = DecoderStatePool(STATES, rows, LIMITS)
    pool.resize(rows, {"growing": 5, "constant": 6}, {})
    return pool


def encoder_outputs(*values: float, length: int = 6) -> dict[str, np.ndarray]:
    numbers = np.array(values, dtype=np.float32)
    return {
        "memory": np.broadcast_to(numbers[:, None, None, None], (len(values), 1, length, 2)),
        "cell": np.broadcast_to(numbers[:, None], (len(values), 3)),
    }


def add(pool: DecoderStatePool, *values: float, copies: list[int] | None = None, length: int = 6) -> None:
    pool.append(encoder_outputs(*values, length=length), np.array(copies or [1] * len(values)))


def cells(pool: DecoderStatePool) -> list[float]:
    return [float(value) for value in pool.view("cell")[:, 0]]


def shapes(pool: DecoderStatePool) -> dict[str, tuple[int, ...]]:
    return {state.input: pool.array(state.input).shape for state in pool.states}


def test_capacity_grows_in_steps_of_rows_and_positions() -> None:
    pool = new_pool()
    rows, growing, constant = 8, POSITION_STEP["growing"], POSITION_STEP["constant"]
    assert shapes(pool) == {
        "cache": (4, 1, growing, 2), "other_cache": (4, 1, growing, 2), "memory": (4, 1, constant, 2), "cell": (4, 3)
    }  # fmt: skip
    assert pool.bytes == 4 * 4 * (2 * 2 * growing + 2 * constant + 3)
    larger = new_pool(rows=100)
    larger.resize(rows, {"growing": growing + 1, "constant": 0}, {})
    assert shapes(larger)["cache"] == (rows, 1, 2 * growing, 2)


def test_state_keeps_its_dtype() -> None:
    narrow = State(input="memory", output="memory_out", dtype="int8", shape=["B", 1, "S", 2], kind="constant")
    pool = DecoderStatePool([narrow, STATES[3]], 4, LIMITS)
    pool.resize(4, {"constant": 6}, {})
    pool.append(
        {"memory": np.full((2, 1, 6, 2), -127, np.int8), "cell": np.full((2, 3), 0.5, np.float32)}, np.array([1, 2])
    )
    assert pool.view("memory").dtype == np.int8
    assert pool.view("memory")[:, 0, 5, 1].tolist() == [-127, -127, -127]
    assert cells(pool) == [0.5, 0.5, 0.5]
    assert pool.bytes == 4 * (2 * POSITION_STEP["constant"] + 4 * 3)


def test_new_rows_are_appended() -> None:
    pool = new_pool()
    add(pool, 1, 2)
    add(pool, 3)
    assert cells(pool) == [1, 2, 3]
    assert pool.live_rows == 3


def test_row_is_repeated_for_each_copy() -> None:
    pool = new_pool(rows=8)
    add(pool, 1, 2, 3, copies=[1, 4, 2])
    assert cells(pool) == [1, 2, 2, 2, 2, 3, 3]
    assert pool.view("memory")[:, 0, 5, 1].tolist() == cells(pool)


def test_shorter_source_fills_the_first_positions() -> None:
    pool = new_pool()
    add(pool, 7, length=2)
    assert pool.view("memory")[0, 0, :4, 0].tolist() == [7, 7, 0, 0]


def test_view_shares_memory_with_the_pool() -> None:
    pool = new_pool()
    add(pool, 1, 2)
    pool.view("cache")[1] = 9
    assert np.shares_memory(pool.view("cache"), pool.array("cache"))
    assert pool.array("cache")[:, 0, 0, 0].tolist() == [0, 9, 0, 0]
    with pytest.raises(KeyError):
        pool.array("nothing")


def test_copy_rows_copies_all_states() -> None:
    pool = new_pool()
    add(pool, 1, 2, 3)
    pool.view("cache")[2], pool.view("other_cache")[2] = 3, 3
    pool.copy_rows(np.array([0]), np.array([2]), {"growing": (0, 5), "constant": (0, 6)}, KINDS)
    assert cells(pool) == [3, 2, 3]
    assert [pool.view(name)[0].flat[0] for name in shapes(pool)] == [3, 3, 3, 3]


def test_copy_rows_copies_only_the_given_positions_and_kinds() -> None:
    pool = new_pool()
    add(pool, 1, 2)
    pool.view("cache")[1] = 2
    pool.copy_rows(np.array([0]), np.array([1]), {"growing": (0, 3)}, ("growing", "replaced"))
    assert pool.view("cache")[0, 0, :5, 0].tolist() == [2, 2, 2, 0, 0]
    assert pool.view("memory")[0, 0, 0, 0] == 1
    assert cells(pool) == [2, 2]


def test_copy_rows_reads_all_sources_before_writing() -> None:
    """The hypotheses of a beam may swap rows."""
    pool = new_pool()
    add(pool, 1, 2, 3)
    pool.view("cache")[:, 0, 0, 0] = [1, 2, 3]
    pool.copy_rows(np.array([0, 1, 2]), np.array([1, 2, 0]), {"growing": (0, 1), "constant": (0, 6)}, KINDS)
    assert cells(pool) == [2, 3, 1]
    assert pool.view("cache")[:, 0, 0, 0].tolist() == [2, 3, 1]


def test_append_beyond_the_maximum_raises_and_changes_nothing() -> None:
    pool = new_pool(rows=2)
    add(pool, 1)
    with pytest.raises(ValueError, match="2 rows do not fit a pool of 2 that holds 1"):
        add(pool, 2, copies=[2])
    assert cells(pool) == [1]


def test_resize_keeps_used_positions() -> None:
    pool = DecoderStatePool(STATES, 64, LIMITS)
    pool.resize(3, {"growing": 1, "constant": 6}, {})
    add(pool, 1, 2, 3)
    pool.view("cache")[:, 0, :30, 1] = np.arange(90).reshape(3, 30)
    pool.resize(40, {"growing": 31, "constant": 50}, {"growing": 30, "constant": 6})
    assert pool.capacity == 64
    assert cells(pool) == [1, 2, 3]
    np.testing.assert_array_equal(pool.view("cache")[:, 0, :30, 1], np.arange(90).reshape(3, 30))
    assert pool.view("memory")[2, 0, :7, 0].tolist() == [3] * 6 + [0]


def test_generation_changes_when_arrays_are_replaced() -> None:
    pool = DecoderStatePool(STATES, 64, LIMITS)
    pool.resize(8, {"growing": 32, "constant": 16}, {})
    before, array = pool.generation, pool.array("cache")
    for rows, growing in [(8, 32), (3, 1), (5, 20)]:
        pool.resize(rows, {"growing": growing, "constant": 10}, {})
        assert pool.generation == before
        assert pool.array("cache").base is array.base
    pool.resize(9, {"growing": 32, "constant": 16}, {})
    assert pool.generation > before


def test_resize_shrinks_a_mostly_unused_pool() -> None:
    pool = DecoderStatePool(STATES, 128, LIMITS)
    pool.resize(128, {"growing": 150, "constant": 100}, {})
    full = pool.bytes
    assert pool.capacity == 128
    pool.live_rows = 2
    pool.resize(2, {"growing": 3, "constant": 5}, {"growing": 2, "constant": 5})
    assert pool.capacity == MIN_ROWS
    assert pool.bytes < full / 50


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(1, 200), st.integers(0, 100)), min_size=1, max_size=30))
def test_capacity_is_sufficient_and_within_the_limits(sizes: list[tuple[int, int, int]]) -> None:
    pool = DecoderStatePool(STATES, 70, LIMITS)
    for rows, growing, constant in sizes:
        pool.resize(rows, {"growing": growing, "constant": constant}, {})
        assert rows <= pool.capacity <= 70
        assert growing <= pool.array("cache").shape[2] <= LIMITS["growing"]
        assert constant <= pool.array("memory").shape[2] <= LIMITS["constant"]
        assert pool.capacity < 4 * max(rows, MIN_ROWS) or pool.capacity == MIN_ROWS


@given(st.lists(st.one_of(st.just("append"), st.integers(0, 7)), max_size=40))
def test_any_order_of_appends_and_removals_equals_a_list(moves: list[Any]) -> None:
    pool, model = DecoderStatePool(STATES, 8, LIMITS), list[float]()
    for number, move in enumerate(moves):
        used = {"growing": 3, "constant": 6}
        if move == "append":
            if len(model) == 8:
                continue
            pool.resize(pool.live_rows + 1, used, used if model else {})
            add(pool, number)
            pool.view("cache")[-1, 0, :3] = number
            model.append(number)
        elif move < len(model):
            last = len(model) - 1
            pool.copy_rows(
                np.array([move]), np.array([last]), {kind: (0, length) for kind, length in used.items()}, KINDS
            )
            pool.live_rows = last
            model[move] = model[-1]
            model.pop()
            pool.resize(last, used, used)
        assert cells(pool) == model
        if model:
            assert pool.view("memory")[:, 0, 5, 0].tolist() == pool.view("cache")[:, 0, 2, 1].tolist() == model


def test_pool_without_states_has_capacity_for_all_rows() -> None:
    pool = DecoderStatePool([], 5, LIMITS)
    pool.resize(5, {}, {})
    assert (pool.capacity, pool.bytes, pool.generation) == (5, 0, 0)
