"""Command line: `python -m training fit|evaluate|translate|classify|distil|attention|schema`."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

from training.config import RecipeError, load_recipe, recipe_schema
from training.data.files import CorpusError
from training.data.tables import SUFFIXES, suffix_of


def parser() -> argparse.ArgumentParser:
    """Return the parser. No option of `fit` may abbreviate one of torchrun's: torchrun would refuse it."""
    top = argparse.ArgumentParser(prog="python -m training", description="Train, evaluate and use models.")
    commands = top.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="train a recipe, or a table of your rows, into a run folder")
    fit.add_argument(
        "recipe", type=Path, help="a TOML file, see training/recipes/, or a table: CSV, TSV, JSON lines, Parquet, Excel"
    )
    fit.add_argument("--text-column", metavar="NAME", help="of a table: the texts (default: guessed)")
    fit.add_argument("--label-column", metavar="NAME", help="of a table: the labels (default: guessed)")
    fit.add_argument(
        "--label-separator",
        metavar="SIGN",
        help="of a table whose texts can have several labels: what separates them, such as '|', or `list`; `none`: "
        "each cell is one label (default: recognised)",
    )
    fit.add_argument(
        "--minutes",
        type=_at_least(0, float),
        default=5.0,
        help="of a table: time to choose the kind of model and to train it (default: 5)",
    )
    fit.add_argument("--run-folder", type=Path, help="folder to write (default: runs/NAME, NAME as in the recipe)")
    fit.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    fit.add_argument(
        "--initialise-from",
        type=Path,
        metavar="RUN",
        help="start with the weights and the vocabulary of another run, or of a pretrained encoder: the folder of a "
        "checkpoint of BERT, DistilBERT, RoBERTa, XLM-RoBERTa or ELECTRA; with --resume the run goes on with its own",
    )
    evaluate = commands.add_parser("evaluate", help="print a run's metrics on files with its recipe's columns")
    evaluate.add_argument("run", type=Path, help="run folder")
    evaluate.add_argument("files", nargs="+", help="corpora, in any form of data.train in a recipe")
    translate = commands.add_parser("translate", help="translate texts")
    classify = commands.add_parser("classify", help="classify texts")
    for command in (translate, classify):
        command.add_argument("run", type=Path, help="run folder")
        command.add_argument("text", nargs="+")
    distil = commands.add_parser("distil", help="write a student's corpus: a run's translations of its training data")
    distil.add_argument("run", type=Path, help="run folder of the teacher")
    distil.add_argument("output", type=Path, help="a TSV file with the recipe's two columns; .gz compresses it")
    distil.add_argument("files", nargs="*", help="corpora to translate (default: the run's training files)")
    distil.add_argument("--direction", help="for example de-en, when the run has several")
    attention = commands.add_parser("attention", help="draw the weights of every attention head, as SVG files")
    attention.add_argument("run", type=Path, help="run folder")
    attention.add_argument("--text", required=True)
    attention.add_argument("--output", type=Path, help="folder to write (default: attention/ in the run folder)")
    for command in (fit, evaluate, distil):
        command.add_argument(
            "--data",
            type=Path,
            help="folder of the corpora (default: data; of a table its own; of a run that of its training)",
        )
    for command in (translate, attention):
        command.add_argument("--target", help="target language, when the run has several directions")
    for command, size in ((evaluate, 1), (translate, 1), (distil, 5)):
        command.add_argument(
            "--beam", type=_at_least(1, int), default=size, help=f"beam size; 1 is greedy (default: {size})"
        )
        command.add_argument(
            "--length-penalty", type=_at_least(0, float), default=1.0, help="see training/decoding/beam.py (default: 1)"
        )
    commands.add_parser("schema", help="print the JSON Schema of recipes, for editors")
    return top


def _at_least(least: int, kind: type) -> Callable[[str], float]:
    def number(text: str) -> float:
        value: float = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number of at least {least}")
        return value

    return number


def main() -> int:
    arguments = parser().parse_args()
    if arguments.command == "schema":
        sys.stdout.write(json.dumps(recipe_schema(), indent=2) + "\n")
        return 0
    try:
        if arguments.command == "fit":
            check_fit(arguments)
    except (RecipeError, CorpusError) as error:
        return _fail(error)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130


def _run(arguments: argparse.Namespace) -> int:
    from training import commands  # takes seconds, for it imports torch; a bad recipe was refused before

    try:
        sys.stdout.write(commands.run_command(arguments))
    except commands.ERRORS as error:
        return _fail(error)
    return 0


def check_fit(arguments: argparse.Namespace) -> None:
    """Set `arguments.table` if a table is to be trained on, else `arguments.recipe` to the checked recipe.

    Raises:
        RecipeError: the recipe cannot be used, or there are options that do not apply.
        CorpusError: the table does not exist.
    """
    file = arguments.recipe
    arguments.table = file if suffix_of(file) in SUFFIXES else None
    if arguments.table is None:
        if arguments.text_column or arguments.label_column:
            raise RecipeError(f"{file} is a recipe: give the columns' names in its [data.names], not as options")
        if arguments.label_separator:
            raise RecipeError(f"{file} is a recipe: give data.label_separator in it, not --label-separator")
        arguments.recipe, arguments.recipe_file = load_recipe(file), file
    elif not file.is_file():
        raise CorpusError(f"{file}: no such file")
    elif arguments.data:
        raise RecipeError(f"{file} is a table and is read where it is: --data is for recipes")


def _fail(error: Exception) -> int:
    sys.stderr.write(f"error: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
