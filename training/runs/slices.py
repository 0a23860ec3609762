"""Move a run to a machine that you have for a few minutes, such as one with a GPU, and back, in one file.

    python -m training.runs.slices pack runs/NAME FILE.tar
    python -m training.runs.slices unpack FILE.tar runs/NAME

The file has what `--resume` needs. The optimizer's moments are rounded to bfloat16 in it, which makes it a quarter
smaller: the resumed run is almost, not exactly, the one that was never moved. See docs/training.md.
"""

import argparse
import io
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from training.runs.checkpoint import CheckpointError, read, write

CHECKPOINTS = "checkpoints"
EXCLUDED = {"tensorboard", "reports"}  # not needed to resume


def pack(run: Path, file: Path) -> int:
    """Write a run into a file; return its size in bytes.

    Raises:
        CheckpointError: the run has no checkpoint, or a damaged one.
    """
    if not (run / CHECKPOINTS / "last.safetensors").is_file():
        raise CheckpointError(f"{run}: no checkpoint in it; train until SIGTERM has written one")
    partial = file.with_name(file.name + ".partial")
    with tarfile.open(partial, "w") as archive:
        for path in sorted(path for path in run.rglob("*") if path.is_file()):
            name = path.relative_to(run)
            if name.parts[0] in EXCLUDED:
                continue
            data = _rounded(path) if path.suffix == ".safetensors" else path.read_bytes()
            entry = tarfile.TarInfo(name.as_posix())
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    partial.replace(file)
    return file.stat().st_size


def unpack(file: Path, run: Path) -> None:
    """Write the run of a file into a folder, over what is there.

    Raises:
        CheckpointError: the file is not one that `pack` has written.
    """
    run.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(run, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise CheckpointError(f"{file}: cannot be unpacked: {error}") from None
    for path in sorted(run.rglob("*.safetensors")):
        tensors, progress = read(path)
        write({name: tensor.float() for name, tensor in tensors.items()}, progress, path)


def _rounded(path: Path) -> bytes:
    """Return a checkpoint whose optimizer's moments are in bfloat16; its counters of steps stay exact."""
    tensors, progress = read(path)
    for name, tensor in tensors.items():
        if name.startswith("optimizer.") and tensor.dim() > 0:
            tensors[name] = tensor.to(torch.bfloat16)
    with TemporaryDirectory() as folder:
        write(tensors, progress, scratch := Path(folder) / path.name)
        return scratch.read_bytes()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, first, second in (("pack", "run", "file"), ("unpack", "file", "run")):
        command = commands.add_parser(name)
        command.add_argument(first, type=Path)
        command.add_argument(second, type=Path)
    arguments = parser.parse_args(words)
    try:
        if arguments.command == "pack":
            size = pack(arguments.run, arguments.file)
            sys.stdout.write(f"{arguments.file}: {size / 2**20:.1f} MiB\n")
        else:
            unpack(arguments.file, arguments.run)
    except CheckpointError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
