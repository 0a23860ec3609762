"""Command line: `python -m training fit|evaluate|translate|classify`."""

import argparse
import json
import sys
from pathlib import Path

import torch

from training.checkpoint import CheckpointError
from training.config import RecipeError, load_recipe
from training.corpus import CorpusError, read_corpus
from training.evaluate import class_probabilities
from training.loop import TrainingError, fit
from training.run import RunFolder
from training.tasks import ClassifyTask, TranslateTask
from training.tokenizer import TokenizerError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training", description="Corpus to checkpoint.")
    commands = top.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit", help="train a recipe into a run folder")
    fitting.add_argument("recipe", type=Path, help="a TOML file, see training/recipes/")
    fitting.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora (default: data)")
    fitting.add_argument(
        "--run", "--run-folder", type=Path, help="default: runs/NAME OF THE RECIPE; torchrun needs the long spelling"
    )
    fitting.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    evaluating = commands.add_parser("evaluate", help="figures of a run on files of its recipe's columns")
    evaluating.add_argument("run", type=Path)
    evaluating.add_argument("files", nargs="+", help="corpora, see training/corpus.py for the forms")
    evaluating.add_argument("--data", type=Path, default=Path("data"))
    translating = commands.add_parser("translate", help="translate a text greedily")
    translating.add_argument("run", type=Path)
    translating.add_argument("text", nargs="+")
    translating.add_argument("--target", help="target language, when the run has several directions")
    classifying = commands.add_parser("classify", help="classify a text")
    classifying.add_argument("run", type=Path)
    classifying.add_argument("text", nargs="+")
    return top


def run_command(arguments: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.command == "fit":
        recipe = load_recipe(arguments.recipe)
        run = RunFolder(arguments.run or Path("runs") / recipe.name)
        report = fit(recipe, arguments.data, run, arguments.resume)
        if report:
            sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        return
    task, model = RunFolder(arguments.run).open(device)
    if arguments.command == "evaluate":
        rows = read_corpus(arguments.files, task.recipe.data.columns, arguments.data)
        figures = task.evaluate(model, rows, device)
        sys.stdout.write(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    elif arguments.command == "translate" and isinstance(task, TranslateTask):
        target = arguments.target or task.recipe.pairs[0][1]
        if target not in {pair[1] for pair in task.recipe.pairs}:
            raise RecipeError(f"--target {target}: this run translates {', '.join(task.recipe.data.directions)}")
        _refuse_long(task.source_ids(arguments.text, target), task.recipe.model.max_source_length)
        sys.stdout.write("\n".join(task.translate(model, arguments.text, target, device)) + "\n")
    elif arguments.command == "classify" and isinstance(task, ClassifyTask):
        ids = task.source_ids(arguments.text)
        _refuse_long(ids, task.recipe.model.max_source_length)
        for text, row in zip(arguments.text, class_probabilities(model, ids, device), strict=True):
            best = row.argsort()[::-1][:3]
            sys.stdout.write(f"{text}\t" + ", ".join(f"{task.labels[i]} {row[i]:.3f}" for i in best) + "\n")
    else:
        raise RecipeError(f"{arguments.run} is a {task.recipe.task} run; `{arguments.command}` does not apply")


def _refuse_long(ids: list[list[int]], limit: int) -> None:
    longest = max(map(len, ids))
    if longest > limit:
        raise RecipeError(f"a text takes {longest} tokens, marks included; this model reads at most {limit}")


def main() -> int:
    try:
        run_command(parser().parse_args())
    except (RecipeError, CorpusError, TokenizerError, CheckpointError, TrainingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
