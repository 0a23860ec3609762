"""Sequence-level knowledge distillation (Kim and Rush 2016): a teacher translates the training data for a student.

The student trains on one translation per source, in one style, which is easier to learn than human translations.
"""

import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from training.data.corpus import Row
from training.decoding.beam import BeamOptions
from training.tasks import TranslateTask

CHUNK = 2048  # sources between two updates of the progress bar


@dataclass(frozen=True)
class Teacher:
    """A trained translator, its direction, and its search options."""

    task: TranslateTask
    model: nn.Module
    device: torch.device
    source: str
    target: str
    beam: BeamOptions

    def translate_corpus(self, rows: list[Row]) -> Iterator[Row]:
        """Yield each distinct source with its translation, in the order of the columns.

        Sources with an empty translation are left out, such as those above the teacher's length limit.
        """
        columns = self.task.recipe.data.columns
        sources = list(dict.fromkeys(self.task.parallel_texts(rows, self.source, self.target)[0]))
        first = columns.index(self.source) < columns.index(self.target)
        with tqdm(total=len(sources), unit="source") as bar:
            for start in range(0, len(sources), CHUNK):
                texts = sources[start : start + CHUNK]
                translations = self.task.translate(self.model, texts, self.target, self.device, self.beam)
                for text, translation in zip(map(one_line, texts), map(one_line, translations), strict=True):
                    if text and translation:
                        yield (text, translation) if first else (translation, text)
                bar.update(len(texts))


def one_line(text: str) -> str:
    """Return the text without tabs and line breaks, as a field of a TSV file needs it."""
    return re.sub(r"[\t\r\n]+", " ", text).strip()


def write_tsv(path: Path, rows: Iterator[Row]) -> int:
    """Write a corpus, gzipped if the name ends in .gz, and return the number of rows.

    The file is renamed into place when it is complete.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (gzip.open if path.suffix == ".gz" else open)(partial, "wt", encoding="utf-8", newline="\n") as file:
        for one, other in rows:
            file.write(f"{one}\t{other}\n")
            count += 1
    os.replace(partial, path)
    return count
