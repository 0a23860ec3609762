"""Logits to ids. Search never sees the model."""

import numpy as np


def greedy(logits: np.ndarray) -> np.ndarray:
    """The most probable token of every row: logits (B, V) -> ids (B,)."""
    ids: np.ndarray = logits.argmax(axis=1)
    return ids
