"""Sentences of mixed length for benchmarks: real ones where the corpora are available, otherwise generated ones."""

import random
from collections.abc import Sequence
from pathlib import Path

from loadtest.corpus import generate
from service.artifact import Manifest
from service.text.tokenizer import TextCodec
from training.data.corpus import read_corpus

PARALLEL = ("news/newstest2014.en-de.tsv.gz", "tatoeba/test.en-de.tsv.gz")  # long and short: half each
LABELLED = ("langid/sentences.test.tsv.gz",)
LANGUAGES = ["en", "de"]  # of generated sentences


def sentences(data: Path, files: Sequence[str], columns: list[str], column: str, count: int) -> list[str]:
    """Return `count` texts, equally many from each file, in a seeded order; generated ones if `data` is not a folder.

    Raises:
        CorpusError: `data` exists, but a file is missing or damaged.
    """
    rng = random.Random(1)
    if not data.is_dir():
        return generate([column] if column in LANGUAGES else LANGUAGES, count, rng)
    index = columns.index(column)
    chosen: list[str] = []
    for file in files:
        rows = [row[index] for row in read_corpus([file], columns, data)]
        share = -(-count // len(files))
        chosen += rng.sample(rows, min(share, len(rows)))
    rng.shuffle(chosen)
    return chosen[:count]


def within_limit(texts: list[str], codec: TextCodec, manifest: Manifest) -> list[str]:
    """Return the texts within the model's length limit, so that no server refuses one."""
    limit = manifest.limits.source_length - 2  # language token and end-of-sequence token
    return [
        text for text, ids in zip(texts, codec.encode(texts, [], append_eos=False), strict=True) if len(ids) <= limit
    ]
