"""Command line: `python -m export RUN ARTIFACT`."""

import argparse
import sys
from pathlib import Path

from export.checks.parity import ParityError
from export.checks.quality import BOUND, QualityError
from export.publish import ExportOptions, export
from service.artifact import ArtifactError
from training.config import RecipeError
from training.data.corpus import CorpusError
from training.data.tokenizer import TokenizerError
from training.runs.checkpoint import CheckpointError
from training.runs.run import RunFolder


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m export",
        description="Checkpoint to artifact. Nothing is published unless the graphs answer as the trained model does.",
    )
    top.add_argument("run", type=Path, help="run folder of `python -m training fit`")
    top.add_argument("artifact", type=Path, help="folder to publish")
    top.add_argument("--data", type=Path, default=Path("data"), help="folder of the recipe's corpora (default: data)")
    top.add_argument("--version", default="1", help="version written to the manifest (default: 1)")
    top.add_argument("--sentences", type=_positive, default=500, help="real texts to prove parity on (default: 500)")
    top.add_argument("--tolerance", type=float, default=1e-4, help="largest difference allowed (default: 1e-4)")
    top.add_argument(
        "--int8",
        action="store_true",
        help="quantise, calibrated on training rows; refused when it loses more than --bound on development rows",
    )
    top.add_argument(
        "--bound", type=float, default=BOUND, help=f"BLEU or points of accuracy that int8 may lose (default: {BOUND})"
    )
    top.add_argument("--notes", type=Path, help="a file of Markdown for the end of the model card")
    return top


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return value


def main() -> int:
    arguments = parser().parse_args()
    try:
        notes = arguments.notes.read_text("utf-8") if arguments.notes else ""
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"error: --notes {arguments.notes}: {error}\n")
        return 1
    options = ExportOptions(
        arguments.version, arguments.sentences, arguments.tolerance, arguments.int8, notes, arguments.bound
    )
    try:
        manifest = export(RunFolder(arguments.run), arguments.artifact, arguments.data, options)
    except (
        ArtifactError,
        CheckpointError,
        CorpusError,
        ParityError,
        QualityError,
        RecipeError,
        TokenizerError,
        OSError,  # a file in a folder's place, a full disk
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    parity = manifest.parity
    sys.stdout.write(
        f"{arguments.artifact}: {manifest.name} {manifest.version}; parity on {parity.sentences} sentences: cached "
        f"{parity.cached:.1e}, ONNX {parity.onnx:.1e} (allowed {parity.tolerance:.0e}), answers identical\n"
    )
    for figure in manifest.evaluation:
        if figure.precision == "int8":
            sys.stdout.write(f"int8: {figure.data} {figure.split}: {figure.metric} {figure.value:.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
