"""How the interpreter that runs is called in a shell, for messages that name the next command."""

import shlex
import sys
from pathlib import Path


def interpreter() -> str:
    """Return its path, relative to the working folder where it is below: `.venv-train/bin/python`."""
    path, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
