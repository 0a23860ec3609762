"""Remove from the image's venv what the service never imports. The Dockerfile runs it, beside pyproject.toml, with the
venv's python.

tokenizers needs huggingface-hub only to download tokenizers by name; onnxruntime needs flatbuffers only for its model
tools. These dependencies are ignored, and every distribution that is then unused is uninstalled, pip
included.
"""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IGNORED_DEPENDENCIES = {"huggingface-hub", "flatbuffers"}
ALTERNATIVES = {"onnxruntime": "onnxruntime-gpu"}  # the image for GPUs has the second instead of the first
EXTRAS = frozenset({"grpc", "otel"})  # of pyproject.toml, that requirements.lock has
UNUSED_FILES = [
    "onnxruntime/capi/libonnxruntime.so*",  # for C programs; the Python extension has its own copy
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "numpy/f2py",
    "numpy/distutils",
    "numpy/_core/include",
    "**/tests",
    "**/*.a",
    "**/*.pyi",
]


def of_project(pyproject: Path) -> list[str]:
    """Return the requirements of this project, with its extras."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in sorted(EXTRAS) for line in optional[extra])]


def required(lines: Iterable[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the distributions that these requirements name and, recursively, those that they need here."""
    found = set[str]()
    for line in lines:
        needed = Requirement(line)
        name = canonicalize_name(needed.name)
        if name in ALTERNATIVES and not any(distributions(name=name)):
            name = canonicalize_name(ALTERNATIVES[name])
        applies = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if applies and name not in IGNORED_DEPENDENCIES | found:
            found |= {name} | required(distribution(name).requires or [], frozenset(needed.extras))
    return found


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    site = Path(sysconfig.get_path("purelib"))
    before = megabytes(site)
    unused = sorted(
        {canonicalize_name(each.name) for each in distributions()} - required(of_project(Path("pyproject.toml")))
    )
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *unused], check=True)
    for pattern in UNUSED_FILES:
        for path in list(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    sys.stdout.write(f"removed {', '.join(unused)}\nsite-packages: {before:.0f} MB -> {megabytes(site):.0f} MB\n")


if __name__ == "__main__":
    main()
