"""Lengths of real sentences, used for synthetic sentences, so that benchmarks need no corpus.

    python -m benchmarks.synthetic.lengths --data DATA      measures and prints the tables below

Lengths are tokens of English sentences, end-of-sequence included, under a joint byte-level BPE vocabulary of 32,000
pieces trained on the texts named in `main`. A table holds the quantiles 0 %, 1 %, ..., 100 % of one test set.
"""

import argparse
import random
import sys
from pathlib import Path

from training.config import TokenizerConfig
from training.data.corpus import read_corpus
from training.data.tokenizer import train_codec

QUANTILES = {
    "news": [
        3, 7, 8, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15, 15, 15, 16, 16, 17, 17, 17, 17,
        18, 18, 18, 19, 19, 19, 20, 20, 20, 20, 21, 21, 21, 22, 22, 22, 23, 23, 23, 24, 24, 24, 25, 25, 25,
        26, 26, 26, 27, 27, 28, 28, 28, 29, 29, 29, 30, 30, 31, 31, 31, 32, 32, 33, 33, 34, 34, 35, 35, 36,
        36, 37, 37, 38, 39, 39, 40, 41, 41, 42, 43, 44, 45, 46, 47, 49, 50, 51, 53, 55, 57, 59, 63, 69, 96,
    ],
    "tatoeba": [
        3, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
        8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11,
        11, 11, 11, 11, 11, 11, 11, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 13, 14, 14, 14, 15, 15, 15,
        16, 16, 17, 17, 18, 19, 20, 21, 24, 26, 32, 87,
    ],
}  # fmt: skip
COLUMNS = ["en", "de"]
TRAINING = ["tatoeba/train.en-de.tsv.gz", *(f"news/newstest{year}.en-de.tsv.gz" for year in range(2008, 2013))]
MEASURED = {"news": "news/newstest2014.en-de.tsv.gz", "tatoeba": "tatoeba/test.en-de.tsv.gz"}


def sample_lengths(kind: str, count: int, seed: int) -> list[int]:
    """Draw source lengths in tokens, special tokens included."""
    return random.Random(seed).choices(QUANTILES[kind], k=count)


def quantiles(lengths: list[int]) -> list[int]:
    """Return the quantiles 0 %, 1 %, ..., 100 %."""
    ordered = sorted(lengths)
    return [ordered[round(i * (len(ordered) - 1) / 100)] for i in range(101)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    data = parser.parse_args().data
    english, german = zip(*read_corpus(TRAINING, COLUMNS, data), strict=True)
    codec = train_codec(TokenizerConfig(vocabulary=32_000), list(english), list(german), [])
    for kind, file in MEASURED.items():
        texts = [row[0] for row in read_corpus([file], COLUMNS, data)]
        sys.stdout.write(f"{kind}: {quantiles([len(ids) for ids in codec.source_ids(texts, None)])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
