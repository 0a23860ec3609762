"""Sources as the graphs read them: padded, packed, and divided into groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine.models.source import SourceFormat, packing
from service.engine.types import EngineRequest

PAD = 0


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9), min_size=1, max_size=9), st.integers(0, 12))
def test_packing_removes_the_padding_and_restores_it(sources: list[list[int]], width: int) -> None:
    arrays = SourceFormat(PAD, packed=True).arrays(sources, width)
    matrix, packed = arrays["source"], arrays["source"].ravel()[arrays["pack_index"]]
    assert packed.tolist() == [token for ids in sources for token in ids]
    assert matrix.shape == (len(sources), max(width, *map(len, sources), 1))
    for row, restored, ids in zip(matrix, packed[arrays["unpack_index"]], sources, strict=True):
        assert row.tolist() == ids + [PAD] * (len(row) - len(ids))
        assert restored.tolist() == ids + [ids[-1]] * (len(row) - len(ids))  # of the same row, never of another


def test_packing_of_two_rows() -> None:
    arrays = packing(np.array([3, 1], np.int32), 4)
    assert arrays["pack_index"].tolist() == [0, 1, 2, 4]
    assert arrays["unpack_index"].tolist() == [[0, 1, 2, 2], [3, 3, 3, 3]]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}


def test_graph_without_packing_reads_padded_sources_in_groups_of_similar_length() -> None:
    padded, packed = SourceFormat(PAD, packed=False), SourceFormat(PAD, packed=True)
    requests = [EngineRequest([5] * length) for length in (100, 3, 14, 15)]
    assert [[len(one.ids) for one in group] for group in padded.divide(requests)] == [[3, 14], [15], [100]]
    assert packed.divide(requests) == [requests]
    assert padded.divide([]) == packed.divide([]) == []
    assert set(padded.arrays([[5]])) == {"source", "source_length"}
