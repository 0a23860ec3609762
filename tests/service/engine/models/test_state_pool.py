"""The state pool: live rows are a prefix, views share its memory, and it grows and shrinks with what it holds."""

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


def pool(rows: int = 4) -> DecoderStatePool:
    """An empty pool with room for a few rows of 5 and 6 positions."""
    some = DecoderStatePool(STATES, rows, LIMITS)
    some.resize(rows, {"growing": 5, "constant": 6}, {})
    return some


def newcomers(*values: float, length: int = 6) -> dict[str, np.ndarray]:
    marks = np.array(values, dtype=np.float32)
    return {
        "memory": np.broadcast_to(marks[:, None, None, None], (len(values), 1, length, 2)),
        "cell": np.broadcast_to(marks[:, None], (len(values), 3)),
    }


def add(pool: DecoderStatePool, *values: float, copies: list[int] | None = None, length: int = 6) -> None:
    pool.append(newcomers(*values, length=length), np.array(copies or [1] * len(values)))


def cells(pool: DecoderStatePool) -> list[float]:
    return [float(value) for value in pool.view("cell")[:, 0]]


def shapes(pool: DecoderStatePool) -> dict[str, tuple[int, ...]]:
    return {state.input: pool.array(state.input).shape for state in pool.states}


def test_room_comes_in_steps_of_rows_and_positions() -> None:
    some = pool()
    rows, growing, constant = 8, POSITION_STEP["growing"], POSITION_STEP["constant"]
    assert shapes(some) == {
        "cache": (4, 1, growing, 2), "other_cache": (4, 1, growing, 2), "memory": (4, 1, constant, 2), "cell": (4, 3)
    }  # fmt: skip
    assert some.bytes == 4 * 4 * (2 * 2 * growing + 2 * constant + 3)
    larger = pool(rows=100)
    larger.resize(rows, {"growing": growing + 1, "constant": 0}, {})
    assert shapes(larger)["cache"] == (rows, 1, 2 * growing, 2)


def test_a_state_keeps_its_type_and_takes_the_memory_of_it() -> None:
    narrow = State(input="memory", output="memory_out", dtype="int8", shape=["B", 1, "S", 2], kind="constant")
    some = DecoderStatePool([narrow, STATES[3]], 4, LIMITS)
    some.resize(4, {"constant": 6}, {})
    some.append(
        {"memory": np.full((2, 1, 6, 2), -127, np.int8), "cell": np.full((2, 3), 0.5, np.float32)}, np.array([1, 2])
    )
    assert some.view("memory").dtype == np.int8
    assert some.view("memory")[:, 0, 5, 1].tolist() == [-127, -127, -127]
    assert cells(some) == [0.5, 0.5, 0.5]
    assert some.bytes == 4 * (2 * POSITION_STEP["constant"] + 4 * 3)


def test_newcomers_come_after_the_last_row() -> None:
    some = pool()
    add(some, 1, 2)
    add(some, 3)
    assert cells(some) == [1, 2, 3]
    assert some.live_rows == 3


def test_a_newcomer_takes_as_many_rows_as_its_beam_is_wide() -> None:
    some = pool(rows=8)
    add(some, 1, 2, 3, copies=[1, 4, 2])
    assert cells(some) == [1, 2, 2, 2, 2, 3, 3]
    assert some.view("memory")[:, 0, 5, 1].tolist() == cells(some)


def test_a_shorter_memory_fills_the_front_of_its_room() -> None:
    some = pool()
    add(some, 7, length=2)
    assert some.view("memory")[0, 0, :4, 0].tolist() == [7, 7, 0, 0]


def test_a_view_shares_the_memory_of_the_pool() -> None:
    some = pool()
    add(some, 1, 2)
    some.view("cache")[1] = 9
    assert np.shares_memory(some.view("cache"), some.array("cache"))
    assert some.array("cache")[:, 0, 0, 0].tolist() == [0, 9, 0, 0]
    with pytest.raises(KeyError):
        some.array("nothing")


def test_a_row_moves_with_all_its_states() -> None:
    some = pool()
    add(some, 1, 2, 3)
    some.view("cache")[2], some.view("other_cache")[2] = 3, 3
    some.copy_rows(np.array([0]), np.array([2]), {"growing": (0, 5), "constant": (0, 6)}, KINDS)
    assert cells(some) == [3, 2, 3]
    assert [some.view(name)[0].flat[0] for name in shapes(some)] == [3, 3, 3, 3]


def test_only_what_is_used_moves_and_only_the_kinds_asked_for() -> None:
    some = pool()
    add(some, 1, 2)
    some.view("cache")[1] = 2
    some.copy_rows(np.array([0]), np.array([1]), {"growing": (0, 3)}, ("growing", "replaced"))
    assert some.view("cache")[0, 0, :5, 0].tolist() == [2, 2, 2, 0, 0]
    assert some.view("memory")[0, 0, 0, 0] == 1
    assert cells(some) == [2, 2]


