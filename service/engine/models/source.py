"""Sources as the graphs read them: a padded matrix and, for most graphs, where its tokens are without the padding.

A graph with the inputs `pack_index` and `unpack_index` computes its linear maps on the packed tokens and returns to the
padded shape only for attention. So sources of any length share a run at no cost. A graph without these inputs computes
the padding too, and its sources are grouped by length.

Shapes: B sources, S length of the longest, N tokens of all of them.
"""

from dataclasses import dataclass

import numpy as np

from service.engine.models.session import Arrays, Session
from service.engine.scheduler import group_by_length
from service.engine.types import EngineRequest


def pad(sources: list[list[int]], pad_id: int, width: int = 0) -> Arrays:
    """Return sources as a right-padded matrix (B, S) and its lengths (B,); S is at least `width`."""
    lengths = np.array([len(ids) for ids in sources], dtype=np.int32)
    matrix = np.full((len(sources), max(width, int(lengths.max()))), pad_id, dtype=np.int64)
    for row, ids in enumerate(sources):
        matrix[row, : len(ids)] = ids
    return {"source": matrix, "source_length": lengths}


def packing(lengths: np.ndarray, width: int) -> Arrays:
    """Return the places of the tokens in a flat (B, S) matrix (N,), and each place's token as a number below N (B, S).

    Padding has the number of its row's last token, so that what is computed for a row depends on this row alone.
    """
    position = np.arange(width)  # (S,)
    end = np.cumsum(lengths, dtype=np.int64)[:, None]  # (B, 1)
    length = lengths[:, None]  # (B, 1)
    return {
        "pack_index": np.flatnonzero(position < length),
        "unpack_index": end - length + np.minimum(position, length - 1),
    }


@dataclass(frozen=True)
class SourceFormat:
    """What a graph reads of a group of sources, and which sources share a run."""

    pad_id: int
    packed: bool

    @staticmethod
    def of(graph: Session, pad_id: int) -> "SourceFormat":
        """Return the format of a graph, which its inputs tell."""
        return SourceFormat(pad_id, "pack_index" in graph.inputs)

    def arrays(self, sources: list[list[int]], width: int = 0) -> Arrays:
        """Return the inputs of a graph for sources, padded to the longest or to `width`."""
        arrays = pad(sources, self.pad_id, width)
        if self.packed:
            arrays |= packing(arrays["source_length"], arrays["source"].shape[1])
        return arrays

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        """Divide requests into groups that are encoded together: all at once, or by length if padding costs time."""
        return [requests] if self.packed and requests else group_by_length(requests)
