"""The commands of `python -m training`: each takes the parsed arguments and returns what goes to standard output."""

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import nn

from training.autofit.fine_tuning import plan_fine_tuning
from training.autofit.language_check import check_languages
from training.autofit.plan import plan_run
from training.autofit.pretrained import plan_pretrained
from training.autofit.request import Request, name_of
from training.config import Recipe, RecipeError
from training.data.corpus import CorpusError, read_files
from training.data.tokenizer import TokenizerError
from training.decoding.beam import BeamOptions
from training.metrics import class_probabilities
from training.pretrained.checkpoint import ImportRefused
from training.pretrained.start import PretrainedEncoder, is_checkpoint
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder
from training.tasks import ClassifyTask, Task, TranslateTask
from training.tools.attention_plots import draw_attention
from training.tools.distillation import Teacher, write_tsv
from training.tools.interpreter import interpreter
from training.trainer import RESUME, TrainingError, fit

# What a command reports in one line. OSError: a file where a folder should be, a full disk.
ERRORS = (RecipeError, CorpusError, TokenizerError, CheckpointError, ImportRefused, TrainingError, OSError)


def run_command(arguments: argparse.Namespace) -> str:
    """Run the command; for `fit`, `arguments.recipe` is the checked recipe.

    Raises:
        Exception: one of `ERRORS`.
    """
    if arguments.command == "fit":
        return fit_table(arguments) if arguments.table else fit_recipe(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = RunFolder(arguments.run)
    task, model = run.open(device)
    if arguments.command in ("evaluate", "distil"):
        arguments.data = arguments.data or run.data_folder()
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


def fit_recipe(arguments: argparse.Namespace) -> str:
    run = RunFolder(arguments.run_folder or Path("runs") / arguments.recipe.name)
    start = _start(arguments.initialise_from)
    data, recipe = arguments.data or Path("data"), arguments.recipe
    if isinstance(start, PretrainedEncoder):
        recipe = start.adapt(recipe)
    _check_languages(recipe, data)
    try:
        report = fit(recipe, data, run, arguments.resume, None if arguments.resume else start)
    except (RecipeError, TokenizerError) as error:
        raise type(error)(f"{arguments.recipe_file}: {error}") from None
    return _json(report) if report else ""


def fit_table(arguments: argparse.Namespace) -> str:
    """Train on a table: choose a recipe for it, and say what was chosen on standard error; or resume such a run."""
    table: Path = arguments.table
    run = RunFolder(arguments.run_folder or Path("runs") / name_of(table))
    if arguments.resume:
        report = fit(_recipe_of_table(run, table), table.parent, run, resume=True)
        return _finished(run, report)
    if run.weights.is_file():
        raise RecipeError(f"{run.path} already holds a run; choose another folder with --run-folder, or delete it")
    if run.checkpoint("last").is_file():
        raise RecipeError(
            f"{run.path} holds a run that was stopped; {RESUME} to continue it, choose another folder with "
            "--run-folder, or delete it"
        )
    request = Request(
        table,
        arguments.text_column,
        arguments.label_column,
        arguments.label_separator,
        arguments.minutes,
        name_of(run.path),
    )
    start = _start(arguments.initialise_from)
    match start:
        case PretrainedEncoder():
            recipe = plan_pretrained(request, start, _log)
        case RunFolder():
            recipe = plan_fine_tuning(request, start, _log)
        case _:
            recipe = plan_run(request, _log)
    _check_languages(recipe, table.parent)
    report = fit(recipe, table.parent, run, resume=False, start=start)
    return _finished(run, report)


def _recipe_of_table(run: RunFolder, table: Path) -> Recipe:
    """Return the recipe that a run on a table chose for it.

    Raises:
        RecipeError: there is no run to resume, or it was on something else.
    """
    if not run.checkpoint("last").is_file():
        raise RecipeError(f"{run.path}: nothing to resume; train without --resume")
    recipe = run.recipe()
    if [source.rpartition(" as ")[0] or source for source in recipe.data.train] != [table.name]:
        raise RecipeError(f"{run.path} was trained on {', '.join(recipe.data.train)}, not on {table.name}")
    return recipe


def _finished(run: RunFolder, report: dict[str, object]) -> str:
    _log(f"{run.path} is done; next: {interpreter()} -m export {run.path}")
    return _json(report) if report else ""


def _start(path: Path | None) -> RunFolder | PretrainedEncoder | None:
    """Return what a training starts from: a run, or a checkpoint of transformers.

    Raises:
        ImportRefused: the checkpoint cannot be used.
    """
    if path is None:
        return None
    return PretrainedEncoder(path) if is_checkpoint(path) else RunFolder(path)


def _check_languages(recipe: Recipe, data: Path) -> None:
    """Compare the columns of each training file with what the language detector says.

    Raises:
        CorpusError: two columns are swapped.
    """
    if recipe.task != "translate":
        return
    for source in recipe.data.train:
        rows = read_files(recipe.data, [source], data)
        texts = {language: [row[i] for row in rows] for i, language in enumerate(recipe.data.columns)}
        for line in check_languages(source, texts):
            _log(f"warning: {line}")


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def evaluate(arguments: argparse.Namespace, task: Task, model: nn.Module, device: torch.device) -> str:
    rows = read_files(task.recipe.data, arguments.files, arguments.data)
    if isinstance(task, TranslateTask):
        return _json(task.evaluate(model, rows, device, _beam(arguments)))
    if arguments.beam > 1:
        raise RecipeError(f"{arguments.run} is a classify run; --beam does not apply")
    return _json(task.evaluate(model, rows, device))


def translate(arguments: argparse.Namespace, task: TranslateTask, model: nn.Module, device: torch.device) -> str:
    target = _target(arguments, task)
    _check_length(task.source_ids(arguments.text, target), task.recipe.model.max_source_length)
    return "\n".join(task.translate(model, arguments.text, target, device, _beam(arguments))) + "\n"


def classify(arguments: argparse.Namespace, task: ClassifyTask, model: nn.Module, device: torch.device) -> str:
    ids = task.source_ids(arguments.text)
    _check_length(ids, task.recipe.model.max_source_length)
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
    rows = read_files(task.recipe.data, arguments.files or task.recipe.data.train, arguments.data)
    teacher = Teacher(task, model, device, *pairs[direction], _beam(arguments))
    count = write_tsv(arguments.output, teacher.translate_corpus(rows))
    return f"{arguments.output}: {count} rows, {direction}, from {len(rows)}\n"


def attention(arguments: argparse.Namespace, task: Task, model: nn.Module, device: torch.device) -> str:
    if isinstance(task, TranslateTask):
        ids = task.source_ids([arguments.text], _target(arguments, task))
    else:
        ids = task.source_ids([arguments.text])
    _check_length(ids, task.recipe.model.max_source_length)
    files = draw_attention(task, model, ids[0], arguments.output or arguments.run / "attention", device)
    if not files:
        raise RecipeError(
            f"{arguments.run} is a {task.recipe.model.architecture} model without attention; there is nothing to draw"
        )
    return "".join(f"{file}\n" for file in files)


def _beam(arguments: argparse.Namespace) -> BeamOptions:
    return BeamOptions(arguments.beam, arguments.length_penalty)


def _target(arguments: argparse.Namespace, task: TranslateTask) -> str:
    target = arguments.target or task.recipe.pairs[0][1]
    if target not in {pair[1] for pair in task.recipe.pairs}:
        raise RecipeError(f"--target {target}: this run translates {', '.join(task.recipe.data.directions)}")
    return target


def _check_length(ids: list[list[int]], limit: int) -> None:
    longest = max(map(len, ids))
    if longest > limit:
        raise RecipeError(
            f"a text has {longest} tokens, special tokens included; this model reads at most {limit}; shorten it"
        )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
