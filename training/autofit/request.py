"""What the command line asks for when it trains on a table."""

import re
from dataclasses import dataclass
from pathlib import Path

from training.data.tables import SUFFIXES, suffix_of


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    file: Path
    text_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None  # None: recognised; "none": each cell is one label
    minutes: float = 5.0
    name: str = ""  # of the run; default: the file's


def name_of(file: Path) -> str:
    """Return the name of a run for a file: its own, in the letters that a name may have."""
    stem = file.name
    while suffix_of(Path(stem)) in SUFFIXES or stem.lower().endswith(".gz"):
        stem = stem[: stem.rindex(".")]
    return re.sub(r"[^a-z0-9._]+", "-", stem.casefold()).strip("-._") or "model"
