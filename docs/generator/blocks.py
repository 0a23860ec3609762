"""Generated blocks of a Markdown page, and the Markdown tables that fill them.

A block is everything between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

BLOCK = re.compile(r"<!-- generated: (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- (?P<end>end|generated: [\w-]+) -->", re.S)
OPENING = re.compile(r"<!-- generated: ([\w-]+) -->")


class BlockError(Exception):
    """A page with a block that cannot be generated."""


def fill(page: str, blocks: Mapping[str, Callable[[], str]], where: str) -> str:
    """Return the page with every block generated again.

    Raises:
        BlockError: a block has no end, or its name is unknown; the message names both.
    """

    def generate(match: re.Match[str]) -> str:
        name = match["name"]
        if match["end"] != "end":
            raise BlockError(f"{where}: block {name!r} has no <!-- end -->")
        if name not in blocks:
            raise BlockError(f"{where}: unknown block {name!r}; known: {', '.join(sorted(blocks))}")
        return f"<!-- generated: {name} -->\n{blocks[name]()}<!-- end -->"

    filled, count = BLOCK.subn(generate, page)
    if count != len(OPENING.findall(page)):
        raise BlockError(f"{where}: a generated block has no <!-- end -->")
    return filled


def names(page: str) -> list[str]:
    """Return the names of the page's blocks."""
    return OPENING.findall(page)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. Cells may hold no line ends; pipes are escaped."""
    lines = [headings, ["---"] * len(headings), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
