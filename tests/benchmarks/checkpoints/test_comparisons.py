"""The comparisons with transformers run on small checkpoints and find the same answers."""

import argparse
import gzip
import json
from pathlib import Path

import pytest

from benchmarks.checkpoints import classifiers, translators
from benchmarks.checkpoints.common import mixed_lines
from benchmarks.checkpoints.opus_shape import write_checkpoint
from tests.docs.test_tutorial import ROWS, SHAPE


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the corpora that the comparisons read."""
    for name, rows in (("langid/sentences.test", [("de", one) for one, _ in ROWS]), ("tatoeba/test.en-de", ROWS)):
        file = tmp_path / "data" / f"{name}.tsv.gz"
        file.parent.mkdir(parents=True)
        file.write_bytes(gzip.compress("".join(f"{a}\t{b}\n" for a, b in rows).encode()))
    return tmp_path / "data"


def test_mixed_lines_have_odd_ones_among_them(data: Path) -> None:
    lines = mixed_lines(data, 80)
    assert len(lines) == 80
    assert sum(not line.isascii() or line != line.strip() or "  " in line for line in lines) >= 15


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")  # which normalises nothing that is asked here
def test_translator_gives_the_answers_of_transformers(data: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "opus-en-de", ROWS, SHAPE, pieces=60, vocabulary=120, seconds=1.0)
    options = argparse.Namespace(data=data, sentences=4, lines=60, tokens=12)
    rows = translators.compare(checkpoint, options, tmp_path)
    assert [(row["search"], row["equal"], row["equal_ids"]) for row in rows] == [("greedy", 4, 60), ("beam 4", 4, 60)]
    assert json.dumps(rows)


def test_requests_have_pairs_and_long_texts() -> None:
    found = classifiers.requests([f"text {i}" for i in range(400)], 10)
    assert {kind: len(asked) for kind, asked in found.items()} == {
        "single texts": 10, "pairs": 10, "texts that are cut": 4, "pairs that are cut": 3,
    }  # fmt: skip
