"""The time of every function over text grows at most linearly; `python -m benchmarks.text_cost` tries all texts."""

import random

import pytest

from benchmarks.text_cost import LIMIT, PIECES, is_wrong, measure

# Runs of these once took quadratic time.
KNOWN = [(".",), (";",), ("!<wbr>",), ("-1",), ("<b></b>", "!")]
SAMPLE = random.Random(15).sample(PIECES, 6)  # noqa: S311


@pytest.mark.parametrize("pieces", [*KNOWN, *zip(SAMPLE[::2], SAMPLE[1::2], strict=True)], ids=ascii)
def test_time_is_linear_for_runs_of(pieces: tuple[str, ...]) -> None:
    assert [row for row in measure(pieces) if is_wrong(row)] == [], f"grows more than {LIMIT:g} times"
