"""The state pool: live rows are a prefix, views share its memory, the last row fills a hole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact import State
from service.engine.state import StatePool


def state(name: str, kind: Any, shape: list[int | str]) -> State:
    return State(input=name, output=f"{name}_out", dtype="float32", shape=shape, kind=kind)


def pool(rows: int = 4) -> StatePool:
    states = [
        state("cache", "growing", ["B", 1, "T", 2]),
        state("memory", "constant", ["B", 1, "S", 2]),
        state("cell", "replaced", ["B", 3]),
    ]
    return StatePool(states, rows, {"growing": 5, "constant": 6})


def newcomers(*values: float, length: int = 6) -> dict[str, np.ndarray]:
    marks = np.array(values, dtype=np.float32)
    return {
        "memory": np.broadcast_to(marks[:, None, None, None], (len(values), 1, length, 2)),
        "cell": np.broadcast_to(marks[:, None], (len(values), 3)),
    }


def cells(pool: StatePool) -> list[float]:
    return [float(value) for value in pool.view("cell")[:, 0]]


def test_every_state_has_its_room() -> None:
    found = {name: array.shape for name, array in pool().arrays.items()}
    assert found == {"cache": (4, 1, 5, 2), "memory": (4, 1, 6, 2), "cell": (4, 3)}
    assert pool().bytes == 4 * (4 * 10 + 4 * 12 + 4 * 3)


def test_newcomers_come_after_the_last_row() -> None:
    some = pool()
    some.append(newcomers(1, 2))
    some.append(newcomers(3))
    assert cells(some) == [1, 2, 3]
    assert some.count == 3


def test_a_shorter_memory_fills_the_front_of_its_room() -> None:
    some = pool()
    some.append(newcomers(7, length=2))
    assert some.view("memory")[0, 0, :, 0].tolist() == [7, 7, 0, 0, 0, 0]


def test_a_view_shares_the_memory_of_the_pool() -> None:
    some = pool()
    some.append(newcomers(1, 2))
    some.view("cache")[1] = 9
    assert np.shares_memory(some.view("cache"), some.arrays["cache"])
    assert some.arrays["cache"][:, 0, 0, 0].tolist() == [0, 9, 0, 0]


def test_the_last_row_moves_into_the_hole_with_all_its_states() -> None:
    some = pool()
    some.append(newcomers(1, 2, 3))
    some.view("cache")[2] = 3
    some.remove(0)
    assert cells(some) == [3, 2]
    assert [some.view(name)[0].flat[0] for name in some.arrays] == [3, 3, 3]


def test_what_overflows_is_refused_and_changes_nothing() -> None:
    some = pool(rows=2)
    some.append(newcomers(1))
    with pytest.raises(ValueError, match="2 rows do not fit a pool of 2 that holds 1"):
        some.append(newcomers(2, 3))
    assert cells(some) == [1]


def test_a_cleared_pool_is_empty_and_takes_rows_again() -> None:
    some = pool(rows=1)
    some.append(newcomers(1))
    some.clear()
    assert some.count == 0
    some.append(newcomers(2))
    assert cells(some) == [2]


@given(st.lists(st.one_of(st.just("append"), st.integers(0, 7)), max_size=40))
def test_any_order_of_appends_and_removals_agrees_with_a_list(moves: list[Any]) -> None:
    some, model = pool(rows=8), list[float]()
    for number, move in enumerate(moves):
        if move == "append":
            if len(model) == 8:
                continue
            some.append(newcomers(number))
            model.append(number)
        elif move < len(model):
            some.remove(move)
            last = model.pop()
            if move < len(model):
                model[move] = last
        assert cells(some) == model
