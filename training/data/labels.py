"""The labels of a row: exactly one, or with `data.label_separator` any number, even none.

Readers write the labels of such a row as a JSON list into its cell, so that every row is a tuple of texts, and a text
without labels is not an empty cell.
"""

import json
from collections.abc import Sequence

from training.config import DataConfig

LIST = "list"  # a `label_separator`: the cells of the file are lists
LIST_SEPARATOR = "\x1f"  # joins the elements of a list in a cell; the ASCII unit separator occurs in no text


def split_labels(cell: str, separator: str) -> list[str]:
    """Return the different labels in a cell of a file, in their order."""
    parts = cell.split(LIST_SEPARATOR if separator == LIST else separator)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def encode_labels(labels: Sequence[str]) -> str:
    """Return the cell of a row with these labels; `row_labels` reads it back."""
    return json.dumps(list(labels), ensure_ascii=False)


def row_labels(data: DataConfig, row: Sequence[str]) -> list[str]:
    """Return the labels of a row of a classifier's corpus."""
    cell = row[data.columns.index("label")]
    if not data.label_separator:
        return [cell.strip()]
    labels: list[str] = json.loads(cell)
    return labels
