"""The measured figures under docs/figures: one JSON file per benchmark, written by the benchmark's `--json`.

A file has `what` was measured, the `command`, the date `measured`, the `commit`, the `machine`, and `rows` of values;
optionally `ratios` by name and `notes`. A row may carry a `measured` and a `commit` of its own.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "figures"
REQUIRED = ("what", "command", "measured", "commit", "machine", "rows")


class FiguresError(Exception):
    """A figures file that is missing or incomplete."""


@dataclass(frozen=True)
class Figures:
    """One file of figures."""

    what: str
    command: str | None  # None: not measured by a command of this repository
    measured: str  # date
    commit: str
    machine: str
    rows: list[dict[str, Any]]
    ratios: dict[str, float]
    notes: str
    timelines: dict[str, list[dict[str, float]]]  # of a load test: by endpoint, one entry every few seconds

    def caption(self) -> str:
        """Return the line below a table: when, at which commit, where and by which command it was measured."""
        commits = sorted({(row.get("measured", self.measured), row.get("commit", self.commit)) for row in self.rows})
        when = ", ".join(f"{measured} at `{commit}`" for measured, commit in commits)
        notes = f"; {self.notes}" if self.notes else ""
        command = f" Command: `{self.command}`." if self.command else ""
        return f"\nMeasured {when} on {self.machine}{notes}.{command}\n"

    def row(self, **conditions: object) -> dict[str, Any]:
        """Return the first row with these values.

        Raises:
            FiguresError: there is none.
        """
        for row in self.rows:
            if all(row.get(key) == value for key, value in conditions.items()):
                return row
        raise FiguresError(f"{self.what}: no row with {conditions}")


def read(path: Path) -> str:
    """Return the text of a figures file."""
    return path.read_text("utf-8")


def load(name: str, folder: Path = FOLDER) -> Figures:
    """Read `docs/figures/NAME.json`.

    Raises:
        FiguresError: the file is missing, is not JSON, or lacks a key.
    """
    path = folder / f"{name}.json"
    try:
        content = json.loads(read(path))
    except (OSError, ValueError) as error:
        raise FiguresError(f"{path}: {error}") from None
    if missing := [key for key in REQUIRED if key not in content]:
        raise FiguresError(f"{path}: missing {', '.join(missing)}")
    return Figures(
        **{key: content[key] for key in REQUIRED},
        ratios=content.get("ratios", {}),
        notes=content.get("notes", ""),
        timelines=content.get("timelines", {}),
    )
