"""Rows of a corpus, and the filter that drops incomplete ones."""

from dataclasses import dataclass

Row = tuple[str, ...]  # a string for each column, empty if its source has no such column


@dataclass
class FilterReport:
    """Counts of the rows that were kept, and of those that were filtered out, by reason."""

    kept: int = 0
    empty: int = 0
    too_long: int = 0
    bad_ratio: int = 0
    duplicate: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kept:,} kept; filtered out: {self.empty:,} with an empty side, {self.duplicate:,} duplicates, "
            f"{self.too_long:,} too long, {self.bad_ratio:,} with an unlikely length ratio"
        )


def clean(rows: list[Row], report: FilterReport, distinct: bool = True) -> list[Row]:
    """Strip all texts; drop and count rows with fewer than two sides and, if `distinct`, duplicates."""
    kept: dict[Row, None] | list[Row] = {} if distinct else []
    for given in rows:
        row = tuple(text.strip() for text in given)
        if sum(map(bool, row)) < 2:
            report.empty += 1
        elif isinstance(kept, list):
            kept.append(row)
        elif row in kept:
            report.duplicate += 1
        else:
            kept[row] = None
    return list(kept)
