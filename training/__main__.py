"""Command line: `python -m training fit|evaluate|translate|classify|distil|attention`."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from training.config import RecipeError, load_recipe
from training.data.corpus import CorpusError, read_corpus
from training.data.tokenizer import TokenizerError
from training.decoding.beam import BeamOptions
from training.metrics import class_probabilities
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder
from training.tasks import ClassifyTask, Task, TranslateTask
from training.tools.attention_plots import draw_attention
from training.tools.distillation import Teacher, write_tsv
from training.trainer import TrainingError, fit


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training", description="Corpus to checkpoint.")
    commands = top.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit", help="train a recipe into a run folder")
    fitting.add_argument("recipe", type=Path, help="a TOML file, see training/recipes/")
    fitting.add_argument(
        "--run", "--run-folder", type=Path, help="default: runs/NAME OF THE RECIPE; torchrun needs the long spelling"
    )
    beginning = fitting.add_mutually_exclusive_group()
    beginning.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    beginning.add_argument("--start", type=Path, help="a run whose weights and vocabulary to start from")
    evaluating = commands.add_parser("evaluate", help="figures of a run on files of its recipe's columns")
    evaluating.add_argument("run", type=Path)
    evaluating.add_argument("files", nargs="+", help="corpora, see training/data/corpus.py for the forms")
    translating = commands.add_parser("translate", help="translate texts")
    classifying = commands.add_parser("classify", help="classify texts")
    for asking in (translating, classifying):
        asking.add_argument("run", type=Path)
        asking.add_argument("text", nargs="+")
    distilling = commands.add_parser("distil", help="a corpus for a student: a run's translations of its training data")
    distilling.add_argument("run", type=Path, help="the teacher")
    distilling.add_argument(
        "output",
        type=Path,
        help="a TSV file of two columns, ordered as the recipe's; gzipped if it ends in .gz",
    )
    distilling.add_argument("files", nargs="*", help="corpora to translate; default: those that the run trained on")
    distilling.add_argument("--direction", help="for example de-en, when the run has several")
    drawing = commands.add_parser("attention", help="draw where each layer and head looks, as PNG files")
    drawing.add_argument("run", type=Path)
    drawing.add_argument("--text", required=True)
    drawing.add_argument("--output", type=Path, help="a folder; default: attention in the run's folder")
    for reading in (fitting, evaluating, distilling):
        reading.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora (default: data)")
    for writing in (translating, drawing):
        writing.add_argument("--target", help="target language, when the run has several directions")
    for searching, width in ((evaluating, 1), (translating, 1), (distilling, 5)):
        searching.add_argument(
            "--beam", type=_at_least(1, int), default=width, help=f"hypotheses kept; 1 is greedy (default: {width})"
        )
        searching.add_argument(
            "--length-penalty", type=_at_least(0, float), default=1.0, help="see training/decoding/beam.py (default: 1)"
        )
    return top


def _at_least(least: int, kind: type) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number of at least {least}")
        return value

    return number


def run_command(arguments: argparse.Namespace) -> str:
    """Do what the command line says and return what goes to standard output."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.command == "fit":
        recipe = load_recipe(arguments.recipe)
        run, start = RunFolder(arguments.run or Path("runs") / recipe.name), arguments.start
        report = fit(recipe, arguments.data, run, arguments.resume, RunFolder(start) if start else None)
        return _json(report) if report else ""
    task, model = RunFolder(arguments.run).open(device)
    match arguments.command:
        case "evaluate":
            return evaluate(arguments, task, model, device)
        case "attention":
            return attention(arguments, task, model, device)
        case "translate" if isinstance(task, TranslateTask):
            return translate(arguments, task, model, device)
        case "distil" if isinstance(task, TranslateTask):
            return distil(arguments, task, model, device)
        case "classify" if isinstance(task, ClassifyTask):
            return classify(arguments, task, model, device)
    raise RecipeError(f"{arguments.run} is a {task.recipe.task} run; `{arguments.command}` does not apply")


def evaluate(arguments: argparse.Namespace, task: Task, model: nn.Module, device: torch.device) -> str:
    rows = read_corpus(arguments.files, task.recipe.data.columns, arguments.data)
    if isinstance(task, TranslateTask):
        return _json(task.evaluate(model, rows, device, _beam(arguments)))
    if arguments.beam > 1:
        raise RecipeError(f"{arguments.run} is a classify run; --beam does not apply")
    return _json(task.evaluate(model, rows, device))


def translate(arguments: argparse.Namespace, task: TranslateTask, model: nn.Module, device: torch.device) -> str:
    target = _target(arguments, task)
    _refuse_long(task.source_ids(arguments.text, target), task.recipe.model.max_source_length)
    return "\n".join(task.translate(model, arguments.text, target, device, _beam(arguments))) + "\n"


def classify(arguments: argparse.Namespace, task: ClassifyTask, model: nn.Module, device: torch.device) -> str:
    ids = task.source_ids(arguments.text)
    _refuse_long(ids, task.recipe.model.max_source_length)
    lines = []
    for text, row in zip(arguments.text, class_probabilities(model, ids, device), strict=True):
        best = row.argsort()[::-1][:3]
        lines.append(f"{text}\t" + ", ".join(f"{task.labels[i]} {row[i]:.3f}" for i in best) + "\n")
    return "".join(lines)


def distil(arguments: argparse.Namespace, task: TranslateTask, model: nn.Module, device: torch.device) -> str:
    pairs = dict(zip(task.recipe.data.directions, task.recipe.pairs, strict=True))
    direction = arguments.direction or task.recipe.data.directions[0]
    if direction not in pairs:
        raise RecipeError(f"--direction {direction}: this run translates {', '.join(pairs)}")
    rows = read_corpus(arguments.files or task.recipe.data.train, task.recipe.data.columns, arguments.data)
    teacher = Teacher(task, model, device, *pairs[direction], _beam(arguments))
    count = write_tsv(arguments.output, teacher.rewrite(rows))
    return f"{arguments.output}: {count} rows, {direction}, from {len(rows)}\n"


def attention(arguments: argparse.Namespace, task: Task, model: nn.Module, device: torch.device) -> str:
    if isinstance(task, TranslateTask):
        ids = task.source_ids([arguments.text], _target(arguments, task))
    else:
        ids = task.source_ids([arguments.text])
    _refuse_long(ids, task.recipe.model.max_source_length)
    files = draw_attention(task, model, ids[0], arguments.output or arguments.run / "attention", device)
    if not files:
        raise RecipeError(f"{arguments.run} is a {task.recipe.model.architecture} without attention; nothing to draw")
    return "".join(f"{file}\n" for file in files)


def _beam(arguments: argparse.Namespace) -> BeamOptions:
    return BeamOptions(arguments.beam, arguments.length_penalty)


def _target(arguments: argparse.Namespace, task: TranslateTask) -> str:
    target = arguments.target or task.recipe.pairs[0][1]
    if target not in {pair[1] for pair in task.recipe.pairs}:
        raise RecipeError(f"--target {target}: this run translates {', '.join(task.recipe.data.directions)}")
    return target


def _refuse_long(ids: list[list[int]], limit: int) -> None:
    longest = max(map(len, ids))
    if longest > limit:
        raise RecipeError(f"a text takes {longest} tokens, marks included; this model reads at most {limit}")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    try:
        sys.stdout.write(run_command(parser().parse_args()))
    # OSError: a file in a folder's place, a full disk.
    except (RecipeError, CorpusError, TokenizerError, CheckpointError, TrainingError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
