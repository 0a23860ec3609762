"""The weights and sentences of the offline benchmark: the untrained base shape, or a trained shape."""

import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.baselines.ctranslate2 import convert as ctranslate2
from benchmarks.baselines.transformers import convert as transformers
from benchmarks.synthetic import base_shape
from benchmarks.synthetic.lengths import sample_lengths
from training.data.corpus import FilterReport, clean, read_corpus
from training.models.transformer import Transformer
from training.runs.run import RunFolder
from training.tasks import TranslateTask

SEED = 11  # for drawing sentences


@dataclass(frozen=True)
class Case:
    """A run and its sentences as source ids with special tokens; `limit` is the maximum target length in tokens."""

    run: RunFolder
    sources: list[list[int]]
    limit: int

    def converted(self, name: str) -> Path:
        """Return the folder with the run's weights converted for another engine; written again only if the run changed.

        Raises:
            UnsupportedModel: the other engine cannot run this model.
        """
        folder = self.run.path / "baselines" / name
        done = folder / "done"
        if done.is_file() and done.stat().st_mtime >= self.run.weights.stat().st_mtime:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        if name == "ctranslate2":
            ctranslate2.convert_run(self.run.path, folder)
        else:
            transformers.convert(open_translator(self.run)[1], folder)
        done.touch()
        return folder


def open_translator(run: RunFolder) -> tuple[TranslateTask, Transformer]:
    """Load the task and the model of a run.

    Raises:
        ValueError: it is not a Transformer translator.
    """
    task, model = run.open(torch.device("cpu"))
    if not isinstance(task, TranslateTask) or not isinstance(model, Transformer):
        raise ValueError(f"{run.path}: not a run of a Transformer translator")
    return task, model


def base_case(run: Path, lengths: str, count: int) -> Case:
    """Return the base shape, its run folder created if missing, with synthetic sentences of real lengths."""
    folder = RunFolder(run) if RunFolder(run).weights.is_file() else base_shape.write_run(run, lengths)
    task, model = open_translator(folder)
    size = task.codec.source.get_vocab_size()
    ids = base_shape.synthetic_ids(size, sample_lengths(lengths, count, SEED), SEED)
    return Case(folder, ids, model.config.max_target_length)


def trained_case(run: Path, data: Path, file: str, direction: str, count: int) -> Case:
    """Return a trained run with a seeded sample of real sentences of its direction.

    Raises:
        CorpusError: the file cannot be read.
        ValueError: the run does not translate in this direction.
    """
    folder = RunFolder(run)
    task, model = open_translator(folder)
    pairs = {f"{source}-{target}": (source, target) for source, target in task.recipe.pairs}
    if direction not in pairs:
        raise ValueError(f"{run} does not translate {direction!r}; choose one of {', '.join(pairs)}")
    source, target = pairs[direction]
    rows = clean(read_corpus([file], task.recipe.data.columns, data), FilterReport())
    texts = task.parallel_texts(rows, source, target)[0]
    random.Random(SEED).shuffle(texts)
    sources = [ids for ids in task.source_ids(texts, target) if len(ids) <= model.config.max_source_length]
    return Case(folder, sources[:count], model.config.max_target_length)


def export_missing(run: Path, artifact: Path) -> None:
    """Export the artifact of a run with its own corpus unless it exists; int8 if the name ends in "-int8".

    Raises:
        subprocess.CalledProcessError: the export failed.
    """
    if (artifact / "manifest.json").is_file():
        return
    data, sure = run / "data", ["--sentences", "50", "--tolerance", "1e-3"]
    if artifact.name.endswith("-int8"):
        sure += ["--int8", "--bound", "100"]  # untrained weights have no quality to lose
    subprocess.run([sys.executable, "-m", "export", str(run), str(artifact), "--data", str(data), *sure], check=True)
