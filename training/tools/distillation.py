"""Sequence-level knowledge distillation (Kim and Rush 2016): a teacher rewrites the training targets for a student.

The student trains on one answer a source, in one style, which is easier to learn than what people wrote.
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

CHUNK = 2048  # sources between two signs of life


@dataclass(frozen=True)
class Teacher:
    """A trained translator, the direction it teaches, and how it searches."""

    task: TranslateTask
    model: nn.Module
    device: torch.device
    source: str
    target: str
    beam: BeamOptions

    def rewrite(self, rows: list[Row]) -> Iterator[Row]:
        """Each distinct source with the teacher's translation, in the columns' order; none where that is empty, as it
        is for a source above the teacher's limit."""
        columns = self.task.recipe.data.columns
        sources = list(dict.fromkeys(self.task.oriented(rows, self.source, self.target)[0]))
        first = columns.index(self.source) < columns.index(self.target)
        with tqdm(total=len(sources), unit="source") as bar:
            for start in range(0, len(sources), CHUNK):
                texts = sources[start : start + CHUNK]
                answers = self.task.translate(self.model, texts, self.target, self.device, self.beam)
                for text, answer in zip(map(one_line, texts), map(one_line, answers), strict=True):
                    if text and answer:
                        yield (text, answer) if first else (answer, text)
                bar.update(len(texts))


def one_line(text: str) -> str:
    """The text fit for a field of a TSV file."""
    return re.sub(r"[\t\r\n]+", " ", text).strip()


def write_tsv(path: Path, rows: Iterator[Row]) -> int:
    """Write a corpus, gzipped where the name ends in .gz, and count its rows. The file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (gzip.open if path.suffix == ".gz" else open)(partial, "wt", encoding="utf-8", newline="\n") as file:
        for one, other in rows:
            file.write(f"{one}\t{other}\n")
            count += 1
    os.replace(partial, path)
    return count
