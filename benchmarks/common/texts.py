"""Sentences of mixed length for benchmarks: real ones where the corpora are at hand, else generated ones."""

import random
from collections.abc import Sequence
from pathlib import Path

from loadtest.corpus import generate
from service.artifact import Manifest
from service.text.tokenizer import TextCodec
from training.data.corpus import read_corpus

PARALLEL = ("news/newstest2014.en-de.tsv.gz", "tatoeba/test.en-de.tsv.gz")  # long and short: half each
LABELLED = ("langid/sentences.test.tsv.gz",)
LANGUAGES = ["en", "de"]  # of the generated ones


def sentences(data: Path, files: Sequence[str], columns: list[str], column: str, count: int) -> list[str]:
    """`count` texts, as many from each file, in a seeded order; generated ones where `data` is no folder.

    Raises:
        CorpusError: `data` is there, but a file is missing or damaged.
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


def fitting(texts: list[str], codec: TextCodec, manifest: Manifest) -> list[str]:
    """The texts that the model takes whole: no server has to refuse one."""
    room = manifest.limits.source_length - 2  # a language mark in front, an end mark behind
    return [
        text for text, ids in zip(texts, codec.encode(texts, [], append_eos=False), strict=True) if len(ids) <= room
    ]
