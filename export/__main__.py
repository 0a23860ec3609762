"""Command lines of the export: `python -m export RUN ARTIFACT` and `python -m export from-hf CHECKPOINT ARTIFACT`."""

import argparse
import sys
from pathlib import Path

from export.checks.parity import ParityError
from export.checks.quality_gate import QUALITY_BOUND, QualityError
from export.publish import ExportOptions, export_run
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
    top.add_argument("artifact", type=Path, help="folder to write the artifact to")
    top.add_argument("--data", type=Path, default=Path("data"), help="folder of the recipe's corpora (default: data)")
    top.add_argument("--version", default="1", help="version written to the manifest (default: 1)")
    top.add_argument("--sentences", type=_positive_int, default=500, help="texts for the parity check (default: 500)")
    top.add_argument("--tolerance", type=float, default=1e-4, help="of the parity check (default: 1e-4)")
    top.add_argument(
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
    options = ExportOptions(
        arguments.version, arguments.sentences, arguments.tolerance, arguments.int8, notes, arguments.bound
    )
    try:
        manifest = export_run(RunFolder(arguments.run), arguments.artifact, arguments.data, options)
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
        f"{arguments.artifact}: {manifest.name} {manifest.version}; parity on {parity.sentences} sentences: cached "
        f"{parity.cached:.1e}, ONNX {parity.onnx:.1e} (allowed {parity.tolerance:.0e}), answers identical\n"
    )
    for found in manifest.evaluation:
        if found.precision == "int8":
            sys.stdout.write(f"int8: {found.data} {found.split}: {found.metric} {found.value:.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
