"""Command line: `python -m docs.generator [--check]`.

Writes every generated block of README.md and docs/*.md, every picture of docs/images, and the files of deploy/ that
repeat another one. With --check nothing is written, and the exit status is 1 if a file is out of date.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generator import audit, comparisons, deployment, diagrams, pictures, reference, speed, tables
from docs.generator.blocks import BlockError, fill
from docs.generator.figures import FiguresError

ROOT = Path(__file__).resolve().parents[2]
BLOCKS: Mapping[str, Callable[[], str]] = (
    tables.BLOCKS | speed.BLOCKS | audit.BLOCKS | comparisons.BLOCKS | reference.BLOCKS
)
PICTURES: Mapping[str, Callable[[], str]] = diagrams.PICTURES | pictures.PICTURES | comparisons.PICTURES


def pages(root: Path = ROOT) -> list[Path]:
    """Return the Markdown files that may hold generated blocks."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def contents(root: Path = ROOT) -> dict[Path, str]:
    """Return what every generated file should hold.

    Raises:
        BlockError: a block has no end, or its name is unknown.
        FiguresError: a figures file is missing or incomplete.
    """
    found = {page: fill(page.read_text("utf-8"), BLOCKS, page.name) for page in pages(root)}
    found |= {root / "docs" / "images" / name: draw() for name, draw in PICTURES.items()}
    return found | {root / path: write() for path, write in deployment.FILES.items()}


def outdated(root: Path = ROOT) -> dict[Path, str]:
    """Return the generated files whose content on disk differs, with the content that they should have."""
    return {
        path: text for path, text in contents(root).items() if not path.is_file() or path.read_text("utf-8") != text
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.generator", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a file is out of date")
    options = parser.parse_args(arguments)
    try:
        changed = outdated()
    except (BlockError, FiguresError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for path, text in changed.items():
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}: {'out of date' if options.check else 'written'}\n")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