def test_rows_may_trade_places() -> None:
    """A beam whose hypotheses go on from each other reads every row as it was."""
    some = pool()
    add(some, 1, 2, 3)
    some.view("cache")[:, 0, 0, 0] = [1, 2, 3]
    some.copy_rows(np.array([0, 1, 2]), np.array([1, 2, 0]), {"growing": (0, 1), "constant": (0, 6)}, KINDS)
    assert cells(some) == [2, 3, 1]
    assert some.view("cache")[:, 0, 0, 0].tolist() == [2, 3, 1]


def test_what_overflows_is_refused_and_changes_nothing() -> None:
    some = pool(rows=2)
    add(some, 1)
    with pytest.raises(ValueError, match="2 rows do not fit a pool of 2 that holds 1"):
        add(some, 2, copies=[2])
    assert cells(some) == [1]


def test_growing_keeps_what_is_used() -> None:
    some = DecoderStatePool(STATES, 64, LIMITS)
    some.resize(3, {"growing": 1, "constant": 6}, {})
    add(some, 1, 2, 3)
    some.view("cache")[:, 0, :30, 1] = np.arange(90).reshape(3, 30)
    some.resize(40, {"growing": 31, "constant": 50}, {"growing": 30, "constant": 6})
    assert some.capacity == 64
    assert cells(some) == [1, 2, 3]
    np.testing.assert_array_equal(some.view("cache")[:, 0, :30, 1], np.arange(90).reshape(3, 30))
    assert some.view("memory")[2, 0, :7, 0].tolist() == [3] * 6 + [0]


def test_whoever_binds_arrays_is_told_when_they_move() -> None:
    some = DecoderStatePool(STATES, 64, LIMITS)
    some.resize(8, {"growing": 32, "constant": 16}, {})
    before, array = some.generation, some.array("cache")
    for rows, growing in [(8, 32), (3, 1), (5, 20)]:
        some.resize(rows, {"growing": growing, "constant": 10}, {})
        assert some.generation == before
        assert some.array("cache").base is array.base
    some.resize(9, {"growing": 32, "constant": 16}, {})
    assert some.generation > before


def test_what_is_hardly_used_shrinks() -> None:
    some = DecoderStatePool(STATES, 128, LIMITS)
    some.resize(128, {"growing": 150, "constant": 100}, {})
    full = some.bytes
    assert some.capacity == 128
    some.live_rows = 2
    some.resize(2, {"growing": 3, "constant": 5}, {"growing": 2, "constant": 5})
    assert some.capacity == MIN_ROWS
    assert some.bytes < full / 50


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(1, 200), st.integers(0, 100)), min_size=1, max_size=30))
def test_room_is_enough_and_never_above_the_limits(wishes: list[tuple[int, int, int]]) -> None:
    some = DecoderStatePool(STATES, 70, LIMITS)
    for rows, growing, constant in wishes:
        some.resize(rows, {"growing": growing, "constant": constant}, {})
        assert rows <= some.capacity <= 70
        assert growing <= some.array("cache").shape[2] <= LIMITS["growing"]
        assert constant <= some.array("memory").shape[2] <= LIMITS["constant"]
        assert some.capacity < 4 * max(rows, MIN_ROWS) or some.capacity == MIN_ROWS


@given(st.lists(st.one_of(st.just("append"), st.integers(0, 7)), max_size=40))
def test_any_order_of_comings_and_goings_agrees_with_a_list(moves: list[Any]) -> None:
    some, model = DecoderStatePool(STATES, 8, LIMITS), list[float]()
    for number, move in enumerate(moves):
        used = {"growing": 3, "constant": 6}
        if move == "append":
            if len(model) == 8:
                continue
            some.resize(some.live_rows + 1, used, used if model else {})
            add(some, number)
            some.view("cache")[-1, 0, :3] = number
            model.append(number)
        elif move < len(model):
            last = len(model) - 1
            some.copy_rows(
                np.array([move]), np.array([last]), {kind: (0, length) for kind, length in used.items()}, KINDS
            )
            some.live_rows = last
            model[move] = model[-1]
            model.pop()
            some.resize(last, used, used)
        assert cells(some) == model
        if model:
            assert some.view("memory")[:, 0, 5, 0].tolist() == some.view("cache")[:, 0, 2, 1].tolist() == model


def test_a_model_without_states_has_room_for_all_rows() -> None:
    some = DecoderStatePool([], 5, LIMITS)
    some.resize(5, {}, {})
    assert (some.capacity, some.bytes, some.generation) == (5, 0, 0)
