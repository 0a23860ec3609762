"""Split a folder of parallel corpora, one file a source and language pair, into training, development and test files.

    python -m training.data.split_docs DATA/docs DATA/docs-split

Reads `SOURCE.en-XX.tsv.gz`, English first, and writes `{train,dev,test,unseen}.en-XX.tsv.gz` and `split.json`, which
counts the rows of each source. The choice depends on the texts alone, so anybody with the same files gets the same
split:

- a source of `UNSEEN` has no row in `train`, `dev` or `test`; `unseen` is drawn from it;
- `dev` and `test` are drawn from all others, in proportion to the square root of a source's rows, so that a small
  source has a say;
- a training row shares no side with a row of the three others, in any language, also when all numbers are taken for
  equal;
- each source gives `train` at most `MOST` rows a language.
"""

import argparse
import gzip
import hashlib
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from training.data.corpus import CorpusError, Row, read_corpus

UNSEEN = ("opensource-guide",)
NEVER = ("tico19-test",)  # a benchmark, only for testing
HELD_OUT = 500  # rows a language in each of dev, test and unseen
MOST = 24_000
WORDS = range(6, 41)  # words of an English side in dev, test and unseen


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.split_docs", description="Split a folder of parallel corpora by source."
    )
    parser.add_argument("corpora", type=Path, help="folder of SOURCE.en-XX.tsv.gz")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args()
    try:
        counts = split(arguments.corpora, arguments.output)
    except CorpusError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for name, rows in counts.items():
        sys.stdout.write(f"{name}: {sum(rows.values()):,} rows of {len(rows)} sources\n")
    return 0


def split(corpora: Path, output: Path) -> dict[str, dict[str, int]]:
    """Write the files; return the rows of each source in each file.

    Raises:
        CorpusError: the folder holds no such files, or one cannot be read.
    """
    sources = _read(corpora)
    if not sources:
        raise CorpusError(f"{corpora}: no file SOURCE.en-XX.tsv.gz")
    held_out: dict[str, dict[str, list[tuple[str, Row]]]] = {}
    for pair, by_source in sources.items():
        unseen = {name: rows for name, rows in by_source.items() if name in UNSEEN}
        seen = {name: rows for name, rows in by_source.items() if name not in UNSEEN}
        drawn = draw(seen, 2 * HELD_OUT)
        held_out[pair] = {
            "dev": drawn[::2], "test": drawn[1::2], "unseen": draw(unseen, HELD_OUT),
        }  # fmt: skip
    keys = {key for parts in held_out.values() for rows in parts.values() for _, row in rows for key in map(_key, row)}
    counts: dict[str, dict[str, int]] = {}
    output.mkdir(parents=True, exist_ok=True)
    for pair, by_source in sources.items():
        train = [
            (name, row)
            for name, rows in by_source.items()
            if name not in UNSEEN
            for row in [row for row in rows if keys.isdisjoint(map(_key, row))][:MOST]
        ]
        for part, chosen in {"train": _shuffled(train), **held_out[pair]}.items():
            counts[f"{part}.{pair}"] = _write(output / f"{part}.{pair}.tsv.gz", chosen)
    (output / "split.json").write_text(json.dumps(counts, indent=1), "utf-8")
    return counts


def draw(by_source: dict[str, list[Row]], count: int) -> list[tuple[str, Row]]:
    """Return `count` rows with their source's name, in shuffled order, of an English length in `WORDS`.

    A source's share is the square root of its rows. The first rows of a source are taken, for all are shuffled.
    """
    usable = {name: [row for row in rows if len(row[0].split()) in WORDS] for name, rows in by_source.items()}
    roots = {name: math.sqrt(len(rows)) for name, rows in usable.items()}
    total = sum(roots.values())
    chosen: list[tuple[str, Row]] = []
    rest: list[tuple[str, Row]] = []
    for name, rows in usable.items():
        share = round(count * roots[name] / total)
        chosen += [(name, row) for row in rows[:share]]
        rest += [(name, row) for row in rows[share:]]
    chosen += _shuffled(rest)[: max(0, count - len(chosen))]
    return _shuffled(chosen)[:count]


def _read(corpora: Path) -> dict[str, dict[str, list[Row]]]:
    """Return the rows, shuffled, by language pair and source."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(dict)
    for path in sorted(corpora.glob("*.en-*.tsv.gz")):
        name, pair = path.name.removesuffix(".tsv.gz").rsplit(".", 1)
        if name not in NEVER:
            rows = read_corpus([path.name], pair.split("-"), corpora)
            found[pair][name] = [row for _, row in _shuffled((name, row) for row in rows)]
    return dict(found)


def _shuffled(rows: Iterable[tuple[str, Row]]) -> list[tuple[str, Row]]:
    """Return the rows in the order of a hash of their texts, which looks random and is the same everywhere."""
    return sorted(rows, key=lambda named: hashlib.sha256("\t".join(named[1]).encode()).digest())


def _key(text: str) -> str:
    """Return the text lower-cased, its words alone, with all numbers as 0."""
    return " ".join(re.findall(r"\w+", re.sub(r"\d+", "0", text.lower())))


def _write(path: Path, rows: list[tuple[str, Row]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        for name, row in rows:
            file.write(("\t".join(row) + "\n").encode())
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
