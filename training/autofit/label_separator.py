"""Find out whether the labels of a table are several a row, and what separates them."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from training.data.files import CorpusError
from training.data.labels import LIST, LIST_SEPARATOR, split_labels

SEPARATORS = {"|": "vertical bar", ";": "semicolon", ",": "comma", LIST: "list"}
NONE = "none"  # of the command line: a cell is one label, whatever signs it has
SURE = 0.9  # of the labels that a comma separates, which occurs in names too: this share stands in another cell as well


def choose_separator(cells: Sequence[str], given: str | None, title: str) -> tuple[str, str]:
    """Return the separator of the labels in the cells of a column, and a note; both empty if each cell is one label.

    Without a given one it is recognised: the parts are fewer than the cells that differ.

    Raises:
        CorpusError: the given separator is in no cell.
    """
    if given == NONE:
        return "", ""
    if given:
        joined = next((cell for cell in cells if len(split_labels(cell, given)) > 1), None)
        if joined is None:
            raise CorpusError(
                f"{title}: no cell has {_name(given)} between two labels (--label-separator); leave the option out for "
                "one label a text"
            )
        return given, _note(cells, given, "given")
    separator = guess_separator(cells)
    return (separator, _note(cells, separator, f"--label-separator {NONE} if not")) if separator else ("", "")


def guess_separator(cells: Sequence[str]) -> str:
    """Return the separator of the labels in the cells, `list` for lists; empty if each cell seems to be one label."""
    if any(LIST_SEPARATOR in cell for cell in cells):
        return LIST
    different = {cell.strip() for cell in cells}
    for separator in SEPARATORS:
        parts = {cell: split_labels(cell, separator) for cell in different}
        joined = [labels for labels in parts.values() if len(labels) > 1]
        occurrences = Counter(chain.from_iterable(parts.values()))
        if not joined or len(occurrences) >= len(different):
            continue
        repeated = [occurrences[label] > 1 for label in set(chain.from_iterable(joined))]
        if separator != "," or sum(repeated) >= SURE * len(repeated):
            return separator
    return ""


def _name(separator: str) -> str:
    return f"{SEPARATORS.get(separator, 'separator')} {separator!r}" if separator != LIST else "a list"


def _note(cells: Sequence[str], separator: str, why: str) -> str:
    found = [split_labels(cell, separator) for cell in cells]
    example = next(labels for labels in found if len(labels) > 1)
    several, none = sum(len(labels) > 1 for labels in found), sum(not labels for labels in found)
    between = "in lists" if separator == LIST else f"separated by {separator!r}"
    without = f", {none:,} have none" if none else ""
    return (
        f"a text can have several labels, {between} ({why}): {several:,} of {len(cells):,} rows have, such as "
        f"{' and '.join(map(repr, example[:3]))}{without}"
    )
