"""The commands of `python -m export`: parse the command line, export or import, and report in a few lines."""

import argparse
import sys
from pathlib import Path

from export.checks.parity import ParityError
from export.checks.quality_gate import QUALITY_BOUND, QualityError
from export.publish import ExportOptions, export_run
from export.target import choose_target
from service.artifact import ArtifactError
from training.config import RecipeError
from training.data.corpus import CorpusError
from training.data.tokenizer import TokenizerError
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m export",
        description="Export a run to an artifact. It is published only if its graphs give the trained model's answers.",
        epilog="`python -m export from-hf --help` tells how to import a checkpoint of Hugging Face transformers.",
    )
    top.add_argument("run", type=Path, help="run folder that `python -m training fit` wrote")
    top.add_argument(
        "artifact",
        type=Path,
        nargs="?",
        help="folder to write the artifact to (default: models/NAME, the run folder's name, with -int8 or -fp16 for "
        "these)",
    )
    top.add_argument("--data", type=Path, help="folder of the recipe's corpora (default: that of the training)")
    top.add_argument("--name", help="name that requests give (default: that of the artifact's folder)")
    top.add_argument("--version", help="version written to the manifest (default: 1, or one more than it replaces)")
    top.add_argument("--force", action="store_true", help="replace an artifact without asking")
    top.add_argument("--sentences", type=_positive_int, default=500, help="texts for the parity check (default: 500)")
    top.add_argument("--tolerance", type=float, default=1e-4, help="of the parity check (default: 1e-4)")
    precision = top.add_mutually_exclusive_group()
    precision.add_argument(
        "--fp16",
        action="store_true",
        help="write fp16, which a GPU needs; fails if more than 0.5%% of the answers differ from those in fp32, or if "
        "it loses more than 0.1 BLEU or points of accuracy on development rows",
    )
    precision.add_argument(
        "--int8",
        action="store_true",
        help="quantise to int8, calibrated on training rows; fails if it loses more than --bound on development rows",
    )
    top.add_argument(
        "--bound",
        type=float,
        default=QUALITY_BOUND,
        help=f"BLEU or points of accuracy that int8 may lose (default: {QUALITY_BOUND})",
    )
    top.add_argument("--notes", type=Path, help="Markdown file to append to the model card")
    return top


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1, the smallest value allowed")
    return value


def main() -> int:
    if sys.argv[1:2] == ["from-hf"]:
        from export import from_hf  # needs the extra `hf`

        return from_hf.main(sys.argv[2:])
    arguments = parser().parse_args()
    try:
        notes = arguments.notes.read_text("utf-8") if arguments.notes else ""
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"error: --notes {arguments.notes}: {error}\n")
        return 1
    run = RunFolder(arguments.run)
    suffix = "-int8" if arguments.int8 else "-fp16" if arguments.fp16 else ""
    default = Path("models") / (run.path.resolve().name + suffix)
    try:
        run.recipe()
        target = choose_target(arguments.artifact or default, arguments.name, arguments.version, arguments.force)
        options = ExportOptions(
            target.version,
            arguments.sentences,
            arguments.tolerance,
            arguments.int8,
            notes,
            arguments.bound,
            target.name,
            arguments.fp16,
        )
        manifest = export_run(run, target.path, arguments.data or run.data_folder(), options)
    except (
        ArtifactError,
        CheckpointError,
        CorpusError,
        ParityError,
        QualityError,
        RecipeError,
        TokenizerError,
        OSError,  # a file where a folder is expected, a full disk
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    parity = manifest.parity
    sys.stdout.write(
        f"{target.path}: {manifest.name} {manifest.version}; parity on {parity.sentences} sentences: cached "
        f"{parity.cached:.1e}, ONNX {parity.onnx:.1e} (allowed {parity.tolerance:.0e}), answers identical\n"
    )
    for found in manifest.evaluation:
        if found.precision != "fp32":
            sys.stdout.write(f"{found.precision}: {found.data} {found.split}: {found.metric} {found.value:.2f}\n")
    return 0
