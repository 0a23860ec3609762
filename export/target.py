"""The folder that an export writes to: its name, what it would replace, and the version that follows."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.artifact import MANIFEST, NAME, ArtifactError


@dataclass(frozen=True)
class Target:
    """Where an artifact goes, its name and its version."""

    path: Path
    name: str
    version: str


def choose_target(
    path: Path, name: str | None, version: str | None, force: bool, confirm: Callable[[str], bool] | None = None
) -> Target:
    """Return the target of an export; the name is the folder's unless given, the version the next one unless given.

    An artifact that is already there is replaced with `force`, or if `confirm` (default: asks on a terminal) says so.

    Raises:
        ArtifactError: the name cannot be used, another artifact beside it has it, or the artifact may not be replaced.
    """
    name = name or path.resolve().name
    if not re.fullmatch(NAME, name):
        raise ArtifactError(
            f"{name!r} cannot be a model's name: use lower-case letters, digits, '.', '_' and '-', for example with "
            "--name"
        )
    for other, manifest in _neighbours(path):
        if manifest.get("name") == name:
            raise ArtifactError(
                f"{other} is also named {name!r}; a service cannot serve both: give this one another --name"
            )
    old = _read(path)
    if old is None:
        return Target(path, name, version or "1")
    what = f"{path} has {old.get('name')} {old.get('version')} ({old.get('precision', 'fp32')})"
    if not force and not (confirm or _ask)(what):
        raise ArtifactError(f"{what}; add --force to replace it, or choose another folder")
    return Target(path, name, version or next_version(str(old.get("version"))))


def next_version(version: str) -> str:
    """Return the version after this one: its last number plus one."""
    match = re.fullmatch(r"(.*?)(\d+)", version)
    return f"{match[1]}{int(match[2]) + 1}" if match else f"{version}.1"


def _neighbours(path: Path) -> list[tuple[Path, dict[str, object]]]:
    """Return the other artifacts in the folder that this one goes to."""
    own = path.resolve()
    folders = sorted(own.parent.iterdir()) if own.parent.is_dir() else []
    read = [(folder, _read(folder)) for folder in folders if folder != own and not folder.name.startswith(".")]
    return [(folder, manifest) for folder, manifest in read if manifest is not None]


def _read(folder: Path) -> dict[str, object] | None:
    """Return an artifact's manifest; None if there is none, empty if it is damaged."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _ask(what: str) -> bool:
    """Ask on a terminal; elsewhere the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{what}. Replace it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
